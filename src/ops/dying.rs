//! Roots of frees in progress, as far as a destructor can disturb them.
//!
//! While a destructor runs, the free that called it still has to come back to its root, and to the
//! parent that the root had, to which children go that refuse to die. The root is marked as dying, so that
//! nobody frees or moves it; but it has left its parent's list, so who frees or moves that parent, its
//! *anchor*, does not find it there. Therefore the roots are listed while foreign code, or another thread, may be at
//! work, and an anchor carries [`ANCHOR`]: whoever frees or moves such a chunk tells the roots.
//!
//! The list hangs on the heap of the anchor's shared context, and has the roots of all threads there; or, where the
//! anchor is in none, on the thread's heap. It is linked through the roots' own `next` words, which they have no
//! other use for: a destructor that never returns (a longjmp() past the free, the end of its thread)
//! leaves roots in it that are never freed, but no dangling link.
//!
//! An anchor that goes to another shared context, or into or out of one, is replaced by what it was below; a
//! shared context that goes is replaced by nothing.

use core::cell::Cell;

use crate::mem::heap::HeapRef;
use crate::mem::shared::Shared;
use crate::mem::threads;
use crate::tree::chunk::ANCHOR;
use crate::tree::pool::PoolRef;
use crate::tree::{Chunk, domain, store};

/// The root of a free in progress; on the list from the first foreign code on until it is dropped.
#[derive(Debug)]
pub(super) struct Root {
    chunk: Chunk,
    listed: Cell<Option<HeapRef>>,
}

impl Root {
    /// A root that has left its parent's list, or that had none.
    pub(super) fn new(chunk: Chunk) -> Root {
        Root { chunk, listed: Cell::new(None) }
    }

    /// Foreign code is about to run.
    #[inline(always)]
    pub(super) fn list(&self) {
        if self.listed.get().is_none() {
            self.list_now();
        }
    }

    #[inline(never)]
    fn list_now(&self) {
        if let Some(heap) = self.heap() {
            self.listed.set(Some(heap));
            self.chunk.next.set(first(heap));
            set_first(heap, Some(self.chunk));
            mark(self.chunk.parent());
        }
    }

    fn heap(&self) -> Option<HeapRef> {
        match self.chunk.parent().and_then(domain::of) {
            Some(shared) => Some(shared.heap()),
            // Not a shared heap that it lies in, and that the calling thread is in just now.
            None => store::own_heap(self.chunk)
                .filter(|&heap| Shared::of(heap).is_none())
                .or_else(threads::current),
        }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Some(heap) = self.listed.get() {
            let after = self.chunk.next.get();
            if first(heap) == Some(self.chunk) {
                set_first(heap, after);
            } else if let Some(inner) = all(heap).find(|root| root.next.get() == Some(self.chunk)) {
                inner.next.set(after);
            }
            if let Some(anchor) = self.chunk.parent()
                && anchor.has(ANCHOR)
                && !all(heap).any(|root| root.parent() == Some(anchor))
            {
                anchor.clear_flags(ANCHOR);
            }
        }
    }
}

fn first(heap: HeapRef) -> Option<Chunk> {
    heap.annex().get().map(|root| {
        // SAFETY: roots take themselves off the list before they are freed.
        unsafe { Chunk::from_header(root.cast()) }
    })
}

fn set_first(heap: HeapRef, root: Option<Chunk>) {
    heap.annex().set(root.map(|root| root.address().cast()));
}

/// The roots listed on `heap`.
fn all(heap: HeapRef) -> impl Iterator<Item = Chunk> {
    core::iter::successors(first(heap), |root| root.next.get())
}

/// The anchor `chunk` is about to be gone; `now` stands for it: where it moved, or its parent.
#[cold]
pub(super) fn replace_anchor(chunk: Chunk, now: Option<Chunk>) {
    let now = if domain::is_root(chunk) { None } else { now };
    stand_in(chunk, now, chunk);
}

/// The anchor that was `from`, whose memory is gone, is `to` now.
#[cold]
pub(super) fn move_anchor(from: Chunk, to: Chunk) {
    stand_in(from, Some(to), to);
}

/// From now on `now` stands for `anchor` with the roots of the domain of `alive`.
fn stand_in(anchor: Chunk, now: Option<Chunk>, alive: Chunk) {
    let heap = domain::of(alive).map_or_else(threads::current, |shared| Some(shared.heap()));
    let Some(heap) = heap else { return };
    for root in all(heap).filter(|root| root.parent() == Some(anchor)) {
        if let Some(pool) = PoolRef::of_chunk(root) {
            // What lies beside it may go along with the anchor.
            pool.move_chunk();
        }
        root.parent.set(now);
        mark(now);
    }
}

/// What lies in the tree of `chunk`, which goes to another domain, is nobody's anchor any more: `parent`, which it is
/// taken from, stands for it.
pub(super) fn replace_anchors_in(chunk: Chunk, parent: Option<Chunk>) {
    for anchor in crate::tree::walk::within(chunk).filter(|c| c.has(ANCHOR)) {
        replace_anchor(anchor, parent);
        anchor.clear_flags(ANCHOR);
    }
}

/// The null context needs no mark, and is other threads', too.
fn mark(anchor: Option<Chunk>) {
    if let Some(anchor) = anchor.filter(|&anchor| !domain::is_null_context(anchor)) {
        anchor.set_flags(ANCHOR);
    }
}
