//! The free of a tree, in constant stack.
//!
//! The order is the contract's: a chunk's destructor, out of its parent's list, its children by the
//! same rule, its memory. A chunk on the way out still says what its parent was: that is where a child
//! goes that refuses to die.

use core::ffi::{c_char, c_void};
use core::ptr::{self, NonNull};

use super::dying::{self, Root};
use super::{reparent, roots};
use crate::error::{Fault, FreeError};
use crate::tree::chunk::{ANCHOR, DYING, GUARDED, REFERENCE, SIDE};
use crate::tree::side::{Running, SideRef};
use crate::tree::{Chunk, Finalizer, links, refs, store};

/// Lists of up to this many leaves lie in the cache, most likely.
const FEW: usize = 64;

/// Frees all below `chunk`, which has left its parent's list.
pub(super) fn drain_root(chunk: Chunk, location: *const c_char) -> Result<(), FreeError> {
    let root = Root::new(chunk);
    chunk.set_leaving();
    drain(chunk, location, Some(&root))
}

/// A chunk that goes on living.
pub(super) struct Refusal {
    pub(super) error: FreeError,
    heir: Heir,
}

/// Who gets a chunk that goes on living when its parent dies.
enum Heir {
    /// The parent of the dying parent.
    Grandparent,
    /// The owner of the newest reference.
    Owner(Chunk),
    /// Nobody: the newest reference came from below the chunk itself.
    Nobody,
}

impl Refusal {
    const VETO: Refusal = Refusal { error: FreeError::Vetoed, heir: Heir::Grandparent };

    /// For a chunk that the reference `handle` saves, perhaps among others.
    fn saved_by(handle: Chunk, chunk: Chunk) -> Refusal {
        let heir = match handle.parent() {
            None => Heir::Grandparent,
            Some(owner) if owner.has(GUARDED) => Heir::Grandparent,
            Some(owner) if chunk.is_above(owner) => Heir::Nobody,
            Some(owner) => Heir::Owner(owner),
        };
        Refusal { error: FreeError::HasReferences, heir }
    }
}

/// The first half of a free, up to the point of no return: references and the destructor.
pub(super) fn begin(chunk: Chunk, location: *const c_char, root: Option<&Root>) -> Result<(), Refusal> {
    if chunk.has(DYING) {
        return Err(Refusal::VETO);
    }
    if let Some(side) = chunk.side() {
        if side.running.get() != Running::No {
            return Err(Refusal::VETO);
        }
        if let Some(newest) = refs::all(chunk).next() {
            let refusal = Refusal::saved_by(newest, chunk);
            while let Some(handle) = refs::all(chunk).next() {
                let from_below = chunk.is_above(handle);
                drop_reference(handle, location);
                if !from_below {
                    return Err(refusal);
                }
            }
        }
        run_destructor(chunk, side, root).map_err(|_| Refusal::VETO)?;
        if let Some(finalizer) = side.finalizer.take() {
            run_finalizer(chunk, side, root, finalizer);
        }
    }
    if chunk.has(REFERENCE) {
        refs::unhook(chunk);
    }
    Ok(())
}

/// [`begin`], by a shorter way for a leaf with a destructor.
#[inline(always)]
fn begin_leaf_or_tree(chunk: Chunk, location: *const c_char, root: Option<&Root>) -> Result<(), Refusal> {
    match leaf_with_side(chunk) {
        Some(side) if side.running.get() == Running::No => {
            run_destructor(chunk, side, root).map_err(|_| Refusal::VETO)
        }
        _ => begin(chunk, location, root),
    }
}

