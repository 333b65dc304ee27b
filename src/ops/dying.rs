//! Roots of frees in progress, as far as a destructor can disturb them.
//!
//! While a destructor runs, the free that called it still has to come back to its root, and to the
//! parent that the root had, to which children go that refuse to die. The root is marked as dying, so that
//! nobody frees or moves it; but it has left its parent's list, so who frees or moves that parent, its
//! *anchor*, does not find it there. Therefore the roots of a thread are listed while foreign code may
//! run, and an anchor carries [`ANCHOR`]: whoever frees or moves such a chunk tells the roots.
//!
//! The list hangs on the thread's heap and is linked through the roots' own `next` words, which they have no
//! other use for: a destructor that never returns (a longjmp() past the free, the end of its thread)
//! leaves roots in it that are never freed, but no dangling link.

use core::cell::Cell;

use crate::mem::heap::HeapRef;
use crate::mem::threads;
use crate::tree::chunk::{ANCHOR, GUARDED};
use crate::tree::{Chunk, store};

/// The root of a free in progress; on the list from the first foreign code on until it is dropped.
#[derive(Debug)]
pub(super) struct Root {
    chunk: Chunk,
    listed: Cell<bool>,
}

impl Root {
    /// A root that has left its parent's list, or that had none.
    pub(super) fn new(chunk: Chunk) -> Root {
        Root { chunk, listed: Cell::new(false) }
    }

    /// Foreign code is about to run.
    pub(super) fn list(&self) {
        if !self.listed.get()
            && let Some(heap) = store::own_heap(self.chunk)
        {
            self.listed.set(true);
            self.chunk.next.set(first(heap));
            set_first(heap, Some(self.chunk));
            mark(self.chunk.parent());
        }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if self.listed.get()
            && let Some(heap) = store::own_heap(self.chunk)
        {
            let after = self.chunk.next.get();
            if first(heap) == Some(self.chunk) {
                set_first(heap, after);
            } else if let Some(inner) = all().find(|root| root.next.get() == Some(self.chunk)) {
                inner.next.set(after);
            }
            if let Some(anchor) = self.chunk.parent()
                && anchor.has(ANCHOR)
                && !all().any(|root| root.parent() == Some(anchor))
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

/// The roots of the calling thread.
fn all() -> impl Iterator<Item = Chunk> {
    core::iter::successors(threads::current().and_then(first), |root| root.next.get())
}

/// The anchor `chunk` is about to be gone; `now` stands for it: where it moved, or its parent.
#[cold]
pub(super) fn replace_anchor(chunk: Chunk, now: Option<Chunk>) {
    for root in all().filter(|root| root.parent() == Some(chunk)) {
        root.parent.set(now);
        mark(now);
    }
}

/// The null context needs no mark, and is other threads', too.
fn mark(anchor: Option<Chunk>) {
    if let Some(anchor) = anchor.filter(|anchor| !anchor.has(GUARDED)) {
        anchor.set_flags(ANCHOR);
    }
}
