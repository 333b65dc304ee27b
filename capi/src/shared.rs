//! Shared contexts: all threads may use at once what lies below one.

use core::ffi::{c_char, c_void};
use core::ptr::null_mut;
use tmempool::ops;

use crate::pointer::{given, with_context};

/// Makes a context that any thread may use at any time, with all that lies below it: allocate, free, change sizes and
/// names, steal in and out, refer to, report. It has a lock of its own, which each call takes for a moment; two shared
/// contexts never wait for each other but where a call is given chunks of both. No lock is held while a destructor, a
/// callback of a report or the log function runs.
///
/// What is stolen out of it is shared no more, what is stolen in is shared from then on; both take time that grows with what
/// lies below the chunk. Below another shared context, this makes an ordinary context of that one. A shared context itself can
/// be stolen, but not into another.
///
/// To free or to steal the shared context itself changes its parent, too: that is for the thread that the parent
/// belongs to. Without a parent, any thread may. No other thread may be using then what lies below it.
///
/// `docs/threads.md` says what is atomic and what is not.
///
/// @param parent  the parent; NULL for none.
/// @param name    kept as a pointer, so that it must outlive the context; NULL for none.
/// @return        the context, of no bytes; NULL with errno ENOMEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_shared_context(parent: *const c_void, name: *const c_char) -> *mut c_void {
    // SAFETY: contract.
    unsafe { with_context(parent, |parent| given(ops::shared_context(parent, name))) }.unwrap_or(null_mut())
}

/// Makes a shared context, as `tm_shared_context()` does, that is a pool: its descendants come from a buffer of `size`
/// bytes while it has room, and from its heap when it has not.
///
/// @param parent  the parent; NULL for none.
/// @param size    bytes for descendants and their headers; less than 256 MiB.
/// @return        the pool, without a name; NULL with errno ENOMEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_shared_pool(parent: *const c_void, size: usize) -> *mut c_void {
    // SAFETY: contract.
    unsafe { with_context(parent, |parent| given(ops::shared_pool(parent, size))) }.unwrap_or(null_mut())
}
