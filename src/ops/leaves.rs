//! Leaves: chunks without children, or with none left, which a free gives back without a walk.
//!
//! Chunks with nothing to act on go in one loop, without foreign code: leaves as they come; and where one has children, the
//! loop goes down to them, and takes it along when the last of them is gone ([`free_leaves`]). What is the same for all is
//! looked up once, and a list is mended at the end. A leaf with a destructor, and no more than that, goes in one go
//! ([`free_with_destructor`]): the short way gives up before anything has happened where something is not ordinary; the
//! destructor may do anything but free or resize the leaf, so that is looked at again, and where it is not what it was, the
//! long way goes on from there.

use core::ffi::{c_char, c_void};
use core::ptr;

use super::begin::{Unless, VETO, after_destructor, call_destructor, outlive};
use super::drain;
use super::dying::Root;
use super::entry::{Gained, let_others_in};
use crate::error::Fault;
use crate::hint::seldom;
use crate::mem::here::Change;
use crate::mem::shared::Shared;
use crate::process;
use crate::tree::chunk::{MEMBER, SIDE};
use crate::tree::side::{Running, SideRef};
use crate::tree::sight::{Found, Look};
use crate::tree::store::{Fate, Leaves, UntilLook};
use crate::tree::{Chunk, store};

/// Frees what lies below `top` in the order of a free, from `at` on, which is `top` or has set out from there: up to the first
/// chunk with something to act on, or a child of `top` with the payload `but`; verifies that one. Says whose first child it is:
/// that of `top`, or of a chunk that has set out. In a shared context, others are let in now and then.
#[inline(always)]
pub(super) fn free_leaves(
    at: Chunk,
    top: Chunk,
    location: *const c_char,
    but: *const c_void,
    held: Option<Shared>,
) -> Result<Chunk, Fault> {
    match held {
        None => free_simple_leaves(at, top, location, but, usize::MAX),
        Some(held) => {
            let_others_in(held);
            free_simple_leaves(at, top, location, but, LEAVES_IN_ONE_GO)
        }
    }
}

/// How many leaves of a shared context are freed before others are let in: some ten microseconds.
const LEAVES_IN_ONE_GO: usize = 1000;

/// [`free_leaves`], at most `most` of them, if they are shared. No foreign code runs, so a list is mended once, at the end.
#[inline(never)]
fn free_simple_leaves(
    mut at: Chunk,
    top: Chunk,
    location: *const c_char,
    but: *const c_void,
    most: usize,
) -> Result<Chunk, Fault> {
    if process::mode() != 0 {
        return free_leaves_in_mode(at, location, but, most).map(|()| at);
    }
    let mut spared = if at == top { but } else { ptr::null() };
    let mut next = at.child.get();
    let mut verified = Ok(());
    let (mut leaves, mut until_look) = (Leaves::new(), UntilLook::new());
    let mut others = 0_usize;
    loop {
        let Some(child) = next else {
            if at == top || !climb(&mut at, top, &mut leaves, location) {
                break;
            }
            next = at.child.get();
            if at == top {
                spared = but;
            }
            continue;
        };
        if child.ptr().cast_const() == spared {
            break;
        }
        let look = match leaves.sight(child) {
            Some(sight) => {
                if let Some(plain) = sight.plain() {
                    if plain.chunk().child.is_none() {
                        next = plain.chunk().next.get();
                        leaves.release(plain, location, &mut until_look);
                        continue;
                    }
                    seldom();
                    leaves.end_run(location);
                    (next, spared) = (go_into(child, &mut at), ptr::null());
                    until_look = UntilLook::new();
                    continue;
                }
                if let Some(member) = sight.plain_member() {
                    if member.chunk().child.is_none() {
                        next = member.chunk().next.get();
                        leaves.release_plain_member(member, location, &mut until_look);
                    } else {
                        (next, spared) = (go_into(child, &mut at), ptr::null());
                    }
                    continue;
                }
                if sight.is_no_leaf() {
                    break;
                }
                sight.look()
            }
            None => Look::Unknown,
        };
        seldom();
        // Among the others are all that threads share.
        if others >= most {
            break;
        }
        others += 1;
        let fate = match look {
            Look::Member(suspect) => leaves.release_member(suspect, location),
            _ => leaves.release_other(child, location),
        };
        match fate {
            Fate::Gone { next: after, keeps_others_waiting } => {
                next = after;
                if keeps_others_waiting {
                    until_look.end_at_next();
                }
            }
            Fate::Parent => (next, spared) = (go_into(child, &mut at), ptr::null()),
            Fate::Other => {
                verified = child.verify();
                break;
            }
        }
    }
    leaves.end_run(location);
    at.child.set(next);
    if let Some(next) = next
        && verified.is_ok()
    {
        next.prev.set(None);
    }
    verified.map(|()| at)
}

/// `child`, the first that is left `at` a chunk, is on its way out from now on, and leads back there. The way goes on there.
/// Returns its first child.
#[inline(never)]
fn go_into(child: Chunk, at: &mut Chunk) -> Option<Chunk> {
    let after = child.next.get();
    at.child.set(after);
    if let Some(after) = after {
        after.prev.set(None);
    }
    drain::set_out(child, *at);
    *at = child;
    child.child.get()
}

