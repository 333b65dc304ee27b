//! The first half of a free: who else has a say, before anything is gone.
//!
//! References first, then the destructor, then the finalizer: the order is the contract's. Each may keep the chunk alive;
//! who gets it then, its [`Refusal`] says. Foreign code runs outside of all shared contexts, with the chunk marked in its
//! side record, so that nobody frees or resizes it; where it has been taken meanwhile, it is looked for ([`come_back`]).

use core::ffi::{c_char, c_int};
use core::ptr::NonNull;

use super::drain::drop_reference;
use super::dying::Root;
use super::entry::{Gained, come_back, gain};
use super::{reparent, roots};
use crate::error::FreeError;
use crate::mem::here;
use crate::mem::shared::Shared;
use crate::tree::chunk::{DYING, REFERENCE};
use crate::tree::side::{Running, SideRef};
use crate::tree::{Chunk, Destructor, Finalizer, domain, refs};

/// A chunk that goes on living.
pub(super) struct Refusal {
    pub(super) error: FreeError,
    heir: Heir,
    /// The right to the heir.
    _gained: Option<Gained>,
}

/// Who gets a chunk that goes on living when its parent dies.
enum Heir {
    /// The parent of the dying parent.
    Grandparent,
    /// The owner of the newest reference.
    Owner(Chunk),
    /// Nobody: the newest reference came from below the chunk itself.
    Nobody,
    /// The chunk has gone elsewhere, or is to be looked at again.
    Unchanged,
}

impl Refusal {
    const VETO: Refusal = Refusal { error: FreeError::Vetoed, heir: Heir::Grandparent, _gained: None };
    const GONE: Refusal = Refusal { error: FreeError::Vetoed, heir: Heir::Unchanged, _gained: None };
    const AGAIN: Refusal = Refusal { error: FreeError::Again, heir: Heir::Unchanged, _gained: None };

    fn unless(unless: Unless) -> Refusal {
        match unless {
            Unless::Vetoed => Refusal::VETO,
            Unless::Gone => Refusal::GONE,
        }
    }

    /// Gives `chunk`, which dies with its `parent` but for this, to whoever gets it.
    pub(super) fn give_to_heir(self, chunk: Chunk, parent: Chunk) {
        let to = match self.heir {
            Heir::Owner(owner) => Some(owner),
            Heir::Nobody => None,
            Heir::Grandparent => parent.parent(),
            Heir::Unchanged => return,
        };
        if chunk.parent() == Some(parent) {
            reparent::relink_survivor(chunk, to.or_else(roots::null_context));
        }
    }

    /// For a chunk that the reference `handle` saves, perhaps among others.
    fn saved_by(handle: Chunk, chunk: Chunk, gained: Gained) -> Refusal {
        let heir = match handle.parent() {
            None => Heir::Grandparent,
            Some(owner) if domain::is_null_context(owner) => Heir::Grandparent,
            Some(owner) if chunk.is_above(owner) => Heir::Nobody,
            Some(owner) => Heir::Owner(owner),
        };
        Refusal { error: FreeError::HasReferences, heir, _gained: Some(gained) }
    }
}

/// The first half of a free, up to the point of no return: references and the destructor. The calling thread is in
/// `held` and in nothing else, but not while foreign code runs.
///
/// Where the destructor has agreed and taken the chunk to another domain, that has been entered, too, and the first half
/// is to be begun again there.
pub(super) fn begin(
    chunk: Chunk,
    location: *const c_char,
    root: Option<&Root>,
    held: Option<Shared>,
) -> Result<Option<Gained>, Refusal> {
    if chunk.has(DYING) {
        return Err(Refusal::VETO);
    }
    let mut ran = Ok(None);
    if let Some(side) = chunk.side() {
        if side.running.get() != Running::No {
            return Err(Refusal::VETO);
        }
        drop_references_to(chunk, location, held)?;
        if let Some(destructor) = side.destructor.take() {
            let home = domain::of(chunk);
            let verdict = here::outside(|| call_destructor(chunk, side, destructor, root, held));
            ran = after_destructor(chunk, side, destructor, verdict, home, held);
        }
    }
    begin_from_there(chunk, ran, root, held)
}

/// [`begin`] from where the destructor has run.
pub(super) fn begin_from_there(
    chunk: Chunk,
    ran: Result<Option<Gained>, Unless>,
    root: Option<&Root>,
    held: Option<Shared>,
) -> Result<Option<Gained>, Refusal> {
    let away = ran.map_err(Refusal::unless)?;
    if away.is_some() {
        return Ok(away);
    }
    if let Some(side) = chunk.side()
        && let Some(finalizer) = side.finalizer.take()
    {
        run_finalizer(chunk, side, root, held, finalizer)?;
    }
    if chunk.has(REFERENCE) {
        let _gained = gain(held, refs::target(chunk)).ok_or(Refusal::AGAIN)?;
        refs::unhook(chunk);
    }
    Ok(None)
}

