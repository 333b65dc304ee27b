//! Realloc: a chunk gets another size, where it stands if that can be.

use core::ffi::CStr;

use super::dying;
use super::say::{self, Asked};
use crate::error::AllocError;
use crate::mem::here::Change;
use crate::ops::MAX_SIZE;
use crate::tree::chunk::{ANCHOR, DYING, LIMITED, MEMBER, REFERENCE};
use crate::tree::pool::Origin;
use crate::tree::sight::Found;
use crate::tree::{Chunk, domain, limit, links, meter, refs, store};

/// Shrinking by less than this keeps the block and the name.
const WORTH_SHRINKING: usize = 1024;

/// Where a block that was left by a realloc was freed.
const LOCATION: &CStr = c"_talloc_realloc";

/// Gives `chunk` `size` bytes without moving it. Says whether it could; if not, nothing has changed.
///
/// # Safety
/// See the [module](super). The chunk has no finalizer.
pub unsafe fn resize_in_place(chunk: Chunk, size: usize) -> bool {
    let _change = Change::begin();
    !chunk.is_called_pool() && resize_there(chunk, size)
}

/// [`resize_in_place`] in the middle of a change, of what is no pool.
#[inline(always)]
fn resize_there(chunk: Chunk, size: usize) -> bool {
    if size >= MAX_SIZE {
        return false;
    }
    if !chunk.has(MEMBER | LIMITED)
        && size <= store::capacity(chunk)
        && !store::has_slices_beyond(chunk, size)
    {
        chunk.size.set(size as u32);
        return true;
    }
    if chunk.has(LIMITED) { resize_counted(chunk, size) } else { store::resize_in_place(chunk, size) }
}

/// [`resize_in_place`] of a chunk below a meter.
#[cold]
fn resize_counted(chunk: Chunk, size: usize) -> bool {
    let counted = limit::weight(chunk) > 0;
    let old = chunk.size();
    if counted && size > old && limit::charge(Some(chunk), size - old).is_err() {
        return false;
    }
    let done = store::resize_in_place(chunk, size);
    if counted && done != (size > old) {
        // Charged in vain, or shrunk.
        limit::discharge(Some(chunk), None, size.abs_diff(old));
    }
    if done {
        meter::resized(chunk.parent(), old, size);
    }
    done
}

/// Gives `chunk` `size` bytes, at another place if it must. Says where, and whether it went the long
/// way, so that its name is to be set anew. What the old and the new size share is kept.
///
/// # Errors
/// [`AllocError`]; [`AllocError::Refused`] when the chunk is referenced, a pool, or being freed, has a
/// finalizer, or is a shared context. It is intact then.
///
/// # Safety
/// See the [module](super). If the chunk moved, the old handle is dead.
pub unsafe fn realloc(chunk: Chunk, size: usize) -> Result<(Chunk, bool), AllocError> {
    let _change = Change::begin();
    if size >= MAX_SIZE {
        say::failed(chunk.parent(), AllocError::TooLarge);
        return Err(AllocError::TooLarge);
    }
    if !may_change(chunk) {
        return Err(AllocError::Refused);
    }
    let old = chunk.size();
    if size == old {
        return Ok((chunk, false));
    }
    if let Some(resized) = fit(chunk, old, size) {
        return Ok(resized);
    }
    match move_to_fit(chunk, size) {
        Ok(moved) => Ok((moved, true)),
        Err(error) => insist(chunk, size, error),
    }
}

/// [`realloc`] of a chunk that was found just now, only if it is a member of a pool that grows where it stands, the short way. It
/// went the long way all the same, as to its name. If it does not, nothing has happened.
///
/// # Safety
/// See the [module](super).
#[inline(always)]
pub unsafe fn extend_found(chunk: Found, size: usize) -> bool {
    size < MAX_SIZE && store::extend(chunk, size)
}

/// Goes on after the limits that are in the way have been asked, as long as they find room.
#[cold]
fn insist(chunk: Chunk, size: usize, mut error: AllocError) -> Result<(Chunk, bool), AllocError> {
    let mut asked = Asked::new();
    while error == AllocError::LimitReached && asked.may_go_on(chunk) {
        if !may_change(chunk) {
            return Err(AllocError::Refused);
        }
        if let Some(resized) = fit(chunk, chunk.size(), size) {
            return Ok(resized);
        }
        match move_to_fit(chunk, size) {
            Ok(moved) => return Ok((moved, true)),
            Err(again) => error = again,
        }
    }
    asked.failed(|| chunk.parent(), error);
    Err(error)
}

/// Gives `chunk`, which has `old` bytes, `size` where it stands, or at the start of its pool, if that can be. What
/// is said of [`realloc`].
#[inline(always)]
fn fit(chunk: Chunk, old: usize, size: usize) -> Option<(Chunk, bool)> {
    if chunk.has(MEMBER) {
        return fit_member(chunk, old, size);
    }
    let shrinks_little = size < old && old - size < WORTH_SHRINKING;
    let wasteful = size < old && store::is_wasted_on(chunk, size);
    if (shrinks_little || !wasteful) && resize_there(chunk, size) {
        return Some((chunk, !shrinks_little));
    }
    None
}

