//! The word in a header that holds the name, or leads to the side record, which holds the name from then on.
//!
//! ```text
//! MARK clear    the name, or null; of a freed chunk, where it was freed
//! MARK set      the address of the side record, and MARK
//! ```
//!
//! While a chunk lives, its name may be asked for by threads that have no right to it: the worker of a queue asks for the
//! type of its job while the owner gives that a destructor, and with it a side record. So the word says by itself what it is,
//! and goes from one to the other in one step. The flag [`SIDE`], which comes after that, says the same to who has the right to
//! the chunk.
//!
//! [`SIDE`]: super::chunk::SIDE

use core::ffi::{c_char, c_void};
use core::ptr::{self, NonNull};
use core::sync::atomic::{
    AtomicPtr,
    Ordering::{Acquire, Relaxed, Release},
};

use super::side::{Side, SideRef};

/// A bit that no address of a program has. (An address may have tags in other high bits: on AArch64 in the whole of
/// its upper byte, on x86-64 below the uppermost bit.)
pub(crate) const MARK: usize = if cfg!(target_arch = "aarch64") { 1 << 55 } else { 1 << 63 };

/// See the module.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct NameWord(AtomicPtr<c_void>);

impl NameWord {
    /// That of a chunk without a side record.
    #[inline(always)]
    pub(super) const fn new(name: *const c_char) -> NameWord {
        NameWord(AtomicPtr::new(name.cast_mut().cast()))
    }

    /// What it was when it was a part of another chunk's header.
    #[inline(always)]
    pub(super) fn take_over(&self, from: &NameWord) {
        self.0.store(from.0.load(Relaxed), Relaxed);
    }

    /// The name that it holds. Where it leads to a side record, what no name is.
    #[inline(always)]
    pub(super) fn held(&self) -> *const c_char {
        self.0.load(Relaxed).cast_const().cast()
    }

    /// The name that it holds. `None` if it leads to a side record.
    #[inline(always)]
    pub(super) fn plain(&self) -> Option<*const c_char> {
        let word = self.0.load(Relaxed);
        (word.addr() & MARK == 0).then_some(word.cast_const().cast())
    }

    /// The name that it holds. `None` if it leads to a side record, or there is no name.
    #[inline(always)]
    pub(super) fn given(&self) -> Option<*const c_char> {
        let word = self.0.load(Relaxed);
        // Where the mark is the sign, one compare tells both.
        let is_name = if MARK == 1 << (usize::BITS - 1) {
            word.addr().cast_signed() > 0
        } else {
            word.addr() & MARK == 0 && !word.is_null()
        };
        is_name.then_some(word.cast_const().cast())
    }

    /// The side record that it leads to.
    #[inline(always)]
    pub(super) fn side(&self) -> Option<SideRef> {
        let word = self.0.load(Acquire);
        // SAFETY: with the mark, it leads to a record, which lives as long as the chunk.
        (word.addr() & MARK != 0).then(|| unsafe { SideRef::from_raw(with_mark_toggled(word)) })
    }

    /// The side record that it leads to.
    ///
    /// # Safety
    /// It leads to one.
    #[inline(always)]
    pub(super) unsafe fn side_record(&self) -> SideRef {
        // SAFETY: the caller's.
        unsafe { SideRef::from_raw(with_mark_toggled(self.0.load(Acquire))) }
    }

    /// Holds `name` from now on.
    #[inline(always)]
    pub(super) fn set(&self, name: *const c_char) {
        self.0.store(name.cast_mut().cast(), Relaxed);
    }

    /// Leads to `side` from now on, all of which is seen by whoever comes there.
    #[inline(always)]
    pub(super) fn lead_to(&self, side: NonNull<Side>) {
        self.0.store(with_mark_toggled(side.as_ptr()), Release);
    }

    /// Neither a name nor a side record.
    #[inline(always)]
    pub(super) fn clear(&self) {
        self.set(ptr::null());
    }
}

#[inline(always)]
fn with_mark_toggled<From, To>(word: *mut From) -> *mut To {
    ptr::with_exposed_provenance_mut(word.expose_provenance() ^ MARK)
}
