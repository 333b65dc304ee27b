//! Free: a chunk and everything below it.

use core::ffi::{c_char, c_void};

use super::begin::{Unless, after_destructor, begin, begin_from_there, call_destructor};
use super::drain::{
    Inner, bury, drain, drain_all, drain_root, drain_root_from, free_root_leaves, go_down, leave,
};
use super::entry::{Gained, enter_one, gain};
use super::leaves::{Outcome, free_leaves, free_with_destructor, may_have_destructor, side_of_plain};
use super::{Quick, reference, roots, shared};
use crate::error::{AllocError, Fault, FreeError};
use crate::hint::seldom;
use crate::mem::here::Change;
use crate::mem::shared::Shared;
use crate::tree::chunk::{DYING, MEMBER, POOL};
use crate::tree::side::Running;
use crate::tree::sight::{Found, Suspect};
use crate::tree::{Chunk, Destructor, Finalizer, domain, links, refs, store};

/// Sets the function that is called before `chunk` is freed, and may refuse; `None` takes it away.
///
/// # Errors
/// [`AllocError::OutOfMemory`]: nothing has changed.
///
/// # Safety
/// See the [module](super); the function may be called with the payload until the chunk is freed.
#[inline]
pub unsafe fn set_destructor(chunk: Chunk, destructor: Option<Destructor>) -> Result<(), AllocError> {
    if chunk.side().is_none() {
        if destructor.is_none() {
            return Ok(());
        }
        let _change = Change::begin();
        return put_destructor(chunk, destructor);
    }
    put_destructor(chunk, destructor)
}

/// [`set_destructor`] in the middle of a change, or of a chunk that has a side record.
#[inline]
pub(super) fn put_destructor(chunk: Chunk, destructor: Option<Destructor>) -> Result<(), AllocError> {
    let side = chunk.side_or_new()?;
    side.destructor.set(destructor);
    if side.running.get() == Running::Yes {
        side.running.set(Running::Replaced);
    }
    Ok(())
}

/// Sets the function that is called when `chunk` is certain to be freed.
///
/// # Errors
/// [`AllocError::OutOfMemory`]: nothing has changed.
///
/// # Safety
/// See the [module](super); the function may be called with the payload until the chunk is freed.
pub unsafe fn set_finalizer(chunk: Chunk, finalizer: Finalizer) -> Result<(), AllocError> {
    let _change = Change::begin();
    chunk.side_or_new()?.finalizer.set(Some(finalizer));
    Ok(())
}

/// Frees `chunk` and everything below it. `location` says where, for those who touch it later.
///
/// If its only parent is the null context and it has one reference, the reference's owner keeps it.
///
/// # Errors
/// [`FreeError::HasReferences`], [`FreeError::Vetoed`] or [`FreeError::Again`]; it lives on then.
/// [`FreeError::Corrupt`].
///
/// # Safety
/// See the [module](super).
#[inline(always)]
pub unsafe fn free(chunk: Chunk, location: *const c_char) -> Result<(), FreeError> {
    if chunk.is_simple() {
        return free_simple_now(chunk, location);
    }
    // SAFETY: the chunk lives.
    match unsafe { Chunk::find(chunk.ptr()) } {
        Some(leaf) if may_have_destructor(chunk) => free_leaf_with_side(leaf, location),
        _ => free_slow_now(chunk, location),
    }
}

/// [`free`] of a chunk that was found just now, where [`free_found`] has turned it down.
///
/// # Errors
/// As for [`free`].
///
/// # Safety
/// See the [module](super).
#[inline(always)]
pub unsafe fn free_unready(found: Found, location: *const c_char) -> Result<(), FreeError> {
    let chunk = found.chunk();
    if found.flags() == 0 {
        free_simple_now(chunk, location)
    } else if found.flags() == MEMBER {
        free_plain_member(found, location)
    } else if may_have_destructor(chunk) {
        free_leaf_with_side(found, location)
    } else {
        free_slow_now(chunk, location)
    }
}

/// [`free`] in the middle of a change.
pub(super) fn free_it(chunk: Chunk, location: *const c_char) -> Result<(), FreeError> {
    if chunk.is_simple() { free_simple(chunk, location) } else { free_slow(chunk, location) }
}

/// [`free`] of a chunk that is simple.
#[inline(never)]
fn free_simple_now(chunk: Chunk, location: *const c_char) -> Result<(), FreeError> {
    let _change = Change::begin();
    free_simple(chunk, location)
}

/// [`free`] of a member of a pool that was found just now, and has no other flag.
#[inline(never)]
fn free_plain_member(member: Found, location: *const c_char) -> Result<(), FreeError> {
    if store::release_plain_member(member, location) {
        return Ok(());
    }
    let _change = Change::begin();
    free_simple(member.chunk(), location)
}

/// [`free_simple_now`] in the middle of a change.
#[inline(always)]
fn free_simple(chunk: Chunk, location: *const c_char) -> Result<(), FreeError> {
    links::detach(chunk);
    if chunk.child.is_some() {
        return drain_simple(chunk, location);
    }
    store::release(chunk, location);
    Ok(())
}

