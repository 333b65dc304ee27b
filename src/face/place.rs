//! Where a value of any alignment lies in a chunk of its own.
//!
//! Payloads are aligned to 16 bytes. What wants more lies further in, at a multiple of its alignment, with
//! the address of the payload in the word before it:
//!
//! ```text
//! payload      16 or more bytes in     value, aligned
//! ├ unused … ──┬ address of payload ──┤ …
//! ```

use core::alloc::Layout;
use core::ffi::{c_char, c_void};
use core::num::NonZero;
use core::ptr::NonNull;

use crate::error::AllocError;
use crate::ops;
use crate::tree::Chunk;

/// What every payload is aligned to, in bytes.
pub(super) const PAYLOAD_ALIGN: usize = 16;

/// A chunk below `parent` for something of `layout`, and where that lies in it.
///
/// # Errors
/// [`AllocError`]: nothing has changed.
///
/// # Safety
/// See [`ops`]; `name` is a static string.
#[inline]
pub(super) unsafe fn alloc(
    parent: Chunk,
    layout: Layout,
    name: *const c_char,
) -> Result<NonNull<u8>, AllocError> {
    let padding = padding(layout);
    let size = layout.size().checked_add(padding).ok_or(AllocError::TooLarge)?;
    // SAFETY: the caller's.
    let chunk = unsafe {
        match ops::alloc_quick(parent, size, name) {
            Some(chunk) => chunk,
            None => {
                let chunk = ops::alloc(Some(parent), size)?;
                chunk.set_name(name);
                chunk
            }
        }
    };
    // SAFETY: a payload of at least the size and the padding of the layout.
    Ok(unsafe { place(chunk, layout) })
}

/// Memory of nothing: any aligned address.
#[inline]
pub(super) fn dangling(layout: Layout) -> NonNull<u8> {
    // An alignment is not 0.
    NonNull::without_provenance(NonZero::new(layout.align()).unwrap_or(NonZero::<usize>::MIN))
}

/// Bytes in front of a value, at most.
const fn padding(layout: Layout) -> usize {
    if layout.align() > PAYLOAD_ALIGN { layout.align() } else { 0 }
}

/// Where in `chunk` something of `layout` lies.
///
/// # Safety
/// The payload is as large as [`alloc`] makes it, and holds nothing yet.
#[inline]
unsafe fn place(chunk: Chunk, layout: Layout) -> NonNull<u8> {
    let payload = chunk.ptr().cast::<u8>();
    let at = if layout.align() > PAYLOAD_ALIGN {
        // At least 16 bytes and at most the alignment further in.
        let skip = skip(payload, layout);
        // SAFETY: within the padding, which the payload has beyond the layout's size.
        unsafe {
            let at = payload.add(skip);
            at.cast::<*mut c_void>().sub(1).write(payload.cast());
            at
        }
    } else {
        payload
    };
    // SAFETY: a payload, or what lies in one, is not at address 0.
    unsafe { NonNull::new_unchecked(at) }
}

/// Where in the living `chunk` [`alloc`] placed something of `layout`.
///
/// # Safety
/// It did.
#[cfg_attr(not(feature = "std"), allow(dead_code, reason = "without std nothing asks"))]
pub(super) unsafe fn value_in(chunk: Chunk, layout: Layout) -> NonNull<u8> {
    let payload = chunk.ptr().cast::<u8>();
    let skip = skip(payload, layout);
    // SAFETY: as `place` did; the caller's.
    unsafe { NonNull::new_unchecked(payload.add(skip)) }
}

/// How far behind the start of the payload a value lies.
fn skip(payload: *mut u8, layout: Layout) -> usize {
    if layout.align() > PAYLOAD_ALIGN { layout.align() - payload.addr() % layout.align() } else { 0 }
}

/// The chunk of what lies at `at`.
///
/// # Safety
/// [`alloc`] placed it there with the same alignment, and the chunk lives.
#[inline]
pub(super) unsafe fn chunk_of(at: NonNull<u8>, align: usize) -> Chunk {
    let payload = if align > PAYLOAD_ALIGN {
        // SAFETY: the word that `place` wrote.
        unsafe { at.cast::<*mut c_void>().sub(1).read() }
    } else {
        at.as_ptr().cast()
    };
    // SAFETY: a payload has its header before it.
    unsafe { Chunk::of_payload(NonNull::new_unchecked(payload)) }
}
