//! Freeing, and the function that runs before it.

use core::ffi::{c_char, c_int, c_void};
use tmempool::error::FreeError;
use tmempool::ops;
use tmempool::tree::Chunk;

use crate::fault;
use crate::names::name_of;
use crate::pointer::{chunk, refused};

/// Frees `ptr` and the tree below it: its destructor first, then the children, newest first, then
/// the memory. A child that refuses to die, or that others refer to, moves to another owner.
///
/// A chunk with references is freed only if it has no parent and one reference; then the referring
/// context becomes its parent. Otherwise the call is logged, with the places of the references.
///
/// @param ptr       a chunk; NULL gives -1.
/// @param location  where the caller stands, "file:line", kept for the report of a later use of
///                  `ptr`; a string literal, or NULL.
/// @return          0, or -1 if `ptr` lives on: its destructor returned -1, or it has references.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _talloc_free(ptr: *mut c_void, location: *const c_char) -> c_int {
    // SAFETY: contract.
    unsafe {
        match Chunk::check_quick(ptr) {
            Some(chunk) if ops::free_quick(chunk, location) => 0,
            Some(chunk) => free_checked(chunk, location),
            None if ops::free_member_quick(ptr, location) => 0,
            None => free_slow(ptr, location),
        }
    }
}

/// [`_talloc_free`], the whole of it: kept apart, so that the short way needs no room on the stack.
///
/// # Safety
/// Contract.
#[inline(never)]
unsafe fn free_slow(ptr: *mut c_void, location: *const c_char) -> c_int {
    if ptr.is_null() {
        return -1;
    }
    // SAFETY: contract.
    unsafe {
        match chunk(ptr) {
            Ok(chunk) => free_checked(chunk, location),
            Err(_) => -1,
        }
    }
}

/// [`_talloc_free`] of what has been checked.
///
/// # Safety
/// Contract.
#[inline(never)]
unsafe fn free_checked(chunk: Chunk, location: *const c_char) -> c_int {
    // SAFETY: contract.
    unsafe {
        match ops::free(chunk, location) {
            Ok(()) => 0,
            Err(FreeError::HasReferences) => {
                fault::still_referenced(c"ERROR: talloc_free", chunk, location);
                -1
            }
            Err(FreeError::Corrupt(found)) => {
                fault::bad_pointer(found);
                -1
            }
            Err(_) => -1,
        }
    }
}

/// Frees all children of `ptr`, except for the string that `talloc_set_name()` made its name from.
///
/// @param ptr  a chunk; NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_free_children(ptr: *mut c_void) {
    if ptr.is_null() {
        return;
    }
    // SAFETY: contract.
    unsafe {
        if let Ok(chunk) = chunk(ptr) {
            let freed = ops::free_children(chunk, c"talloc_free_children".as_ptr());
            if let Err(FreeError::Corrupt(found)) = freed {
                fault::bad_pointer(found);
            }
        }
    }
}

/// Sets the function that runs when `ptr` is about to be freed, while it and its children are
/// still alive. It returns 0 to go on, or -1 to keep `ptr` alive.
///
/// A destructor may free, steal or allocate anything, `ptr` included; freeing `ptr` again from
/// within it gives -1. It must not throw a C++ exception.
///
/// Where there is no memory for it, which is logged, errno is ENOMEM and nothing has changed.
///
/// @param ptr         a chunk.
/// @param destructor  called with `ptr`; NULL for none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _talloc_set_destructor(
    ptr: *const c_void,
    destructor: Option<unsafe extern "C" fn(ptr: *mut c_void) -> c_int>,
) {
    // SAFETY: contract.
    unsafe {
        if let Ok(chunk) = chunk(ptr)
            && let Err(error) = ops::set_destructor(chunk, destructor)
        {
            refused(error);
            fault::log_line(&[c"ERROR: no memory for a destructor of ".as_ptr(), name_of(chunk)]);
        }
    }
}
