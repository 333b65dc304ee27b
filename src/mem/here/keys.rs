//! The words kept by the threads library, where they cannot be reached without a call.

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
        let word = self.key().map_or(null(), |key| unsafe { libc::pthread_getspecific(key) }.cast_const());
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
