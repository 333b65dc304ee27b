//! Types checked at run time: a chunk's name is the name of its type.

use core::ffi::{c_char, c_void};
use core::ptr::null_mut;

use tmempool::hint::behind;
use tmempool::tree::Chunk;

use crate::fault;
use crate::names::{name_of, same};
use crate::pointer::with;

/// Gives `ptr` back if it is named `name`, else NULL; NULL for NULL.
///
/// @param name  the name wanted; nothing is named NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_check_name(ptr: *const c_void, name: *const c_char) -> *mut c_void {
    // SAFETY: contract.
    unsafe {
        if Chunk::check_name(ptr, name) {
            return ptr.cast_mut();
        }
        behind();
        check_name_slow(ptr, name)
    }
}

/// [`talloc_check_name`] of a member of a pool, or where the two names are not at one address.
///
/// # Safety
/// Contract.
#[cold]
#[inline(never)]
unsafe fn check_name_slow(ptr: *const c_void, name: *const c_char) -> *mut c_void {
    if ptr.is_null() {
        return null_mut();
    }
    // SAFETY: contract.
    unsafe {
        if Chunk::check_member_name(ptr, name) {
            return ptr.cast_mut();
        }
        match with(ptr, |chunk| same(name_of(chunk), name)) {
            Ok(true) => ptr.cast_mut(),
            _ => null_mut(),
        }
    }
}

/// Gives `ptr` back if it is named `name`. Otherwise, and for NULL, logs the mismatch and aborts;
/// where the user's abort function returns, gives NULL.
///
/// @param ptr       a chunk, or NULL.
/// @param name      the name wanted; nothing is named NULL.
/// @param location  where the caller stands, "file:line", for the message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _talloc_get_type_abort(
    ptr: *const c_void,
    name: *const c_char,
    location: *const c_char,
) -> *mut c_void {
    // SAFETY: contract.
    unsafe {
        if Chunk::check_name(ptr, name) {
            return ptr.cast_mut();
        }
        behind();
        get_type_slow(ptr, name, location)
    }
}

/// [`_talloc_get_type_abort`] of a member of a pool, or where the two names are not at one address.
///
/// # Safety
/// Contract.
#[cold]
#[inline(never)]
unsafe fn get_type_slow(ptr: *const c_void, name: *const c_char, location: *const c_char) -> *mut c_void {
    // SAFETY: contract.
    unsafe {
        if Chunk::check_member_name(ptr, name) {
            return ptr.cast_mut();
        }
        if !ptr.is_null() {
            match with(ptr, |chunk| same(name_of(chunk), name)) {
                Ok(true) => return ptr.cast_mut(),
                Ok(false) => {}
                Err(_) => return null_mut(),
            }
        }
        mismatch(ptr, name, location);
        null_mut()
    }
}

/// Says that `ptr`, a chunk or NULL, is not named `name`, and aborts.
///
/// # Safety
/// Contract.
#[cold]
unsafe fn mismatch(ptr: *const c_void, name: *const c_char, location: *const c_char) {
    let (is, expected, end) = (c": Type mismatch: name[", c"] expected[", c"]");
    // SAFETY: contract.
    let words = unsafe {
        let words_for =
            |has| fault::words(&[location, is.as_ptr(), has, expected.as_ptr(), name, end.as_ptr()]);
        if ptr.is_null() {
            Ok(words_for(c"NULL".as_ptr()))
        } else {
            with(ptr, |chunk| words_for(name_of(chunk)))
        }
    };
    if let Ok(words) = words {
        words.abort();
    }
}