/// [`free`] of what may belong to a shared context: it is entered.
///
/// # Errors
/// As for [`free`], but for [`FreeError::Again`].
///
/// # Safety
/// As for [`free`], and for [`enter`](super::enter).
pub unsafe fn free_anywhere(chunk: Chunk, location: *const c_char) -> Result<(), FreeError> {
    let _change = Change::begin();
    // SAFETY: the caller's.
    unsafe { free_it_anywhere(chunk, location) }
}

/// [`free_anywhere`] in the middle of a change.
///
/// # Safety
/// As for that.
unsafe fn free_it_anywhere(chunk: Chunk, location: *const c_char) -> Result<(), FreeError> {
    loop {
        // SAFETY: the caller's.
        let (_entry, chunk) = unsafe { enter_one(chunk.ptr()) }.map_err(FreeError::Corrupt)?;
        let freed = free_it(chunk, location);
        if freed != Err(FreeError::Again) {
            return freed;
        }
    }
}

/// [`free`], only if it goes the short way. If it does not, nothing has happened.
///
/// # Safety
/// See the [module](super).
#[inline(always)]
pub unsafe fn free_quick(chunk: Chunk, location: *const c_char) -> bool {
    store::quick_release(chunk, location)
}

/// [`free_quick`] for a chunk that was found just now.
///
/// # Safety
/// See the [module](super).
#[inline(always)]
pub unsafe fn free_found(chunk: Found, location: *const c_char) -> Quick {
    store::ready_release(chunk, location)
}

/// [`free_quick`] for what [`Chunk::look`] has taken for a member of a pool just now.
///
/// # Safety
/// See the [module](super).
#[inline(always)]
pub unsafe fn free_member(suspect: Suspect, location: *const c_char) -> bool {
    store::quick_release_member(suspect, location)
}

/// [`free_quick`] for a pointer that, as [`Chunk::look`] says, may lead into a shared context. If it does not, nothing has
/// happened.
///
/// # Safety
/// As for [`enter`](super::enter).
#[inline(always)]
pub unsafe fn free_shared(payload: *const c_void, location: *const c_char) -> bool {
    // SAFETY: the caller's.
    unsafe { shared::free_quick(payload, location) }
}

/// [`free`] of a chunk with a side record, most often a leaf with nothing else to act on than a destructor.
#[inline(never)]
fn free_leaf_with_side(leaf: Found, location: *const c_char) -> Result<(), FreeError> {
    match free_with_destructor(leaf, location, None) {
        Outcome::Freed => Ok(()),
        Outcome::Vetoed => Err(FreeError::Vetoed),
        Outcome::Other => free_parent_with_side(leaf.chunk(), location),
        Outcome::Ran(ran) => finish_from_there(leaf.chunk(), ran, location),
    }
}

/// [`free`] of a chunk with a side record, most often one with children and nothing else to act on than a destructor.
#[inline(always)]
fn free_parent_with_side(parent: Chunk, location: *const c_char) -> Result<(), FreeError> {
    let Some(side) = side_of_plain(parent) else { return free_slow_now(parent, location) };
    if let Some(destructor) = side.destructor.take() {
        let verdict = call_destructor(parent, side, destructor, None, None);
        let change = Change::begin();
        let ran = after_destructor(parent, side, destructor, verdict, None, None);
        drop(change);
        if !matches!(ran, Ok(None)) || side_of_plain(parent).is_none() {
            seldom();
            return finish_from_there(parent, ran, location);
        }
    }
    let _change = Change::begin();
    if parent.child.get().is_some_and(may_have_destructor) {
        finish(parent, location, None)
    } else {
        free_simple(parent, location)
    }
}

/// [`free`] of any chunk.
#[inline(never)]
fn free_slow_now(chunk: Chunk, location: *const c_char) -> Result<(), FreeError> {
    let _change = Change::begin();
    free_slow(chunk, location)
}

/// The rest of the free of a leaf, outside of all shared contexts, whose destructor has run and changed something.
#[cold]
fn finish_from_there(
    chunk: Chunk,
    ran: Result<Option<Gained>, Unless>,
    location: *const c_char,
) -> Result<(), FreeError> {
    let _change = Change::begin();
    // That it may be gone is all the same to the caller.
    match begin_from_there(chunk, ran, None, None).map_err(|refusal| refusal.error)? {
        Some(there) => free_elsewhere(chunk, location, None, there),
        None => finish(chunk, location, None),
    }
}

fn free_slow(chunk: Chunk, location: *const c_char) -> Result<(), FreeError> {
    if store::release_shared_leaf(chunk, location) || store::release_plain_pool(chunk, location) {
        return Ok(());
    }
    if chunk.has_only(POOL) {
        // Nobody else has a say.
        return finish(chunk, location, None);
    }
    if chunk.has(DYING) {
        // It is on its way out already; or its children are, and it must wait for them.
        return if chunk.is_leaving() { Ok(()) } else { Err(FreeError::Vetoed) };
    }
    if let Some(first) = refs::all(chunk).next() {
        let only = refs::all(chunk).nth(1).is_none();
        if !only || chunk.parent() != roots::null_context() {
            return Err(FreeError::HasReferences);
        }
        let _gained = gain(domain::of(chunk), first).ok_or(FreeError::Again)?;
        let owner = first.parent();
        if !owner.is_some_and(|owner| chunk.is_above(owner)) {
            return reference::give_to_owner(chunk, first, location);
        }
    }
    kill(chunk, location)
}