/// Gives back what is left `at` a chunk below `top` that has lost its last child, if it has nothing to act on, and goes up from there.
/// Says whether it did.
#[inline(never)]
fn climb(at: &mut Chunk, top: Chunk, leaves: &mut Leaves, location: *const c_char) -> bool {
    let emptied = *at;
    if !emptied.is_simply_dying() {
        return false;
    }
    // Where it leads back to: see `drain::set_out`.
    *at = emptied.next.get().unwrap_or(top);
    leaves.release_emptied(emptied, location);
    true
}

/// [`free_simple_leaves`] under options that change what a free does.
#[cold]
fn free_leaves_in_mode(
    at: Chunk,
    location: *const c_char,
    but: *const c_void,
    most: usize,
) -> Result<(), Fault> {
    for _ in 0..most {
        let Some(child) = at.child.get().filter(|child| child.ptr().cast_const() != but) else { break };
        let Some(next) = store::release_leaf_in_mode(child, location) else { return child.verify() };
        at.child.set(next);
        if let Some(next) = next {
            next.verify()?;
            next.prev.set(None);
        }
    }
    Ok(())
}

/// How it went with a leaf that may have a destructor.
pub(super) enum Outcome {
    /// It is gone.
    Freed,
    /// It is no such leaf. Nothing has happened.
    Other,
    /// Its destructor has said no, and it is as it was, if perhaps elsewhere.
    Vetoed,
    /// Its destructor has run, and the long way is to go on from there.
    Ran(Result<Option<Gained>, Unless>),
}

/// Frees `leaf`, if it has a side record and no children, nobody shares it, and there is nothing else to act on than a
/// destructor. `root` is that of the free that it is part of, if it is another chunk's. The change begins when the destructor
/// has agreed.
#[inline(always)]
pub(super) fn free_with_destructor(leaf: Found, location: *const c_char, root: Option<&Root>) -> Outcome {
    let chunk = leaf.chunk();
    let side = match leaf_with_side(chunk) {
        Some(side) if process::mode() == 0 && side.running.get() == Running::No => side,
        _ => return Outcome::Other,
    };
    if let Some(destructor) = side.destructor.take() {
        let verdict = call_destructor(chunk, side, destructor, root, None);
        let is_as_before = side.running.get() == Running::Yes && is_leaf(chunk) && is_bare(side);
        let change = Change::begin();
        if !is_as_before {
            seldom();
            return Outcome::Ran(after_destructor(chunk, side, destructor, verdict, None, None));
        }
        if verdict == VETO {
            side.running.set(Running::No);
            side.destructor.set(Some(destructor));
            return Outcome::Vetoed;
        }
        store::release_with_side(leaf, side, location, change);
    } else {
        store::release_with_side(leaf, side, location, Change::begin());
    }
    Outcome::Freed
}

/// The side record of a chunk that has one and nothing else to act on: no references, no children, no
/// finalizer. Nobody shares it.
#[inline(always)]
fn leaf_with_side(chunk: Chunk) -> Option<SideRef> {
    is_leaf(chunk).then(|| chunk.side()).flatten().filter(|&side| is_bare(side))
}

/// The side record of a chunk that has one and, but for children and a destructor that is not running, nothing else to act
/// on. Nobody shares it.
#[inline(always)]
pub(super) fn side_of_plain(chunk: Chunk) -> Option<SideRef> {
    if !may_have_destructor(chunk) {
        return None;
    }
    chunk.side().filter(|&side| is_bare(side) && side.running.get() == Running::No)
}

/// Whether the chunk has a side record and no children, and is at most a member of a pool beside that. Nobody shares it.
#[inline(always)]
fn is_leaf(chunk: Chunk) -> bool {
    // A chunk that is not shared any more has been taken from there with all that was done to it.
    may_have_destructor(chunk) && chunk.child.is_none()
}

/// Whether there are no references, and there is no finalizer.
#[inline(always)]
fn is_bare(side: SideRef) -> bool {
    side.references.get().is_none() && side.finalizer.get().is_none()
}

/// Whether `child`, which lives, is worth a try of [`free_with_destructor`].
#[inline(always)]
pub(super) fn may_have_destructor(child: Chunk) -> bool {
    child.see_flags() & !MEMBER == SIDE
}

/// Where [`free_leaves_with_destructors`] has stopped.
pub(super) enum Stop {
    /// At the first already, which is no such leaf.
    First,
    /// At one that is none, or is not there.
    Later,
    /// At one that is to go the long way, now that its destructor has run.
    At(Chunk, Result<Option<Gained>, Unless>),
}

/// Frees the leading children of `at`, which nobody shares, as long as they are [such leaves](free_with_destructor); if it
/// `spares_name`, up to the one that holds the name that `at` has by then. Each is a change of its own.
#[inline(never)]
pub(super) fn free_leaves_with_destructors(
    at: Chunk,
    location: *const c_char,
    spares_name: bool,
    root: Option<&Root>,
) -> Stop {
    let mut stop = Stop::First;
    while let Some(child) = at.child.get()
        && !(spares_name && child.ptr().cast_const() == at.name().cast())
        // SAFETY: any address may be asked about, and the tree is this thread's.
        && let Some(leaf) = unsafe { Chunk::find(child.ptr()) }
    {
        match free_with_destructor(leaf, location, root) {
            Outcome::Freed => stop = Stop::Later,
            Outcome::Vetoed => {
                let _change = Change::begin();
                outlive(child, at);
                stop = Stop::Later;
            }
            Outcome::Other => break,
            Outcome::Ran(ran) => return Stop::At(child, ran),
        }
    }
    stop
}
