//! What a thread knows of itself: its heap, and whether it is in the middle of a change.
//!
//! Two words of each thread's: its *own* heap, and the heap in which it may begin a change, which is its own but in the middle of
//! one. So one compare says that a heap is the calling thread's and that it is changing nothing ([`begin_in`]): that is what
//! the short ways ask. Whoever begins a change puts a mark there, and whoever ends it takes that away.
//!
//! Invariant: foreign code runs without the mark (see [`outside`]), with all valid. So who begins a change and finds
//! the mark is in a signal handler that has interrupted its thread in one, or a jump has left one behind: that
//! ends the process, for the change is half done.
//!
//! The words lie at a fixed distance from the thread pointer, so that no call is needed to find them (`storage`; elsewhere,
//! `keys`). They have no destructor, and are there from a thread's first moment to its last; which heap is whose is decided elsewhere (`threads`).

use core::ptr;

#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
mod keys;
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
mod storage;

use super::heap::{Heap, HeapRef};
use super::os;
#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
use keys as words;
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
use storage as words;

/// In place of the heap in which a change may begin, in the middle of one.
const MARK: usize = 1;
/// In place of a heap, where the thread has none. No span is known to have it as its heap.
const NO_HEAP: usize = 2;

const _: () = assert!(align_of::<Heap>() > MARK | NO_HEAP);

/// The calling thread's heap, if it has one.
#[inline(always)]
pub(super) fn heap() -> Option<HeapRef> {
    match words::own() {
        NO_HEAP => None,
        heap => HeapRef::from_raw(ptr::with_exposed_provenance_mut(heap)),
    }
}

/// From now on the calling thread has this heap, or none.
pub(super) fn settle(heap: Option<HeapRef>) {
    let heap = heap.map_or(NO_HEAP, |heap| heap.as_ptr().expose_provenance());
    words::set_own(heap);
    if words::place() != MARK {
        words::unmark();
    }
}

/// Whether `heap` is the calling thread's own.
#[inline(always)]
pub(super) fn is_own(heap: *mut Heap) -> bool {
    words::own() == heap.addr()
}

/// A change by the calling thread, until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Change(());

impl Change {
    /// Begins a change. In a signal handler that has interrupted another, the process ends.
    #[inline(always)]
    pub fn begin() -> Change {
        if words::place() == MARK {
            os::would_wait_for_itself();
        }
        words::mark();
        Change(())
    }
}

impl Drop for Change {
    #[inline(always)]
    fn drop(&mut self) {
        words::unmark();
    }
}

/// Begins a change, if `heap` is the calling thread's, and it is in no change. `None` says nothing.
#[inline(always)]
pub fn begin_in(heap: *mut Heap) -> Option<Change> {
    if words::place() != heap.addr() {
        return None;
    }
    words::mark();
    Some(Change(()))
}

/// Calls foreign code in the middle of a change. It may do anything, also never return.
#[inline(always)]
pub fn outside<R>(foreign: impl FnOnce() -> R) -> R {
    words::unmark();
    let result = foreign();
    words::mark();
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::threads;

    #[test]
    fn a_thread_knows_its_heap_and_marks_changes() {
        let mine = threads::current().unwrap();
        assert_eq!(heap(), Some(mine));
        let other = std::thread::spawn(|| {
            assert_eq!(heap(), None);
            threads::current().unwrap().as_ptr() as usize
        });
        let other = other.join().unwrap() as *mut Heap;
        assert!(begin_in(other).is_none() && begin_in(ptr::null_mut()).is_none());
        {
            let _change = begin_in(mine.as_ptr()).unwrap();
            assert_eq!(heap(), Some(mine));
            assert!(begin_in(mine.as_ptr()).is_none());
            outside(|| assert!(begin_in(mine.as_ptr()).is_some()));
            assert!(begin_in(mine.as_ptr()).is_none());
        }
        let change = Change::begin();
        assert!(begin_in(mine.as_ptr()).is_none());
        settle(None);
        assert_eq!(heap(), None);
        settle(Some(mine));
        drop(change);
        assert!(begin_in(mine.as_ptr()).is_some());
    }
}
