//! Lists of heaps: one of those of threads (`threads`), one of those of shared contexts (`shared`), of which there may be
//! very many. A heap stays in its list until the library is unloaded.

use core::sync::atomic::{
    AtomicPtr,
    Ordering::{AcqRel, Acquire, Relaxed},
};

use super::heap::{Heap, HeapRef};

/// See the module. The newest is the first.
#[derive(Debug)]
pub(super) struct Heaps(AtomicPtr<Heap>);

impl Heaps {
    pub(super) const fn new() -> Heaps {
        Heaps(AtomicPtr::new(core::ptr::null_mut()))
    }

    /// Adds a new heap. The ranks rise from the oldest, which is the last, to the newest.
    pub(super) fn add(&self, heap: HeapRef) {
        let mut first = self.0.load(Acquire);
        loop {
            heap.next.store(first, Relaxed);
            heap.gate.rank.set(HeapRef::from_raw(first).map_or(0, |first| first.gate.rank.get() + 1));
            match self.0.compare_exchange_weak(first, heap.as_ptr(), AcqRel, Acquire) {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = HeapRef> + Clone {
        core::iter::successors(HeapRef::from_raw(self.0.load(Acquire)), |heap| {
            HeapRef::from_raw(heap.next.load(Acquire))
        })
    }

    /// Unmaps them all.
    ///
    /// # Safety
    /// Nobody has one, and no span belongs to one.
    pub(super) unsafe fn destroy(&self) {
        let mut heap = HeapRef::from_raw(self.0.swap(core::ptr::null_mut(), AcqRel));
        while let Some(gone) = heap {
            heap = HeapRef::from_raw(gone.next.load(Acquire));
            // SAFETY: the caller's.
            unsafe { gone.destroy() };
        }
    }
}
