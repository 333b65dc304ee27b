//! A walk over a tree that knows the totals of every chunk it comes to, in time linear in the tree and
//! in constant stack.
//!
//! The totals of a tree are known only after it, but shown before it. So a first walk notes them, one
//! entry for each chunk that will be shown, in memory straight from the kernel: a report may be asked
//! for in a signal handler, where no heap can be touched. Without that memory each tree is counted
//! when it is come to.

use core::ptr::NonNull;

use crate::mem::os;
use crate::ops;
use crate::tree::walk::following;
use crate::tree::{Chunk, domain};

/// A chunk that a [`walk`] has come to.
#[derive(Clone, Copy, Debug)]
pub struct Visit {
    /// The chunk; for a reference, what it refers to, or the reference itself if that cannot be looked at now:
    /// another thread is in the shared context that it belongs to, or has it for its own.
    pub chunk: Chunk,
    /// How deep it lies.
    pub depth: i32,
    /// How deep the walk goes; negative: all the way.
    pub max_depth: i32,
    /// Whether this is a reference to the chunk.
    pub is_reference: bool,
    /// Bytes in the tree of the chunk; 0 for a reference.
    pub total_size: usize,
    /// Chunks in its tree; 0 for a reference.
    pub total_blocks: usize,
}

/// Visits `root` and what lies below, parents before their children, newest first; `root` is at
/// `depth`, and nothing deeper than `max_depth` is visited unless that is negative. Of a root that is on
/// its way out, nothing is.
///
/// A shared context below `root` is entered while it and what is in it are visited, and what is shown there fits together;
/// but the totals of what is above it may be older. If there [may be one](may_be_shared), `visit` calls no foreign code.
///
/// # Safety
/// The tree does not change meanwhile: it is this thread's, or it has been entered.
pub unsafe fn walk(root: Chunk, depth: i32, max_depth: i32, visit: &mut dyn FnMut(Visit)) {
    if root.is_leaving() {
        return;
    }
    let totals = Totals::of(root, depth, max_depth);
    for (index, (chunk, depth)) in shown(root, depth, max_depth).enumerate() {
        if is_entered_apart(chunk, root) {
            // SAFETY: it has been entered. Nothing in it is entered apart, so this goes no deeper.
            ops::inside(chunk, || unsafe { walk(chunk, depth, max_depth, visit) });
        } else if chunk.is_reference() && chunk != root {
            ops::referred(chunk, |chunk| {
                visit(Visit { chunk, depth, max_depth, is_reference: true, total_size: 0, total_blocks: 0 });
            });
        } else {
            let (total_size, total_blocks) = match &totals {
                Some(totals) => totals.entry(index),
                // SAFETY: the caller's.
                None => unsafe { (ops::total_size(chunk), ops::total_blocks(chunk)) },
            };
            visit(Visit { chunk, depth, max_depth, is_reference: false, total_size, total_blocks });
        }
    }
}

/// Whether there may be shared contexts below a chunk that is in none.
pub fn may_be_shared() -> bool {
    crate::mem::shared::has_been_used()
}

/// Whether `chunk`, in the tree of `root`, is a shared context that is yet to be entered.
fn is_entered_apart(chunk: Chunk, root: Chunk) -> bool {
    chunk != root && domain::is_root(chunk)
}

/// The chunks that a walk comes to, with their depths; of shared contexts below the root, nothing but themselves.
fn shown(root: Chunk, depth: i32, max_depth: i32) -> impl Iterator<Item = (Chunk, i32)> {
    steps(root, depth, move |depth| max_depth < 0 || depth < max_depth)
}

/// All chunks of the tree with their depths, below those only whose depth is one to go `into`.
fn steps(root: Chunk, depth: i32, into: impl Fn(i32) -> bool) -> impl Iterator<Item = (Chunk, i32)> {
    core::iter::successors(Some((root, depth)), move |&(at, depth)| {
        let next = following(at, root, into(depth) && !is_entered_apart(at, root))?;
        if next.parent() == Some(at) {
            return Some((next, depth + 1));
        }
        let (mut up, mut depth) = (at, depth);
        while up.parent() != next.parent() {
            up = up.parent()?;
            depth -= 1;
        }
        Some((next, depth))
    })
}

struct Entry {
    size: usize,
    blocks: u32,
    /// The entry of the parent.
    parent: u32,
}

/// The totals of the chunks that will be shown, in the order of the walk.
struct Totals {
    entries: NonNull<Entry>,
    len: usize,
    mapped: usize,
}

impl Totals {
    fn of(root: Chunk, depth: i32, max_depth: i32) -> Option<Totals> {
        let len = shown(root, depth, max_depth).count();
        u32::try_from(len).ok()?;
        let mapped = (len * size_of::<Entry>()).next_multiple_of(os::PAGE);
        let mut totals = Totals { entries: os::map(mapped, os::PAGE)?.cast(), len, mapped };
        totals.count(root, depth, max_depth);
        Some(totals)
    }

    fn entries(&mut self) -> &mut [Entry] {
        // SAFETY: mapped for this many entries, and zero, which is a valid entry.
        unsafe { core::slice::from_raw_parts_mut(self.entries.as_ptr(), self.len) }
    }

    fn entry(&self, index: usize) -> (usize, usize) {
        // SAFETY: as in `entries`.
        let entries = unsafe { core::slice::from_raw_parts(self.entries.as_ptr(), self.len) };
        entries.get(index).map_or((0, 0), |e| (e.size, e.blocks as usize))
    }

    fn count(&mut self, root: Chunk, depth: i32, max_depth: i32) {
        let entries = self.entries();
        let mut made = 0;
        let (mut last, mut last_depth) = (0, depth);
        for (chunk, depth) in steps(root, depth, |_| true) {
            let is_shown = chunk == root || max_depth < 0 || depth <= max_depth;
            if is_shown {
                // The entry of the last shown chunk, then up to this one's parent.
                let mut parent = last;
                while made > 0 && last_depth >= depth {
                    parent = entries[parent].parent as usize;
                    last_depth -= 1;
                }
                entries[made].parent = parent as u32;
                (last, last_depth) = (made, depth);
                made += 1;
            }
            // What lies too deep to be shown counts for the last one shown, which is above it.
            let (size, blocks) = if is_entered_apart(chunk, root) {
                // SAFETY: it is counted inside.
                ops::inside(chunk, || unsafe { (ops::total_size(chunk), ops::total_blocks(chunk)) })
            } else {
                (ops::bytes(chunk), 1)
            };
            entries[last].size += size;
            entries[last].blocks += blocks as u32;
        }
        for index in (1..entries.len()).rev() {
            let (size, blocks, parent) = (entries[index].size, entries[index].blocks, entries[index].parent);
            entries[parent as usize].size += size;
            entries[parent as usize].blocks += blocks;
        }
    }
}

impl Drop for Totals {
    fn drop(&mut self) {
        // SAFETY: the whole mapping, used by nobody else.
        unsafe { os::unmap(self.entries.cast(), self.mapped) };
    }
}
