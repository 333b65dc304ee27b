//! How much a chunk holds, by itself and with all that hangs below it.

use core::ffi::c_void;
use tmempool::ops;
use tmempool::tree::Chunk;

use crate::alloc::payload_size;
use crate::pointer::with_context;

/// The size of the payload of `ctx` in bytes: what was asked for. 0 for NULL and for a pool.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_get_size(ctx: *const c_void) -> usize {
    // SAFETY: contract.
    unsafe { payload_size(ctx) }
}

/// The bytes of all payloads in the tree of `ptr`, itself included; a reference counts nothing.
/// For NULL, the tree of the null context, or 0 where it is not tracked.
///
/// The time it takes grows with the number of chunks; the stack does not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_total_size(ptr: *const c_void) -> usize {
    // SAFETY: contract.
    unsafe { with_root(ptr, |root| ops::total_size(root)) }.unwrap_or(0)
}

/// The number of chunks in the tree of `ptr`, itself and references included. For NULL, the tree
/// of the null context, or 0 where it is not tracked.
///
/// The time it takes grows with the number of chunks; the stack does not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_total_blocks(ptr: *const c_void) -> usize {
    // SAFETY: contract.
    unsafe { with_root(ptr, |root| ops::total_blocks(root)) }.unwrap_or(0)
}

/// Calls `look` with the chunk to be counted or reported for `ptr`: for NULL the null context, if there is one.
///
/// # Safety
/// Contract.
pub(crate) unsafe fn with_root<R>(ptr: *const c_void, look: impl FnOnce(Chunk) -> R) -> Option<R> {
    // SAFETY: contract.
    unsafe { with_context(ptr, |chunk| chunk.or_else(ops::null_context).map(look)) }.ok().flatten()
}
