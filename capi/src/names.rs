//! Names: any C string, kept as the pointer that was given.

use core::ffi::{CStr, c_char, c_void};
use core::ptr::null;
use tmempool::hint::behind;
use tmempool::tree::Chunk;

use crate::pointer::with;

/// What a chunk without a name is called.
pub(crate) const UNNAMED: &CStr = c"UNNAMED";

/// Names `ptr` with `name`.
///
/// @param ptr   a chunk.
/// @param name  kept as a pointer, so that it must outlive the chunk; NULL takes the name away.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_set_name_const(ptr: *const c_void, name: *const c_char) {
    // SAFETY: contract.
    unsafe {
        if !Chunk::set_name_quick(ptr, name) {
            behind();
            set_name_slow(ptr, name);
        }
    }
}

/// [`talloc_set_name_const`], where the pointer needs a second look. Kept apart, as the one below is, so that
/// the short way needs no room on the stack.
///
/// # Safety
/// Contract.
#[cold]
#[inline(never)]
unsafe fn set_name_slow(ptr: *const c_void, name: *const c_char) {
    // SAFETY: contract.
    let _ = unsafe { with(ptr, |chunk| chunk.set_name(name)) };
}

/// The name of `ptr`; "UNNAMED" where it has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_get_name(ptr: *const c_void) -> *const c_char {
    // SAFETY: contract.
    unsafe {
        if let Some(name) = Chunk::name_quick(ptr) {
            return name;
        }
        behind();
        get_name_slow(ptr)
    }
}

/// [`talloc_get_name`], where the pointer needs a second look, or there is no name.
///
/// # Safety
/// Contract.
#[cold]
#[inline(never)]
unsafe fn get_name_slow(ptr: *const c_void) -> *const c_char {
    // SAFETY: contract.
    unsafe { with(ptr, name_of) }.unwrap_or(null())
}

/// The name of `chunk`, never null.
#[inline(always)]
pub(crate) fn name_of(chunk: Chunk) -> *const c_char {
    let name = chunk.name();
    if name.is_null() { UNNAMED.as_ptr() } else { name }
}

/// Whether two names are the same, bytes for bytes; null is no name.
///
/// # Safety
/// Both are C strings or null.
#[inline(always)]
pub(crate) unsafe fn same(a: *const c_char, b: *const c_char) -> bool {
    // SAFETY: both are C strings, for neither is null where strcmp is reached.
    unsafe { !a.is_null() && !b.is_null() && (a == b || libc::strcmp(a, b) == 0) }
}
