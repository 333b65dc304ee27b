//! Idle spans: those with nothing in them that a heap keeps for what it builds next.
//!
//! Where trees come and go, their spans do, too. Each that goes back to the segments and is fetched again takes the one
//! lock of all threads twice. So a heap keeps those that have become idle of late; they wait in the lists of their
//! classes, like others with slots to give. Spans of small slots are not kept: the lock is taken once for hundreds of
//! them, which are better used anew in the order of their addresses, from memory that was used last by whatever class.
//!
//! What is kept is bounded, for each heap and for all together, and counts as free memory in the budget, which is told
//! when the heap next has to do with the segments. Heaps of shared contexts keep nothing: there may be many, with
//! nobody who comes by. Used by `heap`; the owner's alone.

use core::cell::Cell;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::geometry::{SLICE, slices_for};
use super::size;
use super::span::SpanRef;

/// The most that one heap keeps, in slices: 1 MiB.
const MOST: usize = (1 << 20) / SLICE;
/// The most that all keep, but for one slice each: 32 MiB.
const MOST_OF_ALL: usize = (32 << 20) / SLICE;

/// How many heaps may keep some.
static KEEPERS: AtomicUsize = AtomicUsize::new(0);

/// There is one more heap that may keep spans.
pub(super) fn add_keeper() {
    KEEPERS.fetch_add(1, Relaxed);
}

/// How many slices one heap may keep.
fn allowed() -> usize {
    (MOST_OF_ALL / KEEPERS.load(Relaxed).max(1)).clamp(1, MOST)
}

/// See the module.
#[derive(Debug)]
pub(super) struct Idle {
    /// From the one that has waited longest.
    spans: [Cell<Option<SpanRef>>; MOST + 1],
    len: Cell<usize>,
    slices: Cell<usize>,
    /// How many slices the budget knows of. Changed under the lock of the segments.
    counted: Cell<usize>,
}

impl Idle {
    pub(super) const fn new() -> Idle {
        Idle {
            spans: [const { Cell::new(None) }; MOST + 1],
            len: Cell::new(0),
            slices: Cell::new(0),
            counted: Cell::new(0),
        }
    }

    /// Keeps `span`, from which the last slot has just been given back, if its slots are large and it is not too much by
    /// itself. Those that are [in excess](Idle::excess) then are to go.
    pub(super) fn keep(&self, span: SpanRef) -> bool {
        let slices = slices_for(span.len());
        let keeps = span.room() > size::SMALL_MAX && slices <= allowed();
        if keeps {
            self.spans[self.len.get()].set(Some(span));
            self.len.set(self.len.get() + 1);
            self.slices.set(self.slices.get() + slices);
        }
        keeps
    }

    /// Takes out the one that has waited longest, if too much is kept.
    pub(super) fn excess(&self) -> Option<SpanRef> {
        if self.slices.get() > allowed() { self.take() } else { None }
    }

    /// Takes out the one that has waited longest.
    pub(super) fn take(&self) -> Option<SpanRef> {
        let oldest = self.spans[0].get()?;
        self.take_at(0);
        Some(oldest)
    }

    /// Takes out `span`, if it is kept: a slot of it is about to be used.
    pub(super) fn take_out(&self, span: SpanRef) {
        let kept = &self.spans[..self.len.get()];
        if let Some(at) = kept.iter().position(|kept| kept.get() == Some(span)) {
            self.take_at(at);
        }
    }

    fn take_at(&self, at: usize) {
        if let Some(span) = self.spans[at].get() {
            self.slices.set(self.slices.get() - slices_for(span.len()));
        }
        let last = self.len.get() - 1;
        for at in at..last {
            self.spans[at].set(self.spans[at + 1].get());
        }
        self.spans[last].set(None);
        self.len.set(last);
    }

    /// Nothing is kept, whatever was. What is known of it may be half changed: see `inherited`.
    pub(super) fn forget(&self) {
        self.spans.iter().for_each(|span| span.set(None));
        self.len.set(0);
        self.slices.set(0);
    }

    /// How many slices have been kept and are not any more, and how many are now and were not, since this was last asked.
    /// The caller tells the budget.
    pub(super) fn change(&self) -> (usize, usize) {
        let (before, now) = (self.counted.replace(self.slices.get()), self.slices.get());
        (before.saturating_sub(now), now.saturating_sub(before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ptr::NonNull;

    use crate::mem::heap::{self, HeapRef};
    use crate::mem::os;

    #[test]
    fn a_heap_that_nobody_owns_keeps_none() {
        let heap = HeapRef::create(os::thread_pointer()).unwrap();
        let class = size::class_of(4096);
        let slots = [(); 100].map(|()| heap.take(class).unwrap().0);
        let (mine, others) = slots.split_at(50);
        // SAFETY: taken above, and given back once.
        let give = |slots: &[NonNull<u8>]| slots.iter().for_each(|&at| unsafe { heap::give(at) });
        give(mine);
        assert!(heap.idle.take().is_some_and(|span| heap.idle.keep(span)));
        heap.leave();
        assert_eq!(heap.idle.take(), None);
        give(others);
        assert_eq!(heap.idle.take(), None);
        assert!(heap.owner.adopt(os::thread_pointer()));
        heap.retire_empty_spans();
        // SAFETY: all that was taken has been given back.
        unsafe { heap.destroy() };
    }

    #[test]
    fn the_ones_that_have_waited_longest_go_first() {
        let heap = HeapRef::create(os::thread_pointer()).unwrap();
        let spans = [(); MOST + 1].map(|()| {
            let (at, _) = heap.take_single(SLICE).unwrap();
            // SAFETY: a block in use.
            unsafe { SpanRef::of(at.addr().get()) }
        });
        let (idle, [first, second, third, .., last]) = (Idle::new(), spans);
        assert!(spans[..MOST].iter().all(|&span| idle.keep(span)));
        assert_eq!((idle.excess(), idle.change()), (None, (0, MOST)));
        idle.take_out(second);
        idle.take_out(second);
        assert!(idle.keep(last) && idle.keep(second));
        assert_eq!((idle.excess(), idle.excess()), (Some(first), None));
        assert_eq!((idle.take(), idle.change(), idle.change()), (Some(third), (1, 0), (0, 0)));
        idle.forget();
        assert_eq!((idle.take(), idle.change()), (None, (MOST - 1, 0)));
        for span in spans {
            crate::mem::segment::release(span);
        }
        // SAFETY: all that was taken has been given back.
        unsafe { heap.destroy() };
    }
}
