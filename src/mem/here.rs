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
//! The words lie at a fixed distance from the thread pointer, so that no call is needed to find them. They have no destructor,
//! and are there from a thread's first moment to its last; which heap is whose is decided elsewhere (`threads`).

use core::ptr;

use super::heap::{Heap, HeapRef};
use super::os;

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

/// The words, where they can be reached without a call. In each function, what comes before it in the program stays before
/// what it writes, and what comes after, after it: the compiler takes it that all memory may be read and written there.
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
mod words {
    use core::arch::{asm, global_asm};

    use super::{MARK, NO_HEAP};

    // Two words, first the one that says where a change may begin, then the own heap, of the thread-local storage that threads
    // have from the beginning ("initial exec"). Hidden: each library that is made of this has its own.
    global_asm!(
        ".pushsection .tdata.tmempool_here,\"awT\",@progbits",
        ".hidden tmempool_here",
        ".globl tmempool_here",
        ".type tmempool_here, @object",
        ".size tmempool_here, 16",
        ".balign 16",
        "tmempool_here: .quad {no_heap}, {no_heap}",
        ".popsection",
        no_heap = const NO_HEAP,
    );

    /// Where they lie, from the thread pointer.
    #[inline(always)]
    fn offset() -> usize {
        let offset: usize;
        // SAFETY: reads a word that the loader has set for good.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            asm!(
                "mov {}, qword ptr [rip + tmempool_here@GOTTPOFF]",
                out(reg) offset,
                options(pure, nomem, nostack, preserves_flags)
            );
            #[cfg(target_arch = "aarch64")]
            asm!(
                "adrp {0}, :gottprel:tmempool_here",
                "ldr {0}, [{0}, :gottprel_lo12:tmempool_here]",
                out(reg) offset,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        offset
    }

    /// In which heap a change may begin.
    #[inline(always)]
    pub(super) fn place() -> usize {
        let word: usize;
        // SAFETY: reads a word of the calling thread's alone.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            asm!(
                "mov {}, qword ptr fs:[{}]",
                out(reg) word,
                in(reg) offset(),
                options(readonly, nostack, preserves_flags)
            );
            #[cfg(target_arch = "aarch64")]
            asm!(
                "mrs {0}, tpidr_el0",
                "ldr {0}, [{0}, {1}]",
                out(reg) word,
                in(reg) offset(),
                options(readonly, nostack, preserves_flags)
            );
        }
        word
    }

    /// A change begins.
    #[inline(always)]
    pub(super) fn mark() {
        // SAFETY: writes a word of the calling thread's alone.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            asm!(
                "mov qword ptr fs:[{}], {mark}",
                in(reg) offset(),
                mark = const MARK,
                options(nostack, preserves_flags)
            );
            #[cfg(target_arch = "aarch64")]
            asm!(
                "mrs {0}, tpidr_el0",
                "str {2}, [{0}, {1}]",
                out(reg) _,
                in(reg) offset(),
                in(reg) MARK,
                options(nostack, preserves_flags)
            );
        }
    }

    /// A change ends. All in one, so that no register need be kept for it.
    #[inline(always)]
    pub(super) fn unmark() {
        // SAFETY: reads and writes words of the calling thread's alone.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            asm!(
                "mov {0}, qword ptr [rip + tmempool_here@GOTTPOFF]",
                "mov {1}, qword ptr fs:[{0} + 8]",
                "mov qword ptr fs:[{0}], {1}",
                out(reg) _,
                out(reg) _,
                options(nostack, preserves_flags)
            );
            #[cfg(target_arch = "aarch64")]
            asm!(
                "adrp {0}, :gottprel:tmempool_here",
                "ldr {0}, [{0}, :gottprel_lo12:tmempool_here]",
                "mrs {1}, tpidr_el0",
                "add {0}, {0}, {1}",
                "ldr {1}, [{0}, 8]",
                "str {1}, [{0}]",
                out(reg) _,
                out(reg) _,
                options(nostack, preserves_flags)
            );
        }
    }

    /// The calling thread's own heap.
    #[inline(always)]
    pub(super) fn own() -> usize {
        let word: usize;
        // SAFETY: reads a word of the calling thread's alone.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            asm!(
                "mov {}, qword ptr fs:[{} + 8]",
                out(reg) word,
                in(reg) offset(),
                options(readonly, nostack, preserves_flags)
            );
            #[cfg(target_arch = "aarch64")]
            asm!(
                "mrs {0}, tpidr_el0",
                "add {0}, {0}, {1}",
                "ldr {0}, [{0}, 8]",
                out(reg) word,
                in(reg) offset(),
                options(readonly, nostack, preserves_flags)
            );
        }
        word
    }

    /// The calling thread's own heap is this.
    pub(super) fn set_own(word: usize) {
        // SAFETY: writes a word of the calling thread's alone.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            asm!(
                "mov qword ptr fs:[{} + 8], {}",
                in(reg) offset(),
                in(reg) word,
                options(nostack, preserves_flags)
            );
            #[cfg(target_arch = "aarch64")]
            asm!(
                "mrs {0}, tpidr_el0",
                "add {0}, {0}, {1}",
                "str {2}, [{0}, 8]",
                out(reg) _,
                in(reg) offset(),
                in(reg) word,
                options(nostack, preserves_flags)
            );
        }
    }
}

/// The words, kept by the threads library.
#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
mod words {
    use core::ptr::{null, without_provenance_mut};
    use core::sync::atomic::{AtomicU32, Ordering::AcqRel, Ordering::Acquire};

    use super::{MARK, NO_HEAP};

    static PLACE: Word = Word(AtomicU32::new(0));
    static OWN: Word = Word(AtomicU32::new(0));

    /// A word of each thread's. Holds its key, plus one; 0 while there is none.
    struct Word(AtomicU32);

    impl Word {
        /// `None` when the process has used up its keys: then heaps are looked for each time, and no change is marked.
        fn key(&self) -> Option<libc::pthread_key_t> {
            let key = self.0.load(Acquire);
            if key != 0 { Some(key - 1) } else { self.create() }
        }

        #[cold]
        fn create(&self) -> Option<libc::pthread_key_t> {
            let mut key: libc::pthread_key_t = 0;
            // SAFETY: a key to fill.
            if unsafe { libc::pthread_key_create(&raw mut key, None) } != 0 {
                return None;
            }
            match self.0.compare_exchange(0, key + 1, AcqRel, Acquire) {
                Ok(_) => Some(key),
                Err(other) => {
                    // SAFETY: a key of ours that nobody has seen.
                    unsafe { libc::pthread_key_delete(key) };
                    Some(other - 1)
                }
            }
        }

        fn get(&self) -> usize {
            // SAFETY: the key exists for as long as the library.
            let word =
                self.key().map_or(null(), |key| unsafe { libc::pthread_getspecific(key) }.cast_const());
            if word.is_null() { NO_HEAP } else { word.addr() }
        }

        fn set(&self, word: usize) {
            if let Some(key) = self.key() {
                // SAFETY: as above. Without memory for it nothing is kept.
                unsafe { libc::pthread_setspecific(key, without_provenance_mut(word)) };
            }
        }
    }

    pub(super) fn place() -> usize {
        PLACE.get()
    }

    pub(super) fn mark() {
        PLACE.set(MARK);
    }

    pub(super) fn unmark() {
        PLACE.set(OWN.get());
    }

    pub(super) fn own() -> usize {
        OWN.get()
    }

    pub(super) fn set_own(word: usize) {
        OWN.set(word);
    }
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
