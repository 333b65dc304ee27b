//! Realloc: a chunk gets another size, where it stands if that can be.

use core::ffi::CStr;

use super::frame;
use crate::error::AllocError;
use crate::ops::MAX_SIZE;
use crate::tree::chunk::{ANCHOR, DYING, LIMITED, MEMBER, POOL, REFERENCE};
use crate::tree::pool::PoolRef;
use crate::tree::side::Running;
use crate::tree::{Chunk, limit, links, refs, store};

/// Shrinking by less than this keeps the block and the name.
const WORTH_SHRINKING: usize = 1024;

/// Where a block that was left by a realloc was freed.
const LOCATION: &CStr = c"_talloc_realloc";

/// Bytes of payload that `chunk` can have without moving. Those past its size may be scribbled on.
///
/// # Safety
/// See the [module](super).
pub unsafe fn capacity(chunk: Chunk) -> usize {
    if chunk.has(LIMITED) { chunk.size() } else { store::capacity(chunk).min(MAX_SIZE - 1) }
}

/// Gives `chunk` `size` bytes without moving it. Says whether it could; if not, nothing has changed.
///
/// # Safety
/// See the [module](super).
pub unsafe fn resize_in_place(chunk: Chunk, size: usize) -> bool {
    if chunk.has(POOL) || size >= MAX_SIZE {
        return false;
    }
    if !chunk.has(MEMBER | LIMITED) && size <= store::capacity(chunk) {
        chunk.size.set(size as u32);
        return true;
    }
    let before = chunk.has(LIMITED).then(|| limit::weight(chunk));
    let old = chunk.size();
    if size > old && before.is_some_and(|_| limit::charge(Some(chunk), size - old).is_err()) {
        return false;
    }
    let done = store::resize_in_place(chunk, size);
    if before.is_some() {
        let (more, less) = if done { (size, old.max(size)) } else { (old, old.max(size)) };
        limit::discharge(Some(chunk), less - more);
    }
    done
}

/// Gives `chunk` `size` bytes, at another place if it must. Says where, and whether it went the long
/// way, so that its name is to be set anew. What the old and the new size share is kept.
///
/// # Errors
/// [`AllocError`]; [`AllocError::Refused`] when the chunk is referenced, a pool, or being freed. It is
/// intact then.
///
/// # Safety
/// See the [module](super). If the chunk moved, the old handle is dead.
pub unsafe fn realloc(chunk: Chunk, size: usize) -> Result<(Chunk, bool), AllocError> {
    if size >= MAX_SIZE {
        return Err(AllocError::TooLarge);
    }
    if !may_change(chunk) {
        return Err(AllocError::Refused);
    }
    let old = chunk.size();
    if size == old {
        return Ok((chunk, false));
    }
    let in_pool = chunk.has(MEMBER) && !PoolRef::counts(chunk);
    let shrinks_little = size < old && (in_pool || old - size < WORTH_SHRINKING);
    // SAFETY: the caller's.
    if (shrinks_little || size > old || old - size <= old / 2) && unsafe { resize_in_place(chunk, size) } {
        return Ok((chunk, !shrinks_little));
    }
    Ok((move_to_fit(chunk, size)?, true))
}

fn may_change(chunk: Chunk) -> bool {
    let is_running = || chunk.side().is_some_and(|side| side.running.get() != Running::No);
    !chunk.has(POOL | DYING | REFERENCE) && refs::all(chunk).next().is_none() && !is_running()
}

#[cold]
fn move_to_fit(chunk: Chunk, size: usize) -> Result<Chunk, AllocError> {
    let old = chunk.size();
    let limited = chunk.has(LIMITED);
    let before = if limited { limit::weight(chunk) } else { 0 };
    if limited && size > old {
        limit::charge(Some(chunk), size - old)?;
    }
    let Some(moved) = relocate(chunk, size) else {
        if limited && size > old {
            limit::discharge(Some(chunk), size - old);
        }
        return Err(AllocError::OutOfMemory);
    };
    if limited {
        // A chunk that left its pool counts from now on; one that shrank counts less.
        let counted = before + size.saturating_sub(old);
        let now = limit::weight(moved);
        limit::discharge(Some(moved), counted.saturating_sub(now));
        limit::charge_anyway(Some(moved), now.saturating_sub(counted));
    }
    Ok(moved)
}

/// Moves `chunk`, with its place in the tree.
fn relocate(chunk: Chunk, size: usize) -> Option<Chunk> {
    let anchored = chunk.has(ANCHOR);
    let moved = if chunk.has(MEMBER) {
        store::slide(chunk, size, LOCATION.as_ptr())
    } else {
        store::move_pages(chunk, size)
    };
    let moved = match moved {
        Some(moved) => moved,
        None => copy(chunk, size)?,
    };
    links::relocate(chunk, moved);
    if anchored {
        frame::replace(chunk, Some(moved));
    }
    Some(moved)
}

/// A copy of `chunk` of another size, in its place; the old one becomes a freed header.
fn copy(chunk: Chunk, size: usize) -> Option<Chunk> {
    let to = store::chunk(chunk.parent(), size)?;
    store::take_identity(to, chunk);
    let bytes = chunk.size().min(size);
    // SAFETY: two different payloads, each at least this long.
    unsafe { chunk.ptr().cast::<u8>().copy_to_nonoverlapping(to.ptr().cast(), bytes) };
    store::discard(chunk, LOCATION.as_ptr());
    Some(to)
}
