//! The way back from the C shim: it measures and formats text, these functions make the room.
//!
//! Each takes the number of bytes of text, and in `*text` the text if it is ready, else NULL. A ready text is put in
//! its place, before other threads can see that, and `*text` becomes NULL; for one that is to come, `*text` becomes the
//! place (with a NUL behind it already). Each gives what the caller's caller is to get, or NULL with nothing changed. They
//! are declared for C in `shim/shim.h`, and hidden from users of the library.

use core::ffi::{c_char, c_void};
use core::ptr::null_mut;
use tmempool::ops;

use crate::pointer::{refused, with};
use crate::string::{End, fresh, room_behind};

/// Room in a new string under `parent`.
#[unsafe(no_mangle)]
unsafe extern "C" fn tmempool_shim_string(
    parent: *mut c_void,
    length: usize,
    text: *mut *mut c_char,
) -> *mut c_char {
    // SAFETY: contract; the shim gives the address of its own pointer.
    unsafe { fresh(parent, length, |place| put(text, place, length)) }
}

/// Room behind the terminator of `string`.
#[unsafe(no_mangle)]
unsafe extern "C" fn tmempool_shim_append(
    string: *mut c_void,
    length: usize,
    text: *mut *mut c_char,
) -> *mut c_char {
    // SAFETY: contract.
    unsafe { append(string, End::Terminator, length, text) }
}

/// Room behind the last byte of the chunk `string`.
#[unsafe(no_mangle)]
unsafe extern "C" fn tmempool_shim_append_buffer(
    string: *mut c_void,
    length: usize,
    text: *mut *mut c_char,
) -> *mut c_char {
    // SAFETY: contract.
    unsafe { append(string, End::Buffer, length, text) }
}

/// # Safety
/// Contract; `text` is the address of a pointer.
unsafe fn append(string: *mut c_void, end: End, length: usize, text: *mut *mut c_char) -> *mut c_char {
    // SAFETY: as the caller promises.
    unsafe {
        let grown = with(string, |chunk| {
            let (string, place) = room_behind(chunk, end, length)?;
            put(text, place, length);
            Some(string)
        });
        grown.ok().flatten().unwrap_or(null_mut())
    }
}

/// Puts the text that is ready into its place, or says where that is.
///
/// # Safety
/// `text` is the address of a pointer, null or to `length` bytes; `place` has room for them.
#[inline(always)]
unsafe fn put(text: *mut *mut c_char, place: *mut c_char, length: usize) {
    // SAFETY: as the caller promises.
    unsafe {
        let ready = (*text).cast_const();
        if ready.is_null() {
            *text = place;
        } else {
            place.copy_from_nonoverlapping(ready, length);
            *text = null_mut();
        }
    }
}

/// Room for a name of `owner`: in a child of it, which is itself named ".name".
#[unsafe(no_mangle)]
unsafe extern "C" fn tmempool_shim_name(
    owner: *mut c_void,
    length: usize,
    text: *mut *mut c_char,
) -> *mut c_char {
    // SAFETY: contract; the child has `length + 1` bytes and lives as long as its owner.
    unsafe {
        with(owner, |owner| match ops::alloc(Some(owner), length + 1) {
            Ok(child) => {
                let name = child.ptr().cast::<c_char>();
                *name.add(length) = 0;
                child.set_name(c".name".as_ptr());
                put(text, name, length);
                owner.set_name(name);
                name
            }
            Err(error) => refused(error).cast(),
        })
        .unwrap_or(null_mut())
    }
}
