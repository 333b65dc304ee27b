//! References: a hidden child of the referring context that keeps another chunk alive.
//!
//! The payload of a reference is its place in the list of references to its target, whose side record
//! leads to the newest.

use core::cell::Cell;
use core::ffi::{CStr, c_char};
use core::ptr::NonNull;

use super::chunk::{Chunk, HEADER, Header, REFERENCE};
use super::side::SideRef;
use crate::error::AllocError;
use crate::offsets::offsets;

/// The name of every reference.
pub const NAME: &CStr = c".reference";

/// The payload of a reference.
#[derive(Debug)]
pub struct Reference {
    target: Chunk,
    location: *const c_char,
    newer: Cell<Option<NonNull<Reference>>>,
    older: Cell<Option<NonNull<Reference>>>,
}

offsets! {
    /// Where the fields of a reference's payload lie.
    ReferenceOffsets of Reference { target, location, newer, older }
}

/// Bytes of a reference's payload.
pub const SIZE: usize = size_of::<Reference>();

/// Makes the fresh chunk `handle` a reference to `target`.
pub(crate) fn hook(handle: Chunk, target: Chunk, location: *const c_char) -> Result<(), AllocError> {
    let side = target.side_or_new()?;
    handle.set_name(NAME.as_ptr());
    hook_to(handle, target, side, location);
    Ok(())
}

/// [`hook`], of a handle that has its name, to a target with the side record `side`.
#[inline(always)]
pub(crate) fn hook_to(handle: Chunk, target: Chunk, side: SideRef, location: *const c_char) {
    let at = record(handle);
    let older = side.references.get();
    let reference = Reference { target, location, newer: Cell::new(None), older: Cell::new(older) };
    // SAFETY: the payload of the handle, which has SIZE bytes and is nobody else's.
    unsafe { at.write(reference) };
    if let Some(older) = older {
        get(older).newer.set(Some(at));
    }
    side.references.set(Some(at));
    handle.set_flags(REFERENCE);
}

/// Takes `handle` out of its target's list.
pub(crate) fn unhook(handle: Chunk) {
    let reference = of(handle);
    let (newer, older) = (reference.newer.get(), reference.older.get());
    match newer {
        Some(newer) => get(newer).older.set(older),
        None => {
            if let Some(side) = reference.target.side() {
                side.references.set(older);
            }
        }
    }
    if let Some(older) = older {
        get(older).newer.set(newer);
    }
    handle.clear_flags(REFERENCE);
}

/// The chunk that the reference `handle` keeps alive.
pub fn target(handle: Chunk) -> Chunk {
    of(handle).target
}

/// Where the reference was made.
pub fn location(handle: Chunk) -> *const c_char {
    of(handle).location
}

/// The references to `chunk`, newest first.
pub fn all(chunk: Chunk) -> impl Iterator<Item = Chunk> {
    let newest = chunk.side().and_then(|side| side.references.get());
    core::iter::successors(newest, |&r| get(r).older.get()).map(|r| {
        // SAFETY: a reference is the payload of its handle, which lives while it is in the list.
        unsafe { Chunk::from_header(r.cast::<u8>().sub(HEADER).cast::<Header>()) }
    })
}

fn of(handle: Chunk) -> &'static Reference {
    debug_assert!(handle.is_reference());
    get(record(handle))
}

fn record(handle: Chunk) -> NonNull<Reference> {
    // SAFETY: a payload is never at address 0.
    unsafe { NonNull::new_unchecked(handle.ptr().cast()) }
}

fn get(reference: NonNull<Reference>) -> &'static Reference {
    // SAFETY: references in lists, and the payloads of live handles, are live records of cells.
    unsafe { reference.as_ref() }
}