/// [`begin`] of a chunk that dies with its `parent`, from where the destructor has agreed, and has taken it `there`. Below
/// its parent again, it is met again, or given to somebody else, whatever its refusal. What others are busy with there
/// stays. It has no parent and is of no domain when it is to die.
#[cold]
pub(super) fn begin_again(
    chunk: Chunk,
    parent: Chunk,
    there: Gained,
    location: *const c_char,
    root: Option<&Root>,
    held: Option<Shared>,
) -> Result<(), Refusal> {
    if !reparent::bring_back(chunk, parent) {
        return Err(Refusal::GONE);
    }
    drop(there);
    begin(chunk, location, root, held)?;
    if reparent::take_out(chunk) { Ok(()) } else { Err(Refusal::AGAIN) }
}

/// Drops the references to `chunk` that come from below it. One that comes from elsewhere is dropped, too, and saves it.
fn drop_references_to(chunk: Chunk, location: *const c_char, held: Option<Shared>) -> Result<(), Refusal> {
    let Some(newest) = refs::all(chunk).next() else { return Ok(()) };
    let refusal = Refusal::saved_by(newest, chunk, gain(held, newest).ok_or(Refusal::AGAIN)?);
    while let Some(handle) = refs::all(chunk).next() {
        let _gained = gain(held, handle).ok_or(Refusal::AGAIN)?;
        let from_below = chunk.is_above(handle);
        drop_reference(handle, location);
        if !from_below {
            return Err(refusal);
        }
    }
    Ok(())
}

/// `chunk`, which dies with its `parent` but for its destructor's veto, goes to the parent of that.
pub(super) fn outlive(chunk: Chunk, parent: Chunk) {
    Refusal::VETO.give_to_heir(chunk, parent);
}

/// The verdict of a destructor that does not agree.
pub(super) const VETO: c_int = -1;

/// Why a chunk is not freed whose destructor has run.
pub(super) enum Unless {
    /// It said no.
    Vetoed,
    /// It said no, and the chunk is in another domain now, where it is not to be looked at.
    Gone,
}

/// Calls the destructor of `chunk`, which has been taken from its record, outside of `held` and of all changes. The chunk is of that domain,
/// or of none, and is not freed or resized meanwhile; [`after_destructor`] is to follow.
#[inline(always)]
pub(super) fn call_destructor(
    chunk: Chunk,
    side: SideRef,
    destructor: Destructor,
    root: Option<&Root>,
    held: Option<Shared>,
) -> c_int {
    side.running.set(Running::Yes);
    if let Some(root) = root {
        root.list();
    }
    if let Some(held) = held {
        held.pause();
    }
    // SAFETY: set for this chunk, whose payload is intact; the tree is valid, whatever it does to it.
    unsafe { destructor(chunk.ptr()) }
}

/// What has become of `chunk`, whose `home` was `held` or none, when its destructor has given its verdict.
///
/// When it has agreed, and taken the chunk to another domain, that has been entered, too, and is returned.
pub(super) fn after_destructor(
    chunk: Chunk,
    side: SideRef,
    destructor: Destructor,
    verdict: c_int,
    home: Option<Shared>,
    held: Option<Shared>,
) -> Result<Option<Gained>, Unless> {
    let away =
        if held.is_some() || domain::peek(chunk).is_some() { come_back(held, home, chunk) } else { None };
    let replaced = side.running.replace(Running::No) == Running::Replaced;
    if verdict == VETO {
        if !replaced {
            side.destructor.set(Some(destructor));
        }
        return Err(if away.is_some() { Unless::Gone } else { Unless::Vetoed });
    }
    if away.is_some() {
        // One that it has set meanwhile is not asked.
        side.destructor.set(None);
    }
    Ok(away)
}

/// Runs the finalizer of `chunk`, outside of `held`. It comes back from wherever that has taken it, and has no parent then;
/// but it stays there while another thread frees children of it, or of something below it.
#[cold]
fn run_finalizer(
    chunk: Chunk,
    side: SideRef,
    root: Option<&Root>,
    held: Option<Shared>,
    finalizer: Finalizer,
) -> Result<(), Refusal> {
    let home = domain::of(chunk);
    side.running.set(Running::Yes);
    if let Some(root) = root {
        root.list();
    }
    if let Some(held) = held {
        held.pause();
    }
    // SAFETY: set for this chunk, whose payload is intact and never null.
    here::outside(|| unsafe { finalizer(NonNull::new_unchecked(chunk.ptr())) });
    let away = come_back(held, home, chunk);
    side.running.set(Running::No);
    if away.is_some() && !reparent::take_out(chunk) {
        return Err(Refusal::GONE);
    }
    Ok(())
}
