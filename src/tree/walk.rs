//! Walking a tree in constant stack: each chunk knows its parent, so the way back needs no memory.

use super::chunk::Chunk;
use super::domain;

/// `root` and everything below it, parents before their children, newest first.
pub fn preorder(root: Chunk) -> impl Iterator<Item = Chunk> {
    core::iter::successors(Some(root), move |&at| following(at, root, true))
}

/// [`preorder`], without the shared contexts below `root` and what is in them: other threads may be at work there.
pub(crate) fn within(root: Chunk) -> impl Iterator<Item = Chunk> {
    let inside = move |next: &Chunk| *next == root || !domain::is_root(*next);
    let mut next = Some(root);
    core::iter::from_fn(move || {
        let at = next?;
        next = following(at, root, true);
        while let Some(shared) = next.filter(|next| !inside(next)) {
            next = following(shared, root, false);
        }
        Some(at)
    })
}

/// What comes after `at` in the order of [`preorder`], its children skipped unless `into` them.
pub(crate) fn following(at: Chunk, root: Chunk, into: bool) -> Option<Chunk> {
    if into {
        match at.child.get() {
            Some(child) => return Some(child),
            None => at.fetch_sibling_ahead(),
        }
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