/// Frees a chunk that may have anything, references included: one held from outside saves it.
pub(super) fn kill(chunk: Chunk, location: *const c_char) -> Result<(), FreeError> {
    let held = domain::of(chunk);
    if let Some(there) = begin(chunk, location, None, held).map_err(|refusal| refusal.error)? {
        return free_elsewhere(chunk, location, held, there);
    }
    finish(chunk, location, held)
}

/// Frees `chunk`, whose destructor has agreed, in the domain to which it has taken it. The calling thread is `there`, too,
/// besides `held`, and stays until it is done: who frees all that is there, from another thread, cannot know of the chunk.
#[cold]
fn free_elsewhere(
    chunk: Chunk,
    location: *const c_char,
    held: Option<Shared>,
    there: Gained,
) -> Result<(), FreeError> {
    if let Some(held) = held {
        held.pause();
    }
    let mut freed = free_it(chunk, location);
    drop(there);
    if freed == Err(FreeError::Again) {
        // It had to leave after all, before anything was done.
        // SAFETY: the right to the chunk is the caller's; the calling thread is in no shared context now.
        freed = match unsafe { free_it_anywhere(chunk, location) } {
            Err(FreeError::Corrupt(Fault::Freed { .. })) => Ok(()),
            freed => freed,
        };
    }
    if let Some(held) = held {
        held.resume();
    }
    freed
}

/// The second half of a free. The calling thread is in `held` and in nothing else.
fn finish(chunk: Chunk, location: *const c_char, held: Option<Shared>) -> Result<(), FreeError> {
    links::detach(chunk);
    if store::is_regular_pool(chunk) {
        leave(chunk);
        store::release_pool(chunk, location);
        return Ok(());
    }
    if chunk.child.is_some() {
        drain_root(chunk, location, held)?;
    }
    bury(chunk, location);
    Ok(())
}

/// Frees what lies below `chunk`, which has left its parent's list and has nothing else to act on, and `chunk`.
#[inline(never)]
fn drain_simple(chunk: Chunk, location: *const c_char) -> Result<(), FreeError> {
    let at = free_root_leaves(chunk, location)?;
    if at == chunk && chunk.child.is_none() {
        store::release(chunk, location);
        return Ok(());
    }
    drain_root_from(chunk, at, location)?;
    bury(chunk, location);
    Ok(())
}

/// Frees the children of `chunk`, but not the one that holds its name; of a pool, its [bare bytes](super::bare), too.
///
/// # Errors
/// [`FreeError::Corrupt`].
///
/// # Safety
/// See the [module](super).
pub unsafe fn free_children(chunk: Chunk, location: *const c_char) -> Result<(), FreeError> {
    let _change = Change::begin();
    free_all_below(chunk, location)
}

/// [`free_children`] in the middle of a change.
pub(super) fn free_all_below(chunk: Chunk, location: *const c_char) -> Result<(), FreeError> {
    if chunk.has(DYING) {
        // They are being freed already.
        return Ok(());
    }
    chunk.set_flags(DYING);
    let drained = drain_all_but_name(chunk, location);
    chunk.clear_flags(DYING);
    drained?;
    store::drop_bare(chunk, location);
    Ok(())
}

/// Frees the children of `chunk`, which is marked as dying, but for the one that holds its name: whichever
/// that is at the time, for a destructor may give it another.
fn drain_all_but_name(chunk: Chunk, location: *const c_char) -> Result<(), FreeError> {
    let held = domain::of(chunk);
    let mut inner = Inner::default();
    loop {
        let name = chunk.name().cast::<c_void>();
        let at = free_leaves(chunk, chunk, location, name, held).map_err(FreeError::Corrupt)?;
        if at != chunk {
            let child = below(chunk, at);
            drain(child, at, location, None, held)?;
            bury(child, location);
            continue;
        }
        let Some(child) = chunk.children().find(|child| child.ptr().cast_const() != name) else {
            return Ok(());
        };
        child.verify().map_err(FreeError::Corrupt)?;
        inner.come_to(child, held);
        if let Some(child) = go_down(child, chunk, location, true, None, inner.or(held)) {
            drain_all(child, location, None, inner.or(held))?;
            bury(child, location);
        }
        inner.leave(child);
    }
}

/// The chunk that has set out from `top` itself, above `at` or that.
fn below(top: Chunk, at: Chunk) -> Chunk {
    let up = |chunk: &Chunk| chunk.next.get().filter(|&up| up != top);
    core::iter::successors(Some(at), up).last().unwrap_or(at)
}
