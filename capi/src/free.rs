//! Freeing, and the function that runs before it.

use core::ffi::{c_char, c_int, c_void};
use tmempool::error::{AllocError, FreeError};
use tmempool::mem::give::Unsettled;
use tmempool::mem::span::SpanRef;
use tmempool::ops::{self, Quick};
use tmempool::tree::chunk::Chunk;
use tmempool::tree::sight::{Found, Look, Suspect};

use crate::fault;
use crate::names::name_of;
use crate::pointer::{refused, with, with_slow};

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
        match Chunk::look(ptr) {
            Look::Plain(found) => match ops::free_found(found, location) {
                Quick::Yes => 0,
                Quick::Unsettled(rest) => settled(rest),
                Quick::No => {
                    let (chunk, span) = found.parts();
                    free_unready(chunk, span, location)
                }
            },
            Look::Member(suspect) => free_member(ptr, location, suspect),
            Look::Shared => free_shared(ptr, location),
            Look::Unknown => free_slow(ptr, location),
        }
    }
}

/// What is left of a [`_talloc_free`]: kept apart, so that the short way needs no room on the stack.
#[cold]
#[inline(never)]
fn settled(rest: Unsettled) -> c_int {
    drop(rest);
    0
}

/// [`_talloc_free`] of what may belong to a pool.
///
/// # Safety
/// Contract.
#[inline(never)]
unsafe fn free_member(ptr: *mut c_void, location: *const c_char, suspect: Suspect) -> c_int {
    // SAFETY: contract.
    unsafe { if ops::free_member(suspect, location) { 0 } else { free_slow(ptr, location) } }
}

/// [`_talloc_free`] of what may belong to a shared context.
///
/// # Safety
/// Contract.
#[inline(never)]
unsafe fn free_shared(ptr: *mut c_void, location: *const c_char) -> c_int {
    // SAFETY: contract.
    unsafe { if ops::free_shared(ptr, location) { 0 } else { free_slow(ptr, location) } }
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
        loop {
            match with(ptr, |chunk| ops::free(chunk, location)) {
                Ok(Err(FreeError::Again)) => {}
                Ok(result) => return freed(result, ptr, location),
                Err(_) => return -1,
            }
        }
    }
}

/// [`_talloc_free`] of what has been checked, and is not shared.
///
/// # Safety
/// Contract.
#[inline(never)]
unsafe fn free_unready(chunk: Chunk, span: SpanRef, location: *const c_char) -> c_int {
    // SAFETY: contract; they are the parts of what was found.
    unsafe {
        match ops::free_unready(Found::of_parts(chunk, span), location) {
            Ok(()) => 0,
            Err(FreeError::Again) => free_slow(chunk.ptr(), location),
            result => freed(result, chunk.ptr(), location),
        }
    }
}

/// What the caller is to get, with the reason said where `ptr` was not freed.
///
/// # Safety
/// Contract.
#[inline(always)]
unsafe fn freed(result: Result<(), FreeError>, ptr: *mut c_void, location: *const c_char) -> c_int {
    match result {
        Ok(()) => 0,
        Err(FreeError::HasReferences) => {
            // SAFETY: contract.
            unsafe { fault::still_referenced(c"ERROR: talloc_free", ptr, location) };
            -1
        }
        Err(FreeError::Corrupt(found)) => {
            fault::bad_pointer(found);
            -1
        }
        Err(_) => -1,
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
        let freed = with(ptr, |chunk| ops::free_children(chunk, c"talloc_free_children".as_ptr()));
        if let Ok(Err(FreeError::Corrupt(found))) = freed {
            fault::bad_pointer(found);
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
        match Chunk::check_quick(ptr) {
            Some(chunk) => {
                if let Err(error) = ops::set_destructor(chunk, destructor) {
                    no_destructor(error, ptr);
                }
            }
            None => set_destructor_slow(ptr, destructor),
        }
    }
}

/// [`_talloc_set_destructor`] of what the short way has turned down.
///
/// # Safety
/// Contract.
#[inline(never)]
unsafe fn set_destructor_slow(
    ptr: *const c_void,
    destructor: Option<unsafe extern "C" fn(ptr: *mut c_void) -> c_int>,
) {
    // SAFETY: contract.
    unsafe {
        if let Ok(Err(error)) = with_slow(ptr, |chunk| ops::set_destructor(chunk, destructor)) {
            no_destructor(error, ptr);
        }
    }
}

/// Says that the chunk at `ptr` has got no destructor.
///
/// # Safety
/// Contract.
#[cold]
unsafe fn no_destructor(error: AllocError, ptr: *const c_void) {
    let what = c"ERROR: no memory for a destructor of ".as_ptr();
    // SAFETY: contract; names are C strings.
    if let Ok(words) = unsafe { with(ptr, |chunk| fault::words(&[what, name_of(chunk)])) } {
        refused(error);
        words.log();
    }
}
