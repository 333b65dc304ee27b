//! Strings: chunks that end in NUL and are named by what they say.

use core::ffi::{c_char, c_void};
use core::ptr::{self, null_mut};
use tmempool::mem::span::SpanRef;
use tmempool::ops;
use tmempool::tree::Chunk;
use tmempool::tree::sight::{Found, Look};

use crate::alloc::in_pool_of;
use crate::pointer::{refused, with, with_context};

/// Copies the string `p` under `t`.
///
/// @param t  the parent; NULL for none.
/// @param p  a string; NULL gives NULL.
/// @return   the copy, named by itself; NULL with errno ENOMEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_strdup(t: *const c_void, p: *const c_char) -> *mut c_char {
    if p.is_null() {
        return null_mut();
    }
    // SAFETY: contract.
    unsafe { copy(t, p, libc::strlen(p)) }
}

/// Copies the string `p` under `t`, or its first `n` bytes if it is longer.
///
/// @param t  the parent; NULL for none.
/// @param p  a string, or at least `n` bytes; NULL gives NULL.
/// @param n  bytes.
/// @return   the copy, named by itself; NULL with errno ENOMEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_strndup(t: *const c_void, p: *const c_char, n: usize) -> *mut c_char {
    if p.is_null() {
        return null_mut();
    }
    // SAFETY: contract.
    unsafe { copy(t, p, measure(p, n)) }
}

/// Appends the string `a` at the end of the string `s`.
///
/// @param s  a string that is a chunk, or NULL: then `a` is copied, with no parent.
/// @param a  a string; NULL gives `s` back.
/// @return   the string in its place, named by itself; NULL with errno ENOMEM and `s` as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_strdup_append(s: *mut c_char, a: *const c_char) -> *mut c_char {
    // SAFETY: contract.
    unsafe { appended(s, End::Terminator, a, usize::MAX) }
}

/// Appends the string `a` at the end of the chunk `s`, where its last byte is: faster than
/// `talloc_strdup_append()`, for strings that fill their chunk.
///
/// Parameters and result are those of `talloc_strdup_append()`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_strdup_append_buffer(s: *mut c_char, a: *const c_char) -> *mut c_char {
    // SAFETY: contract.
    unsafe { appended(s, End::Buffer, a, usize::MAX) }
}

/// Appends the string `a`, or its first `n` bytes, at the end of the string `s`.
///
/// Result, and the other parameters, are those of `talloc_strdup_append()`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_strndup_append(s: *mut c_char, a: *const c_char, n: usize) -> *mut c_char {
    // SAFETY: contract.
    unsafe { appended(s, End::Terminator, a, n) }
}

/// Appends the string `a`, or its first `n` bytes, at the end of the chunk `s`, where its last
/// byte is.
///
/// Result, and the other parameters, are those of `talloc_strdup_append()`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_strndup_append_buffer(
    s: *mut c_char,
    a: *const c_char,
    n: usize,
) -> *mut c_char {
    // SAFETY: contract.
    unsafe { appended(s, End::Buffer, a, n) }
}

/// The bytes of `text`, at most `limit`.
///
/// # Safety
/// `text` is a C string or has `limit` bytes.
#[inline(always)]
unsafe fn measure(text: *const c_char, limit: usize) -> usize {
    // SAFETY: as the caller promises. A limit without end is not left to strnlen(), for the sum of it
    // and an address overflows.
    unsafe { if limit == usize::MAX { libc::strlen(text) } else { libc::strnlen(text, limit) } }
}

/// Where a string ends, to have something appended.
#[derive(Clone, Copy)]
pub(crate) enum End {
    /// At its first NUL.
    Terminator,
    /// At the last byte of its chunk.
    Buffer,
}

impl End {
    /// # Safety
    /// `string` is alive, and a C string.
    #[inline(always)]
    unsafe fn of(self, string: Chunk) -> usize {
        match self {
            // SAFETY: as the caller promises.
            End::Terminator => unsafe { libc::strlen(string.ptr().cast()) },
            End::Buffer => string.size().saturating_sub(1),
        }
    }
}

/// # Safety
/// Contract; `text` has `length` bytes.
#[inline(always)]
unsafe fn copy(parent: *const c_void, text: *const c_char, length: usize) -> *mut c_char {
    // SAFETY: contract; the new string has room for `length` bytes.
    unsafe { fresh(parent, length, |string| ptr::copy_nonoverlapping(text, string, length)) }
}

