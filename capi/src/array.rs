//! Arrays: a count of elements, checked so that no product of sizes ever overflows.

use core::ffi::{c_char, c_uint, c_void};
use core::ptr::null_mut;
use tmempool::error::AllocError;
use tmempool::ops;

use crate::alloc::{named, payload_size, resized, zeroed};
use crate::fault;
use crate::pointer::refused;

/// The bytes of `count` elements of `el_size`, or None with `errno` set: an element has a size,
/// and the whole is less than 256 MiB.
#[inline(always)]
fn bytes(el_size: usize, count: c_uint) -> Option<usize> {
    if el_size == 0 {
        fault::invalid();
        return None;
    }
    let count = count as usize;
    if count >= ops::MAX_SIZE / el_size {
        refused(AllocError::TooLarge);
        return None;
    }
    Some(el_size * count)
}

/// Allocates an array of `count` elements under `ctx`.
///
/// @param ctx      the parent; NULL for none.
/// @param el_size  bytes in an element; not 0.
/// @param count    elements; fewer than 256 MiB / `el_size`.
/// @param name     kept as a pointer; NULL for none.
/// @return         the array, aligned to 16 bytes and not initialised; NULL with errno ENOMEM, or
///                 EINVAL for an `el_size` of 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _talloc_array(
    ctx: *const c_void,
    el_size: usize,
    count: c_uint,
    name: *const c_char,
) -> *mut c_void {
    match bytes(el_size, count) {
        // SAFETY: contract.
        Some(size) => unsafe { named(ctx, size, name) },
        None => null_mut(),
    }
}

/// Allocates an array of `count` elements under `ctx`, all zeros.
///
/// Parameters and result are those of `_talloc_array()`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _talloc_zero_array(
    ctx: *const c_void,
    el_size: usize,
    count: c_uint,
    name: *const c_char,
) -> *mut c_void {
    match bytes(el_size, count) {
        // SAFETY: contract.
        Some(size) => unsafe { zeroed(ctx, size, name) },
        None => null_mut(),
    }
}

/// Changes the array `ptr` to `count` elements, as `_talloc_realloc()` does.
///
/// @param ctx      the parent of what is allocated where `ptr` is NULL.
/// @param ptr      an array, or NULL.
/// @param el_size  bytes in an element; not 0.
/// @param count    elements; fewer than 256 MiB / `el_size`; 0 unlinks.
/// @param name     the name if the memory had to grow or move.
/// @return         the array in its place; NULL with `ptr` as it was, or for a `count` of 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _talloc_realloc_array(
    ctx: *const c_void,
    ptr: *mut c_void,
    el_size: usize,
    count: c_uint,
    name: *const c_char,
) -> *mut c_void {
    match bytes(el_size, count) {
        // SAFETY: contract.
        Some(size) => unsafe { resized(ctx, ptr, size, name) },
        None => null_mut(),
    }
}

/// `_talloc_realloc_array()`, with zeros in what is added behind the old size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _talloc_realloc_array_zero(
    ctx: *const c_void,
    ptr: *mut c_void,
    el_size: usize,
    count: c_uint,
    name: *const c_char,
) -> *mut c_void {
    let Some(size) = bytes(el_size, count) else {
        return null_mut();
    };
    if ptr.is_null() && size > 0 {
        // SAFETY: contract.
        return unsafe { zeroed(ctx, size, name) };
    }
    // SAFETY: contract; the array given has room for `size` bytes, of which `old` are taken.
    unsafe {
        let old = payload_size(ptr);
        let array = resized(ctx, ptr, size, name);
        if !array.is_null() && size > old {
            array.cast::<u8>().add(old).write_bytes(0, size - old);
        }
        array
    }
}
