//! The way back from the C shim: it measures and formats text, these functions make the room.
//!
//! Each takes the number of bytes of text to come, sets `*text` to where they go (with a NUL
//! behind them already), and gives what the caller's caller is to get, or NULL with nothing
//! changed. They are declared for C in `shim/shim.h`, and hidden from users of the library.

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
    unsafe {
        *text = fresh(parent, length);
        *text
    }
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
        let Ok(Some((string, room))) = with(string, |chunk| room_behind(chunk, end, length)) else {
            return null_mut();
        };
        *text = room;
        string
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
                owner.set_name(name);
                *text = name;
                name
            }
            Err(error) => refused(error).cast(),
        })
        .unwrap_or(null_mut())
    }
}