/// A string of `length` bytes, which `fill` writes, that ends in NUL and is named by itself. In a shared context
/// nobody sees it before it is filled.
///
/// # Safety
/// Contract; `fill` calls no foreign code.
#[inline(always)]
pub(crate) unsafe fn fresh(
    parent: *const c_void,
    length: usize,
    fill: impl FnOnce(*mut c_char),
) -> *mut c_char {
    // SAFETY: contract.
    unsafe {
        let Some(sight) = Chunk::sight(parent) else { return fresh_slow(parent, length, fill) };
        if let Some(parent) = sight.plain_parent() {
            return fresh_below(Some(parent.chunk()), length, fill);
        }
        match sight.look() {
            Look::Plain(parent) => {
                let (parent, span) = parent.parts();
                fresh_in_pool(parent, length, fill, span)
            }
            _ => fresh_slow(parent, length, fill),
        }
    }
}

/// [`fresh`] under what has been checked, which may be a pool, or a member of one.
///
/// # Safety
/// As for [`fresh`].
#[inline(never)]
unsafe fn fresh_in_pool(
    parent: Chunk,
    length: usize,
    fill: impl FnOnce(*mut c_char),
    span: SpanRef,
) -> *mut c_char {
    // SAFETY: contract; they are the parts of what was found; the payload has `length + 1` bytes.
    unsafe {
        match ops::alloc_in_pool(Found::of_parts(parent, span), length + 1, ptr::null()) {
            Some(chunk) => {
                fill(chunk.ptr().cast());
                finished(chunk, length)
            }
            None => fresh_below(Some(parent), length, fill),
        }
    }
}

/// [`fresh`] under what is no live chunk whose children come from the heap.
///
/// # Safety
/// As for [`fresh`].
#[inline(never)]
unsafe fn fresh_slow(parent: *const c_void, length: usize, fill: impl FnOnce(*mut c_char)) -> *mut c_char {
    // SAFETY: contract; the payload has `length + 1` bytes.
    unsafe {
        if let Some(chunk) = in_pool_of(parent, length + 1, ptr::null()) {
            fill(chunk.ptr().cast());
            return finished(chunk, length);
        }
        with_context(parent, |parent| fresh_below(parent, length, fill)).unwrap_or(null_mut())
    }
}

/// # Safety
/// As for [`fresh`].
#[inline(always)]
unsafe fn fresh_below(parent: Option<Chunk>, length: usize, fill: impl FnOnce(*mut c_char)) -> *mut c_char {
    // SAFETY: contract; the payload has `length + 1` bytes.
    unsafe {
        match ops::alloc(parent, length + 1) {
            Ok(chunk) => {
                fill(chunk.ptr().cast());
                finished(chunk, length)
            }
            Err(error) => refused(error).cast(),
        }
    }
}

/// Makes room for `extra` bytes at the end of `string`, which is then named by itself. Gives the string
/// in its place and the room; None, with `errno` set and the string as it was, where there is no
/// memory.
///
/// # Safety
/// Contract.
pub(crate) unsafe fn room_behind(
    string: Chunk,
    end: End,
    extra: usize,
) -> Option<(*mut c_char, *mut c_char)> {
    // SAFETY: contract; the payload comes to have `at + extra + 1` bytes.
    unsafe {
        let at = end.of(string);
        match ops::realloc(string, at + extra + 1) {
            Ok((grown, _)) => {
                let string = finished(grown, at + extra);
                Some((string, string.add(at)))
            }
            Err(error) => {
                refused(error);
                None
            }
        }
    }
}

/// Ends `chunk` behind `length` bytes and names it by itself.
///
/// # Safety
/// The payload has `length + 1` bytes.
#[inline(always)]
unsafe fn finished(chunk: Chunk, length: usize) -> *mut c_char {
    let string = chunk.ptr().cast::<c_char>();
    // SAFETY: as the caller promises.
    unsafe {
        *string.add(length) = 0;
        chunk.set_name(string);
    }
    string
}

/// # Safety
/// Contract; `text` is a C string or has `limit` bytes.
unsafe fn appended(string: *mut c_char, end: End, text: *const c_char, limit: usize) -> *mut c_char {
    if text.is_null() {
        return string;
    }
    // SAFETY: contract; what room_behind() gives takes `length` bytes.
    unsafe {
        let length = measure(text, limit);
        if string.is_null() {
            return copy(null_mut(), text, length);
        }
        // The text may lie in the string itself, and then moves along with it.
        let inside = text.addr().wrapping_sub(string.addr());
        let grown = with(string.cast(), |chunk| {
            let moves_along = inside < chunk.size();
            let (string, place) = room_behind(chunk, end, length)?;
            let text = if moves_along { string.add(inside) } else { text };
            ptr::copy(text, place, length);
            Some(string)
        });
        grown.ok().flatten().unwrap_or(null_mut())
    }
}
