//! Spare heaps: those that were shared, for the next shared context.

use core::cell::Cell;

use crate::mem::heap::HeapRef;
use crate::mem::lock::Lock;

/// Heaps that were shared.
pub(super) struct Spares {
    /// Guards the list. Taken after the locks of heaps: who leaves the last one of several adds to it.
    lock: Lock,
    first: Cell<Option<HeapRef>>,
}

// SAFETY: the list is touched only while the lock is held.
unsafe impl Sync for Spares {}

pub(super) static SPARES: Spares = Spares { lock: Lock::new(), first: Cell::new(None) };

impl Spares {
    pub(super) fn push(&self, heap: HeapRef) {
        let _held = self.lock.hold();
        heap.gate.next_spare.set(self.first.replace(Some(heap)));
    }

    /// Takes out the first that can be had, as `adopt` says.
    pub(super) fn take(&self, adopt: impl Fn(HeapRef) -> bool) -> Option<HeapRef> {
        let _held = self.lock.hold();
        let (mut before, mut at) = (None::<HeapRef>, self.first.get());
        while let Some(heap) = at {
            if adopt(heap) {
                let after = heap.gate.next_spare.take();
                match before {
                    Some(before) => before.gate.next_spare.set(after),
                    None => self.first.set(after),
                }
                return Some(heap);
            }
            (before, at) = (at, heap.gate.next_spare.get());
        }
        None
    }
}

/// No heap is spare: all are about to be destroyed.
pub(in crate::mem) fn forget_spares() {
    let _held = SPARES.lock.hold();
    SPARES.first.set(None);
}

/// The lock of the list of spare heaps, for the fork handlers.
pub(in crate::mem) fn spares_lock() -> &'static Lock {
    &SPARES.lock
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::os;

    #[test]
    fn a_spare_heap_that_cannot_be_had_hides_no_other() {
        let spares = Spares { lock: Lock::new(), first: Cell::new(None) };
        let heaps = [(); 3].map(|()| HeapRef::create(os::thread_pointer()).unwrap());
        heaps.iter().for_each(|&heap| spares.push(heap));
        let [oldest, middle, newest] = heaps;
        assert_eq!(spares.take(|heap| heap == middle), Some(middle));
        assert_eq!(spares.take(|heap| heap != newest), Some(oldest));
        assert_eq!(spares.take(|_| false), None);
        assert_eq!(spares.take(|_| true), Some(newest));
        assert_eq!(spares.take(|_| true), None);
        for heap in heaps {
            // SAFETY: it is in no list, and nothing lies in it.
            unsafe { heap.destroy() };
        }
    }
}