/// [`fit`] of a member of a pool.
fn fit_member(member: Chunk, old: usize, size: usize) -> Option<(Chunk, bool)> {
    let origin = Origin::of_member(member);
    if size > old
        && origin.has_one_announced()
        && let Some(moved) = slide(member, size)
    {
        return Some((moved, true));
    }
    let shrinks_little = size < old && (!origin.counts() || old - size < WORTH_SHRINKING);
    let fits =
        if member.has(LIMITED) { resize_counted(member, size) } else { origin.resize_in_place(member, size) };
    fits.then_some((member, !shrinks_little))
}

fn may_change(chunk: Chunk) -> bool {
    let fixed = || {
        refs::all(chunk).next().is_some()
            || chunk.is_running()
            || chunk.has_finalizer()
            || domain::is_root(chunk)
    };
    !chunk.has(DYING | REFERENCE) && !chunk.is_called_pool() && !fixed()
}

/// The only member of a pool goes to the start of the room before it grows.
/// The room is counted with the pool, so no limit is asked.
fn slide(chunk: Chunk, size: usize) -> Option<Chunk> {
    let _held = chunk.parent().and_then(links::guard_for);
    let anchored = chunk.has(ANCHOR);
    let old = chunk.size();
    let moved = store::slide(chunk, size, LOCATION.as_ptr())?;
    settle(chunk, moved, anchored);
    if moved.has(LIMITED) {
        meter::resized(moved.parent(), old, size);
    }
    Some(moved)
}

/// The links and the frees in progress learn that `from` is `to` now.
fn settle(from: Chunk, to: Chunk, anchored: bool) {
    links::relocate(from, to);
    if anchored {
        dying::move_anchor(from, to);
    }
}

/// Moves `chunk`, with its place in the tree, to where it can have `size` bytes.
#[cold]
fn move_to_fit(chunk: Chunk, size: usize) -> Result<Chunk, AllocError> {
    let _held = chunk.parent().and_then(links::guard_for);
    let anchored = chunk.has(ANCHOR);
    let moved = match move_pages(chunk, size)? {
        Some(moved) => moved,
        None => copy(chunk, size)?,
    };
    settle(chunk, moved, anchored);
    Ok(moved)
}

fn move_pages(chunk: Chunk, size: usize) -> Result<Option<Chunk>, AllocError> {
    let more = size.saturating_sub(chunk.size());
    if more == 0 || !store::can_move_pages(chunk) {
        return Ok(None);
    }
    if chunk.has(LIMITED) { move_pages_counted(chunk, size) } else { Ok(store::move_pages(chunk, size)) }
}

#[cold]
fn move_pages_counted(chunk: Chunk, size: usize) -> Result<Option<Chunk>, AllocError> {
    let old = chunk.size();
    limit::charge(Some(chunk), size - old)?;
    let moved = store::move_pages(chunk, size);
    match moved {
        Some(moved) => meter::resized(moved.parent(), old, size),
        None => limit::discharge(Some(chunk), None, size - old),
    }
    Ok(moved)
}

/// Counts that `chunk` is to become `to`; gives that back if a limit is in the way.
#[cold]
fn count_copy(chunk: Chunk, to: Chunk) -> Result<(), AllocError> {
    let (old, new) = (limit::weight(chunk), limit::weight(to));
    if let Err(error) = limit::charge(Some(chunk), new.saturating_sub(old)) {
        store::release(to, LOCATION.as_ptr());
        return Err(error);
    }
    limit::discharge(Some(chunk), None, old.saturating_sub(new));
    meter::resized(chunk.parent(), chunk.size(), to.size());
    Ok(())
}

/// A copy of `chunk` of another size, in its place; the old one becomes a freed header.
fn copy(chunk: Chunk, size: usize) -> Result<Chunk, AllocError> {
    let to = store::successor(chunk, size).ok_or(AllocError::OutOfMemory)?;
    if chunk.has(LIMITED) {
        count_copy(chunk, to)?;
    }
    if chunk.has(MEMBER) {
        leave_pool(chunk, to);
    }
    store::take_identity(to, chunk);
    let bytes = chunk.size().min(size);
    // SAFETY: two different payloads, each at least this long.
    unsafe { chunk.ptr().cast::<u8>().copy_to_nonoverlapping(to.ptr().cast(), bytes) };
    store::discard(chunk, LOCATION.as_ptr());
    Ok(to)
}

/// `to` takes the place of the member `chunk`. What its pool has served below it hangs on what may be no member of the pool.
#[inline(never)]
fn leave_pool(chunk: Chunk, to: Chunk) {
    let home = Origin::of_member(chunk);
    let stays = || to.has(MEMBER) && Origin::of_member(to).is_that_of(home);
    if chunk.child.is_some() && !stays() {
        home.let_go(None);
    }
}
