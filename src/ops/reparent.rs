//! Steal and reparent: a chunk gets another parent, and what lies below goes along.

use super::{reference, roots};
use crate::error::StealError;
use crate::tree::chunk::{DYING, LIMITED, MEMBER, POOL};
use crate::tree::pool::PoolRef;
use crate::tree::{Chunk, limit, links, refs};

/// Makes `chunk` the newest child of `new_parent`, whatever references there are to it.
///
/// # Errors
/// [`StealError::Cycle`] when the new parent lies below it, [`StealError::Dying`]; nothing has
/// changed then. To steal a chunk under itself is no error and changes nothing.
///
/// # Safety
/// See the [module](super).
#[inline]
pub unsafe fn steal(new_parent: Option<Chunk>, chunk: Chunk) -> Result<(), StealError> {
    let new_parent = new_parent.or_else(roots::null_context);
    if let Some(parent) = new_parent {
        if parent == chunk {
            return Ok(());
        }
        if chunk.child.get().is_some() && chunk.is_above(parent) {
            return Err(StealError::Cycle);
        }
    }
    if chunk.has(DYING) {
        return Err(StealError::Dying);
    }
    relink(chunk, new_parent);
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
    if chunk.parent() == old_parent {
        // SAFETY: the caller's.
        return unsafe { steal(new_parent, chunk) };
    }
    let handle = reference::held_by(old_parent, chunk).ok_or(StealError::NotOwned)?;
    relink(handle, new_parent);
    debug_assert!(refs::target(handle) == chunk);
    Ok(())
}

/// Moves `chunk`, and with it all below it, to `to`, or out of every tree.
#[inline]
pub(super) fn relink(chunk: Chunk, to: Option<Chunk>) {
    const SPECIAL: u32 = MEMBER | POOL | LIMITED;
    if chunk.has(SPECIAL) || to.is_some_and(|to| to.has(SPECIAL)) {
        return relink_special(chunk, to);
    }
    move_link(chunk, to);
}

fn move_link(chunk: Chunk, to: Option<Chunk>) {
    links::detach(chunk);
    match to {
        Some(parent) => links::attach(chunk, parent),
        None => chunk.parent.set(None),
    }
}

/// Pools and limits are told.
#[cold]
fn relink_special(chunk: Chunk, to: Option<Chunk>) {
    let home = chunk.has(MEMBER).then(|| PoolRef::of_member(chunk));
    let target = to.and_then(PoolRef::serving);
    if home != target {
        if let Some(home) = home {
            home.set_shared();
        }
        if let Some(target) = target {
            target.set_irregular();
        }
    }
    let was_limited = chunk.has(LIMITED);
    let is_limited = to.is_some_and(|to| to.has(LIMITED));
    let weight = if was_limited || is_limited { limit::weight_of_tree(chunk) } else { 0 };
    if was_limited {
        limit::discharge(chunk.parent(), weight);
    }
    move_link(chunk, to);
    if is_limited {
        limit::charge_anyway(to, weight);
        limit::mark(chunk);
    } else if was_limited {
        limit::unmark(chunk);
    }
}
