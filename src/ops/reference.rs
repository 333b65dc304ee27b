//! Reference and unlink: a chunk with more than one owner.

use core::ffi::c_char;

use super::alloc::{alloc_unasked, make_chunk};
use super::drain::drop_reference;
use super::entry::gain;
use super::free::kill;
use super::{reparent, roots, say};
use crate::error::{AllocError, FreeError};
use crate::mem::here::Change;
use crate::tree::chunk::{DYING, MEMBER, SIDE};
use crate::tree::pool::Origin;
use crate::tree::sight::Found;
use crate::tree::{Chunk, domain, links, refs, store};

/// Lets `context` keep `chunk` alive too. `location` says where, for messages. Where `chunk` belongs to a shared
/// context, and `context` does not belong to the same one, no function of a limit is asked for room.
///
/// # Errors
/// [`AllocError`]; [`AllocError::Refused`] when the chunk is being freed. Nothing has changed then.
///
/// # Safety
/// See the [module](super).
pub unsafe fn reference(
    context: Option<Chunk>,
    chunk: Chunk,
    location: *const c_char,
) -> Result<(), AllocError> {
    let _change = Change::begin();
    if chunk.has(DYING) || chunk.is_running() {
        return Err(AllocError::Refused);
    }
    let home = domain::of(chunk);
    let handle = if home.is_some() && context.and_then(domain::of) != home {
        alloc_unasked(context, refs::SIZE)?
    } else {
        alloc_shielding(context, chunk, location)?
    };
    if handle.has(MEMBER) {
        Origin::of_member(handle).set_irregular();
    }
    // The function of a limit may have been called, and have begun to free what is below.
    let hooked =
        if chunk.has(DYING) { Err(AllocError::Refused) } else { refs::hook(handle, chunk, location) };
    if hooked.is_err() {
        give_up(handle, location);
    }
    hooked
}

/// [`reference`] for two chunks that were found just now, only if it goes the short way: both are plain but for a side record, the referred one has one already, and a slot is at hand. If it does not,
/// nothing has happened.
///
/// # Safety
/// See the [module](super).
#[inline(always)]
pub unsafe fn reference_found(context: Found, chunk: Found, location: *const c_char) -> bool {
    let (chunk, flags) = (chunk.chunk(), chunk.flags());
    if flags != SIDE || chunk.is_running() {
        return false;
    }
    let Some(handle) = store::ready_child(context, refs::SIZE, refs::NAME.as_ptr()) else {
        return false;
    };
    // SAFETY: as was just seen.
    refs::hook_to(handle, chunk, unsafe { chunk.side_record() }, location);
    true
}

/// Room for a reference to `chunk`, which the function of a limit cannot free meanwhile: what might lie in its place
/// afterwards would not be told from it.
///
/// # Errors
/// [`AllocError`]; [`AllocError::Refused`] when `chunk` is in another domain afterwards.
fn alloc_shielding(
    context: Option<Chunk>,
    chunk: Chunk,
    location: *const c_char,
) -> Result<Chunk, AllocError> {
    let (home, held) = (domain::of(chunk), context.and_then(domain::of));
    let shielded = say::shield(chunk)?;
    let handle = make_chunk(context, refs::SIZE);
    if domain::peek(chunk) == home {
        say::unshield(shielded);
        return handle;
    }
    // Given up first, for others may come into the context while this one waits.
    let refused = match handle {
        Ok(handle) => {
            give_up(handle, location);
            AllocError::Refused
        }
        Err(error) => error,
    };
    let _gained = loop {
        if let Some(gained) = gain(held, chunk) {
            break gained;
        }
    };
    say::unshield(shielded);
    Err(refused)
}

/// Frees `handle`, which was to be a reference.
fn give_up(handle: Chunk, location: *const c_char) {
    links::detach(handle);
    store::release(handle, location);
}

/// How many references there are to `chunk`.
///
/// # Safety
/// See the [module](super).
pub unsafe fn reference_count(chunk: Chunk) -> usize {
    refs::all(chunk).count()
}

/// Where the references to `chunk` were made, newest first.
///
/// # Safety
/// See the [module](super).
pub unsafe fn reference_locations(chunk: Chunk) -> impl Iterator<Item = *const c_char> {
    refs::all(chunk).map(refs::location)
}

/// A reference to `chunk` that `context` holds. Looked for from both ends at once, among the
/// references to the one and the children of the other, so that it is found soon if either has few.
pub(super) fn held_by(context: Option<Chunk>, chunk: Chunk) -> Option<Chunk> {
    let mut references = refs::all(chunk);
    // The null context's children are other threads' too.
    let searched = context.filter(|&context| !domain::is_null_context(context));
    let mut children = searched.and_then(|context| context.child.get());
    let shared = context.and_then(domain::of);
    loop {
        let handle = references.next()?;
        // What is in another domain is not to be looked at.
        if domain::peek(handle) == shared && handle.parent() == context {
            return Some(handle);
        }
        if searched.is_some() {
            let child = children?;
            if child.is_reference() && refs::target(child) == chunk {
                return Some(child);
            }
            children = child.next.get();
        }
    }
}

/// Takes away `context`'s hold on `chunk`: a reference it has; else, if it is the parent, the parent's
/// link, so that the owner of the newest reference becomes the parent, or the chunk is freed. Should
/// that owner lie below the chunk, it lives on without a parent.
///
/// # Errors
/// [`FreeError::NotOwned`], [`FreeError::Vetoed`] or [`FreeError::Again`]; nothing has changed then.
///
/// # Safety
/// See the [module](super).
pub unsafe fn unlink(context: Option<Chunk>, chunk: Chunk, location: *const c_char) -> Result<(), FreeError> {
    let _change = Change::begin();
    let context = context.or_else(roots::null_context);
    if let Some(handle) = held_by(context, chunk) {
        drop_reference(handle, location);
        return Ok(());
    }
    if chunk.parent() != context {
        return Err(FreeError::NotOwned);
    }
    if chunk.has(DYING) {
        return Err(FreeError::Vetoed);
    }
    match refs::all(chunk).next() {
        Some(handle) => give_to_owner(chunk, handle, location)?,
        None => kill(chunk, location)?,
    }
    Ok(())
}

/// Makes the owner of the reference `handle` the parent of its target, in the reference's place; an
/// owner that lies below the target cannot be its parent: then it has none.
///
/// # Errors
/// [`FreeError::Again`].
pub(super) fn give_to_owner(chunk: Chunk, handle: Chunk, location: *const c_char) -> Result<(), FreeError> {
    let _gained = gain(domain::of(chunk), handle).ok_or(FreeError::Again)?;
    let owner = handle.parent().filter(|&owner| !chunk.is_above(owner)).or_else(roots::null_context);
    drop_reference(handle, location);
    // Who is its owner already leaves it where it is in the list.
    if chunk.parent() != owner {
        reparent::relink_survivor(chunk, owner);
    }
    Ok(())
}
