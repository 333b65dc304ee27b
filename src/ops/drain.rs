//! The free of a tree, in constant stack.
//!
//! The order is the contract's: a chunk's destructor, out of its parent's list, its children by the
//! same rule, its memory. A chunk on the way out still says what its parent was: that is where a child
//! goes that refuses to die.

use core::ffi::{c_char, c_void};
use core::ptr::{self, NonNull};

use super::dying::{self, Root};
use super::entry::{Gained, come_back, enter_surely, gain, let_others_in};
use super::{reparent, roots};
use crate::error::{Fault, FreeError};
use crate::mem::shared::Shared;
use crate::process;
use crate::tree::chunk::{ANCHOR, DYING, GUARDED, REFERENCE, SIDE, seldom};
use crate::tree::side::{Running, SideRef};
use crate::tree::sight::{Look, Sight};
use crate::tree::store::Leaves;
use crate::tree::{Chunk, Finalizer, domain, links, refs, store};

/// Frees all below `chunk`, which has left its parent's list. The calling thread is in `held` and in nothing else.
pub(super) fn drain_root(
    chunk: Chunk,
    location: *const c_char,
    held: Option<Shared>,
) -> Result<(), FreeError> {
    let root = Root::new(chunk);
    chunk.set_leaving();
    if held.is_some() {
        // Other threads are at work in the tree that it comes from.
        root.list();
    }
    drain(chunk, location, Some(&root), held)
}

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
    if let Some(side) = chunk.side() {
        if side.running.get() != Running::No {
            return Err(Refusal::VETO);
        }
        drop_references_to(chunk, location, held)?;
        let away = run_destructor(chunk, side, root, held).map_err(Refusal::unless)?;
        if away.is_some() {
            return Ok(away);
        }
        if let Some(finalizer) = side.finalizer.take() {
            run_finalizer(chunk, side, root, held, finalizer)?;
        }
    }
    if chunk.has(REFERENCE) {
        let _gained = gain(held, refs::target(chunk)).ok_or(Refusal::AGAIN)?;
        refs::unhook(chunk);
    }
    Ok(None)
}

/// [`begin`] of a chunk that dies with its `parent`, by a shorter way for a leaf with a destructor. It comes back from
/// wherever the destructor has taken it: then it has no parent and is of no domain.
#[inline(always)]
fn begin_leaf_or_tree(
    chunk: Chunk,
    parent: Chunk,
    location: *const c_char,
    root: Option<&Root>,
    held: Option<Shared>,
) -> Result<(), Refusal> {
    let away = match leaf_with_side(chunk) {
        Some(side) if side.running.get() == Running::No => {
            run_destructor(chunk, side, root, held).map_err(Refusal::unless)?
        }
        _ => begin(chunk, location, root, held)?,
    };
    match away {
        Some(there) => begin_again(chunk, parent, there, location, root, held),
        None => Ok(()),
    }
}