/// Runs the destructor of `chunk`, if it has one. [`FreeError::Vetoed`] when that refuses.
#[inline(always)]
pub(super) fn run_destructor(chunk: Chunk, side: SideRef, root: Option<&Root>) -> Result<(), FreeError> {
    let Some(destructor) = side.destructor.take() else { return Ok(()) };
    side.running.set(Running::Yes);
    if let Some(root) = root {
        root.list();
    }
    // SAFETY: set for this chunk, whose payload is intact; the tree is valid, whatever it does to it.
    let verdict = unsafe { destructor(chunk.ptr()) };
    let replaced = side.running.replace(Running::No) == Running::Replaced;
    if verdict == -1 {
        if !replaced {
            side.destructor.set(Some(destructor));
        }
        return Err(FreeError::Vetoed);
    }
    Ok(())
}

#[cold]
fn run_finalizer(chunk: Chunk, side: SideRef, root: Option<&Root>, finalizer: Finalizer) {
    side.running.set(Running::Yes);
    if let Some(root) = root {
        root.list();
    }
    // SAFETY: set for this chunk, whose payload is intact and never null.
    unsafe { finalizer(NonNull::new_unchecked(chunk.ptr())) };
    side.running.set(Running::No);
}

/// The side record of a chunk that has one and nothing else to act on: no references, no children, no
/// finalizer.
#[inline(always)]
pub(super) fn leaf_with_side(chunk: Chunk) -> Option<SideRef> {
    let side = chunk.side()?;
    let leaf = chunk.has_only(SIDE) && chunk.child.get().is_none();
    (leaf && side.references.get().is_none() && side.finalizer.get().is_none()).then_some(side)
}

/// Frees all below `top`, which is marked as dying, but not `top` itself. That is the `root` of a free; or,
/// without one, a child of a chunk whose children are being freed: nobody can free or move that chunk
/// meanwhile, so there is nothing to watch over.
pub(super) fn drain(top: Chunk, location: *const c_char, root: Option<&Root>) -> Result<(), FreeError> {
    let mut at = top;
    loop {
        free_simple_leaves(at, location, ptr::null()).map_err(FreeError::Corrupt)?;
        match at.child.get() {
            Some(child) => {
                if descend(child, at, location, root) {
                    at = child;
                }
            }
            None if at == top => return Ok(()),
            None => {
                let up = at.next.get();
                bury(at, location);
                // Every dying chunk below the top has its way back.
                at = up.unwrap_or(top);
            }
        }
    }
}

/// Frees the leading children of `at` that have nothing to act on, up to one with the payload `but`, and
/// verifies the first one after them. No foreign code runs, so the list is mended once, at the end.
#[inline(always)]
pub(super) fn free_simple_leaves(
    at: Chunk,
    location: *const c_char,
    but: *const c_void,
) -> Result<(), Fault> {
    let mut next = at.child.get();
    let mut verified = Ok(());
    let mut freed = 0_usize;
    while let Some(child) = next {
        if child.ptr().cast_const() == but {
            break;
        }
        match store::release_leaf(child, location, freed > FEW) {
            Some(after) => {
                next = after;
                freed += 1;
            }
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

/// Begins the free of `child`, of the dying `parent`. Says whether its children come next; if not,
/// it is gone, or has refused and been given to somebody else.
pub(super) fn descend(child: Chunk, parent: Chunk, location: *const c_char, root: Option<&Root>) -> bool {
    if !child.is_simple() {
        if let Err(refusal) = begin_leaf_or_tree(child, location, root) {
            if child.parent() == Some(parent) {
                let to = match refusal.heir {
                    Heir::Owner(owner) => Some(owner),
                    Heir::Nobody => None,
                    Heir::Grandparent => parent.parent(),
                };
                reparent::relink(child, to.or_else(roots::null_context));
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
        if child.has_only(REFERENCE) && child.child.get().is_none() {
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
        dying::replace_anchor(chunk, chunk.parent());
    }
    if chunk.has(GUARDED) {
        roots::forget_null_context(chunk);
    }
}

/// Frees the reference `handle`; its target stays.
pub(super) fn drop_reference(handle: Chunk, location: *const c_char) {
    refs::unhook(handle);
    links::detach(handle);
    bury(handle, location);
}
