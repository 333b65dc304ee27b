//! Walking a tree in constant stack: each chunk knows its parent, so the way back needs no memory.

use super::chunk::Chunk;

/// `root` and everything below it, parents before their children, newest first.
pub fn preorder(root: Chunk) -> impl Iterator<Item = Chunk> {
    core::iter::successors(Some(root), move |&at| following(at, root, true))
}

/// What comes after `at` in the order of [`preorder`], its children skipped unless `into` them.
pub(crate) fn following(at: Chunk, root: Chunk, into: bool) -> Option<Chunk> {
    if into && let Some(child) = at.child.get() {
        return Some(child);
    }
    let mut at = at;
    while at != root {
        if let Some(next) = at.next.get() {
            return Some(next);
        }
        at = at.parent()?;
    }
    None
}
