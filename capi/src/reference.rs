//! References: a second context keeps a chunk alive.

use core::ffi::{c_char, c_int, c_void};
use core::ptr::null_mut;
use tmempool::error::FreeError;
use tmempool::ops;
use tmempool::tree::Chunk;

use crate::fault;
use crate::pointer::{refused, with, with_both};

/// Lets `context` refer to `ptr`: `ptr` then lives until its parent and all that refer to it have
/// let go.
///
/// @param context   the new owner; NULL for the null context.
/// @param ptr       a chunk; NULL gives NULL.
/// @param location  where the caller stands, "file:line", for messages; a literal, or NULL.
/// @return          `ptr`; NULL with errno ENOMEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _talloc_reference_loc(
    context: *const c_void,
    ptr: *const c_void,
    location: *const c_char,
) -> *mut c_void {
    // SAFETY: contract.
    unsafe {
        if let Some(owner) = Chunk::find(context)
            && let Some(chunk) = Chunk::find(ptr)
            && ops::reference_found(owner, chunk, location)
        {
            return ptr.cast_mut();
        }
        reference_slow(context, ptr, location)
    }
}

/// [`_talloc_reference_loc`], the whole of it: kept apart, so that the short way needs no room on the stack.
///
/// # Safety
/// Contract.
#[inline(never)]
unsafe fn reference_slow(context: *const c_void, ptr: *const c_void, location: *const c_char) -> *mut c_void {
    if ptr.is_null() {
        return null_mut();
    }
    // SAFETY: contract.
    unsafe {
        match with_both(context, ptr, |owner, chunk| ops::reference(owner, chunk, location)) {
            Ok(Ok(())) => ptr.cast_mut(),
            Ok(Err(error)) => refused(error),
            Err(_) => null_mut(),
        }
    }
}

/// Lets go of `ptr` for `context`: drops the reference that `context` holds; or, if it is the
/// parent, makes the first referring context the parent; or, if nobody refers to it, frees it.
///
/// @param context  the parent or a referring context; NULL for the null context.
/// @param ptr      a chunk; NULL gives -1.
/// @return         0; -1 if `context` does not own `ptr`, or a destructor returned -1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_unlink(context: *const c_void, ptr: *mut c_void) -> c_int {
    if ptr.is_null() {
        return -1;
    }
    // SAFETY: contract.
    unsafe { unlinked(context, ptr) }
}

/// # Safety
/// Contract; `ptr` is not NULL.
pub(crate) unsafe fn unlinked(context: *const c_void, ptr: *mut c_void) -> c_int {
    // SAFETY: contract.
    unsafe {
        loop {
            match with_both(context, ptr, |owner, chunk| ops::unlink(owner, chunk, c"talloc_unlink".as_ptr()))
            {
                Ok(Err(FreeError::Again)) => {}
                Ok(Ok(())) => return 0,
                Ok(Err(FreeError::Corrupt(found))) => {
                    fault::bad_pointer(found);
                    return -1;
                }
                Ok(Err(_)) | Err(_) => return -1,
            }
        }
    }
}

/// The number of references to `ptr`; its parent is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_reference_count(ptr: *const c_void) -> usize {
    // SAFETY: contract.
    unsafe { with(ptr, |chunk| ops::reference_count(chunk)) }.unwrap_or(0)
}

/// Makes a reference from the null context to `ptr`, which `talloc_unlink(NULL, ptr)` drops.
///
/// @return  0; -1 for NULL, or with errno ENOMEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_increase_ref_count(ptr: *const c_void) -> c_int {
    // SAFETY: contract.
    unsafe {
        if _talloc_reference_loc(null_mut(), ptr, c"talloc_increase_ref_count".as_ptr()).is_null() {
            -1
        } else {
            0
        }
    }
}
