//! Steal and reparent: a chunk gets another parent, and what lies below goes along.

use super::{dying, reference, roots};
use crate::error::StealError;
use crate::mem::here::Change;
use crate::tree::chunk::{ANCHOR, DYING, GUARDED, LIMITED, MEMBER, POOL};
use crate::tree::limit::Moving;
use crate::tree::pool::{Origin, PoolRef};
use crate::tree::sight::Found;
use crate::tree::{Chunk, domain, links, refs};

/// Makes `chunk` the newest child of `new_parent`, whatever references there are to it.
///
/// To steal a chunk under itself changes nothing.
///
/// Between two shared contexts, or into or out of one, the time it takes grows with what lies below the chunk. A
/// shared context goes under no other.
///
/// # Errors
/// [`StealError::Cycle`] when the new parent lies below the chunk; [`StealError::Dying`], also when what is being freed
/// lies below a chunk that goes to another domain; [`StealError::SharedContext`]; [`StealError::OutOfMemory`]. Nothing
/// has changed then.
///
/// # Safety
/// See the [module](super).
#[inline]
pub unsafe fn steal(new_parent: Option<Chunk>, chunk: Chunk) -> Result<(), StealError> {
    let _change = Change::begin();
    move_below(new_parent, chunk)
}

/// [`steal`] in the middle of a change.
#[inline]
fn move_below(new_parent: Option<Chunk>, chunk: Chunk) -> Result<(), StealError> {
    let new_parent = new_parent.or_else(roots::null_context);
    if chunk.has(DYING) {
        return Err(StealError::Dying);
    }
    if new_parent == Some(chunk) {
        return Ok(());
    }
    if let Some(parent) = new_parent
        && (chunk.child.is_some() || chunk.has(ANCHOR))
        && chunk.is_above(parent)
    {
        return Err(StealError::Cycle);
    }
    if is_special(chunk, new_parent) {
        prepare(chunk, new_parent)?;
        relink_special(chunk, new_parent);
    } else {
        move_link(chunk, new_parent);
    }
    Ok(())
}

/// [`steal`] between two chunks that were found just now, only if it goes the short way. If it does not, nothing has happened.
///
/// # Safety
/// See the [module](super).
#[inline(always)]
pub unsafe fn steal_found(new_parent: Found, chunk: Found) -> bool {
    let (of_parent, of_chunk) = (new_parent.flags(), chunk.flags());
    let (new_parent, chunk) = (new_parent.chunk(), chunk.chunk());
    let Some(old_parent) = chunk.parent.get() else { return false };
    if of_chunk != 0
        || of_parent & SPECIAL != 0
        || old_parent.above_has(SPECIAL)
        || chunk.child.is_some() && chunk.is_above(new_parent)
        || chunk == new_parent
    {
        return false;
    }
    let _change = Change::begin();
    links::bridge(chunk, old_parent);
    links::attach_unguarded(chunk, new_parent);
    true
}

/// [`steal_found`] of a member of a pool that leaves it.
///
/// # Safety
/// See the [module](super).
#[inline(always)]
pub unsafe fn steal_found_member(new_parent: Found, member: Found) -> bool {
    if member.flags() != MEMBER || new_parent.flags() & SPECIAL != 0 {
        return false;
    }
    let (new_parent, member) = (new_parent.chunk(), member.chunk());
    let Some(old_parent) = member.parent.get() else { return false };
    if old_parent.above_has(LIMITED | GUARDED) || member.child.is_some() && member.is_above(new_parent) {
        return false;
    }
    let _change = Change::begin();
    Origin::of_member(member).let_go(Some(new_parent));
    links::bridge(member, old_parent);
    links::attach_unguarded(member, new_parent);
    true
}

/// What comes closest to a ring of `chunk` and `below`, which lies below it: `below` takes the place of `chunk` under
/// its parent, and `chunk` becomes its child.
///
/// # Errors
/// [`StealError::Cycle`] when `chunk` has no place to give, being without a parent or a shared context;
/// [`StealError::Dying`] when it is being freed, or what lies between the two. Nothing has changed then.
///
/// # Safety
/// See the [module](super).
#[cold]
pub unsafe fn change_places(below: Chunk, chunk: Chunk) -> Result<(), StealError> {
    let _change = Change::begin();
    let mut upwards = core::iter::successors(Some(below), |c| c.parent()).take_while(|&c| c != chunk);
    if chunk.has(DYING) || upwards.any(|c| c.above_has(DYING) || c.is_running()) {
        return Err(StealError::Dying);
    }
    if chunk.parent() == roots::null_context() || domain::is_root(chunk) {
        return Err(StealError::Cycle);
    }
    relink(below, chunk.parent());
    relink(chunk, Some(below));
    Ok(())
}