/// [`begin_leaf_or_tree`] from where the destructor has agreed, and has taken the chunk `there`. Below its parent again,
/// it is met again, or given to somebody else, whatever its refusal. What others are busy with there stays.
#[cold]
fn begin_again(
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

/// Why a chunk is not freed whose destructor has run.
pub(super) enum Unless {
    /// It said no.
    Vetoed,
    /// It said no, and the chunk is in another domain now, where it is not to be looked at.
    Gone,
}

/// Runs the destructor of `chunk`, if it has one, outside of `held`. The chunk is of that domain, or of none.
///
/// When it agrees, and has taken the chunk to another domain, that has been entered, too, and is returned.
#[inline(always)]
pub(super) fn run_destructor(
    chunk: Chunk,
    side: SideRef,
    root: Option<&Root>,
    held: Option<Shared>,
) -> Result<Option<Gained>, Unless> {
    let Some(destructor) = side.destructor.take() else { return Ok(None) };
    let home = domain::of(chunk);
    side.running.set(Running::Yes);
    if let Some(root) = root {
        root.list();
    }
    if let Some(held) = held {
        held.pause();
    }
    // SAFETY: set for this chunk, whose payload is intact; the tree is valid, whatever it does to it.
    let verdict = unsafe { destructor(chunk.ptr()) };
    let away =
        if held.is_some() || domain::peek(chunk).is_some() { come_back(held, home, chunk) } else { None };
    let replaced = side.running.replace(Running::No) == Running::Replaced;
    if verdict == -1 {
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
    unsafe { finalizer(NonNull::new_unchecked(chunk.ptr())) };
    let away = come_back(held, home, chunk);
    side.running.set(Running::No);
    if away.is_some() && !reparent::take_out(chunk) {
        return Err(Refusal::GONE);
    }
    Ok(())
}

/// The side record of a chunk that has one and nothing else to act on: no references, no children, no
/// finalizer.
#[inline(always)]
pub(super) fn leaf_with_side(chunk: Chunk) -> Option<SideRef> {
    let side = chunk.side()?;
    let leaf = chunk.has_only(SIDE) && chunk.child.is_none();
    (leaf && side.references.get().is_none() && side.finalizer.get().is_none()).then_some(side)
}

/// Frees all below `top`, which is marked as dying, but not `top` itself. That is the `root` of a free; or,
/// without one, a child of a chunk whose children are being freed: nobody can free or move that chunk
/// meanwhile, so there is nothing to watch over.
pub(super) fn drain(
    top: Chunk,
    location: *const c_char,
    root: Option<&Root>,
    held: Option<Shared>,
) -> Result<(), FreeError> {
    let mut inner = Inner::default();
    let mut at = top;
    loop {
        free_leaves(at, location, ptr::null(), inner.or(held)).map_err(FreeError::Corrupt)?;
        match at.child.get() {
            Some(child) => {
                inner.come_to(child, held);
                if descend(child, at, location, root, inner.or(held)) {
                    at = child;
                } else {
                    inner.leave(child);
                }
            }
            None if at == top => return Ok(()),
            None => {
                let up = at.next.get();
                bury(at, location);
                inner.leave(at);
                // Every dying chunk below the top has its way back.
                at = up.unwrap_or(top);
            }
        }
    }
}

/// The shared context in which a free is that began outside of all. It lies in no other.
#[derive(Default)]
pub(super) struct Inner(Option<(Chunk, Shared)>);

impl Inner {
    pub(super) fn or(&self, held: Option<Shared>) -> Option<Shared> {
        self.0.map_or(held, |(_, shared)| Some(shared))
    }

    /// Enters the shared context `child`, if it is one, and the free is outside of all.
    #[inline(always)]
    pub(super) fn come_to(&mut self, child: Chunk, held: Option<Shared>) {
        if self.or(held).is_none() {
            self.0 = domain::peek(child).filter(|&shared| enter_surely(shared)).map(|shared| (child, shared));
        }
    }

    /// Leaves the shared context `chunk`, if it is that.
    #[inline(always)]
    pub(super) fn leave(&mut self, chunk: Chunk) {
        if let Some((_, shared)) = self.0.take_if(|(context, _)| *context == chunk) {
            shared.leave();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some((_, shared)) = self.0 {
            shared.leave();
        }
    }
}

/// Frees the leading children of `at` that have nothing to act on, up to one with the payload `but`, and verifies the
/// first one after them. In a shared context, others are let in now and then.
#[inline(always)]
pub(super) fn free_leaves(
    at: Chunk,
    location: *const c_char,
    but: *const c_void,
    held: Option<Shared>,
) -> Result<(), Fault> {
    match held {
        None => free_simple_leaves(at, location, but, usize::MAX),
        Some(held) => {
            let_others_in(held);
            free_simple_leaves(at, location, but, LEAVES_IN_ONE_GO)
        }
    }
}

/// How many leaves of a shared context are freed before others are let in: some ten microseconds.
const LEAVES_IN_ONE_GO: usize = 1000;

/// [`free_leaves`], at most `most` of them, if they are shared. No foreign code runs, so the list is mended once, at the end.
#[inline(always)]
fn free_simple_leaves(
    at: Chunk,
    location: *const c_char,
    but: *const c_void,
    most: usize,
) -> Result<(), Fault> {
    if process::mode() != 0 {
        return free_leaves_in_mode(at, location, but, most);
    }
    let mut next = at.child.get();
    let mut verified = Ok(());
    let mut leaves = Leaves::new(location);
    let mut others = 0_usize;
    while let Some(child) = next {
        if child.ptr().cast_const() == but {
            break;
        }
        let sight = leaves.sight(child);
        if let Some(leaf) = sight.and_then(Sight::plain)
            && leaf.chunk().child.is_none()
        {
            next = leaf.chunk().next.get();
            leaves.release(leaf);
            continue;
        }
        if sight.is_some_and(Sight::is_no_leaf) {
            break;
        }
        seldom();
        // Among the others are all that threads share.
        if others >= most {
            break;
        }
        others += 1;
        let after = match sight.map_or(Look::Unknown, Sight::look) {
            Look::Member(suspect) => leaves.release_member(suspect),
            _ => leaves.release_other(child),
        };
        match after {
            Some(after) => next = after,
            None => {
                verified = child.verify();
                break;
            }
        }
    }
    at.child.set(next);
    if let Some(next) = next
        && verified.is_ok()
    {
        next.prev.set(None);
    }
    verified
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

/// Begins the free of `child`, of the dying `parent`. Says whether its children come next; if not,
/// it is gone, or has refused and been given to somebody else.
pub(super) fn descend(
    child: Chunk,
    parent: Chunk,
    location: *const c_char,
    root: Option<&Root>,
    held: Option<Shared>,
) -> bool {
    if !child.is_simple() {
        if let Err(refusal) = begin_leaf_or_tree(child, parent, location, root, held) {
            let to = match refusal.heir {
                Heir::Owner(owner) => Some(owner),
                Heir::Nobody => None,
                Heir::Grandparent => parent.parent(),
                Heir::Unchanged => return false,
            };
            if child.parent() == Some(parent) {
                reparent::relink_survivor(child, to.or_else(roots::null_context));
            }
            return false;
        }
        if let Some(side) = leaf_with_side(child)
            && child.parent() == Some(parent)
        {
            links::detach(child);
            store::release_with_side(child, side, location);
            return false;
        }
        if child.has_only(REFERENCE) && child.child.is_none() {
            links::detach(child);
            store::release(child, location);
            return false;
        }
        if store::is_regular_pool(child) {
            links::detach(child);
            leave(child);
            store::release_pool(child, location);
            return false;
        }
    }
    if child.parent() == Some(parent) {
        links::detach(child);
    } else {
        // It moved itself, and dies all the same. Nothing watches over where it went, so it leaves that
        // place, and what refuses to die with it has no parent.
        reparent::relink(child, None);
    }
    child.set_leaving();
    // In no list, it has no sibling: this is the way back.
    child.next.set(Some(parent));
    true
}

/// Gives back the memory of a chunk without children that is out of the tree.
pub(super) fn bury(chunk: Chunk, location: *const c_char) {
    leave(chunk);
    store::release(chunk, location);
}

/// Tells frees in progress, and the process, that `chunk` goes.
pub(super) fn leave(chunk: Chunk) {
    if chunk.has(ANCHOR | GUARDED) {
        leave_marked(chunk);
    }
}

#[inline(never)]
fn leave_marked(chunk: Chunk) {
    let shared = domain::of(chunk);
    if chunk.has(ANCHOR) || shared.is_none() {
        dying::replace_anchor(chunk, chunk.parent());
    }
    match shared {
        Some(shared) if domain::is_root(chunk) => shared.abandon(),
        Some(_) => {}
        None if chunk.has(GUARDED) => roots::forget_null_context(chunk),
        None => {}
    }
}

/// Frees the reference `handle`; its target stays. The domains of both have been entered.
pub(super) fn drop_reference(handle: Chunk, location: *const c_char) {
    refs::unhook(handle);
    links::detach(handle);
    bury(handle, location);
}
