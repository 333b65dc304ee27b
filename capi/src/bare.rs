//! Bare bytes of a pool: memory without a header, which goes with all else in the pool.

use core::ffi::{CStr, c_void};
use core::ptr::null_mut;
use tmempool::error::AllocError;
use tmempool::ops;

use crate::fault::{self, Piece};
use crate::names::name_of;
use crate::pointer::{refused, with};

/// Allocates `size` bytes of `pool` that are no chunk: they have no header, no name and no parent, and go with all else
/// in the pool, when its children are freed (`tm_reset()`, `talloc_free_children()`) or the pool is. It costs a few
/// instructions, and no memory but for rounding to 16 bytes. Nothing frees, resizes or moves them alone; whatever takes
/// a chunk recognises that they are none. What is larger than a block of the pool may hold comes from the heap, and
/// goes with the pool all the same.
///
/// They count in `tm_stats()`, and for limits as members of the pool do, but not in reports and totals, which tell of
/// chunks. One thread at a time, unless the pool belongs to a shared context.
///
/// @param pool  a pool: what talloc_pool(), tm_pool_growable() or tm_shared_pool() gave, or talloc_pooled_object(), if
///              that is a pool in more than name.
/// @param size  bytes; less than 256 MiB. For 0, the result is not NULL, and must not be written to.
/// @return      the memory, aligned to 16 bytes and not initialised; NULL with errno ENOMEM; or EINVAL, which is
///              logged, if `pool` is a chunk, but no pool.
/// cbindgen:prefix=TM_DIRECT
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_palloc(pool: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: contract.
    unsafe {
        match ops::bare_quick(pool, size) {
            Some(at) => at.as_ptr().cast(),
            None => slow(pool, size),
        }
    }
}

/// tm_palloc(), with the bytes set to zero.
///
/// @param pool  as for tm_palloc().
/// @param size  as for tm_palloc().
/// @return      as for tm_palloc().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_pcalloc(pool: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: contract.
    unsafe {
        let at = match ops::bare_quick(pool, size) {
            Some(at) => at.as_ptr().cast(),
            None => take(c"tm_pcalloc", pool, size),
        };
        if !at.is_null() {
            at.cast::<u8>().write_bytes(0, size);
        }
        at
    }
}

/// # Safety
/// Contract.
#[inline(never)]
unsafe fn slow(pool: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: contract.
    unsafe { take(c"tm_palloc", pool, size) }
}

/// The whole way, for `function`. What the limits' functions have done to the pool meanwhile is not known: it is looked
/// at no more.
///
/// # Safety
/// Contract.
unsafe fn take(function: &CStr, pool: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: contract.
    unsafe {
        match with(pool, |chunk| ops::bare(chunk, size)) {
            Ok(Ok(at)) => at.as_ptr().cast(),
            Ok(Err(AllocError::Refused)) => {
                no_pool(function, pool);
                null_mut()
            }
            Ok(Err(error)) => refused(error),
            Err(_) => null_mut(),
        }
    }
}

/// Says that `ptr`, for which no function of a limit was called, is a chunk, but no pool.
///
/// # Safety
/// Contract.
#[cold]
#[inline(never)]
unsafe fn no_pool(function: &CStr, ptr: *mut c_void) {
    // SAFETY: contract.
    unsafe {
        let why = |chunk| {
            fault::misused(function, &[Piece::Foreign(name_of(chunk)), Piece::Text(c" is not a pool")])
        };
        if let Ok(misuse) = with(ptr, why) {
            misuse.report();
        }
    }
}
