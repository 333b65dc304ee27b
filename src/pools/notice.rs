//! What happens where no caller is there to be told, because it is the tree that acts: a context is freed,
//! and with it a cache that still has objects in use. The C interface makes log lines of it.

use core::ffi::c_char;
use core::mem::transmute;
use core::ptr::null_mut;
use core::sync::atomic::{
    AtomicPtr,
    Ordering::{Acquire, Release},
};

use super::resident::Kind;

/// A resident was freed, most likely with its context, while parts of it were in use.
#[derive(Clone, Copy, Debug)]
pub struct Notice {
    /// What it was.
    pub kind: Kind,
    /// Its name, a C string, valid until the handler returns.
    pub name: *const c_char,
    /// How many objects, elements or allocations were in use.
    pub in_use: usize,
}

/// What is told.
pub type Handler = fn(&Notice);

static HANDLER: AtomicPtr<()> = AtomicPtr::new(null_mut());

/// Sets who is told, for the whole process.
pub fn set_handler(handler: Handler) {
    HANDLER.store(handler as *mut (), Release);
}

/// Tells whoever wants to know. It is foreign code.
pub(super) fn give(notice: &Notice) {
    let handler = HANDLER.load(Acquire);
    if !handler.is_null() {
        // SAFETY: what is not null was stored by `set_handler`.
        let handler: Handler = unsafe { transmute(handler) };
        handler(notice);
    }
}