/// Moves the link between `old_parent` and `chunk` to `new_parent`: the parent's link, or a reference
/// that `old_parent` holds.
///
/// # Errors
/// [`StealError::NotOwned`] when there is no such link; else as for [`steal`].
///
/// # Safety
/// See the [module](super).
pub unsafe fn reparent(
    old_parent: Option<Chunk>,
    new_parent: Option<Chunk>,
    chunk: Chunk,
) -> Result<(), StealError> {
    let _change = Change::begin();
    if chunk.parent() == old_parent {
        return move_below(new_parent, chunk);
    }
    let handle = reference::held_by(old_parent, chunk).ok_or(StealError::NotOwned)?;
    prepare(handle, new_parent)?;
    relink(handle, new_parent);
    debug_assert!(refs::target(handle) == chunk);
    Ok(())
}

/// Makes sure that `chunk` can go below `to`, if that is in another domain.
#[cold]
fn prepare(chunk: Chunk, to: Option<Chunk>) -> Result<(), StealError> {
    let target = to.and_then(domain::of);
    if domain::is_root(chunk) {
        return if target.is_some() { Err(StealError::SharedContext) } else { Ok(()) };
    }
    if domain::of(chunk) == target { Ok(()) } else { domain::prepare(chunk, target) }
}

/// [`relink`] to where a chunk goes that lives on without its parent. If it cannot go there, it has no parent.
pub(super) fn relink_survivor(chunk: Chunk, to: Option<Chunk>) {
    let goes = !is_special(chunk, to) || to.and_then(domain::of).is_none() || prepare(chunk, to).is_ok();
    relink(chunk, if goes { to } else { roots::null_context() });
}

/// [`relink`] of a chunk whose destructor has agreed to its death, and has taken it to another domain, back to its dying
/// `parent`. If it cannot go there, it has no parent; but it stays where it is, and the answer is no, while another thread
/// frees children of it, or of something below it.
pub(super) fn bring_back(chunk: Chunk, parent: Chunk) -> bool {
    match prepare(chunk, Some(parent)) {
        Ok(()) => relink(chunk, Some(parent)),
        Err(StealError::Dying) => return false,
        Err(_) => relink(chunk, roots::null_context()),
    }
    true
}

/// [`relink`] of a dying chunk out of every tree and domain. Its own has been entered. The answer is no, and nothing has
/// happened, while another thread frees children of it, or of something below it.
pub(super) fn take_out(chunk: Chunk) -> bool {
    let can_go = prepare(chunk, None).is_ok();
    if can_go {
        relink(chunk, None);
    }
    can_go
}

/// Moves `chunk`, and with it all below it, to `to`, or out of every tree.
#[inline]
pub(super) fn relink(chunk: Chunk, to: Option<Chunk>) {
    debug_assert!(!to.is_some_and(|to| chunk.is_above(to)), "a ring");
    if is_special(chunk, to) {
        return relink_special(chunk, to);
    }
    move_link(chunk, to);
}

/// Where one of these is, more is to be done than to change links.
const SPECIAL: u32 = MEMBER | POOL | LIMITED | GUARDED;

/// Whether more is to be done than to change links.
#[inline(always)]
fn is_special(chunk: Chunk, to: Option<Chunk>) -> bool {
    chunk.has(SPECIAL) || to.is_some_and(|to| to.above_has(SPECIAL))
}

fn move_link(chunk: Chunk, to: Option<Chunk>) {
    links::detach(chunk);
    match to {
        Some(parent) => links::attach(chunk, parent),
        None => chunk.parent.set(None),
    }
}

/// Pools and meters are told, and what comes into another domain is marked.
#[cold]
fn relink_special(chunk: Chunk, to: Option<Chunk>) {
    let is_root = domain::is_root(chunk);
    let target = to.and_then(domain::of);
    if !is_root && domain::of(chunk) != target {
        dying::replace_anchors_in(chunk, chunk.parent());
        relink_within_rules(chunk, to, true);
        domain::assign(chunk, target);
    } else {
        relink_within_rules(chunk, to, !is_root);
    }
}

/// Pools are told, and limits if it is `counted`.
fn relink_within_rules(chunk: Chunk, to: Option<Chunk>, counted: bool) {
    if let Some(pool) = PoolRef::of_chunk(chunk) {
        pool.move_chunk();
    }
    let home = chunk.has(MEMBER).then(|| Origin::of_member(chunk));
    let target = to.and_then(Origin::serving);
    let stays = match (home, target) {
        (Some(home), Some(target)) => home.is_that_of(target),
        (home, target) => home.is_none() && target.is_none(),
    };
    if !stays {
        if let Some(home) = home {
            home.let_go(to);
        }
        if let Some(target) = target {
            target.set_irregular();
        }
    }
    if !counted || !chunk.has(LIMITED) && !to.is_some_and(|to| to.above_has(LIMITED)) {
        return move_link(chunk, to);
    }
    let moving = Moving::leave(chunk, to);
    move_link(chunk, to);
    moving.arrive(to);
}
