//! The free of a tree, in constant stack.
//!
//! The order is the contract's: a chunk's destructor, out of its parent's list, its children by the
//! same rule, its memory. A chunk on the way out still says what its parent was: that is where a child
//! goes that refuses to die.

use core::ffi::c_char;
use core::ptr;

use super::begin::{Refusal, after_destructor, begin, begin_again, begin_from_there, call_destructor};
use super::dying::{self, Root};
use super::entry::{Gained, enter_surely};
use super::leaves::{Stop, free_leaves, free_leaves_with_destructors, may_have_destructor, side_of_plain};
use super::{reparent, roots};
use crate::error::FreeError;
use crate::hint::seldom;
use crate::mem::here;
use crate::mem::shared::Shared;
use crate::tree::chunk::{ANCHOR, GUARDED, REFERENCE};
use crate::tree::side::SideRef;
use crate::tree::{Chunk, domain, links, refs, store};

/// Frees all below `chunk`, which has left its parent's list. The calling thread is in `held` and in nothing else.
#[inline(never)]
pub(super) fn drain_root(
    chunk: Chunk,
    location: *const c_char,
    held: Option<Shared>,
) -> Result<(), FreeError> {
    if let Some(held) = held {
        return drain_shared_root(chunk, location, held);
    }
    let at = free_root_leaves(chunk, location)?;
    if at == chunk && chunk.child.is_none() {
        return Ok(());
    }
    drain_root_from(chunk, at, location)
}

/// Frees what lies below `chunk`, which has left its parent's list, and which nobody shares, as far as [`free_leaves`] does. Most
/// often that is all: no foreign code runs, and nothing need be watched over.
#[inline(always)]
pub(super) fn free_root_leaves(chunk: Chunk, location: *const c_char) -> Result<Chunk, FreeError> {
    free_leaves(chunk, chunk, location, ptr::null(), None).map_err(|fault| {
        // It has left its parent's list, for whoever comes again.
        chunk.set_leaving();
        FreeError::Corrupt(fault)
    })
}

/// The rest of [`drain_root`], from where [`free_root_leaves`] has stopped.
pub(super) fn drain_root_from(chunk: Chunk, from: Chunk, location: *const c_char) -> Result<(), FreeError> {
    let root = Root::new(chunk);
    chunk.set_leaving();
    drain(chunk, from, location, Some(&root), None)
}

/// [`drain_root`] in a shared context: other threads are at work in the tree that it comes from.
#[cold]
fn drain_shared_root(chunk: Chunk, location: *const c_char, held: Shared) -> Result<(), FreeError> {
    let root = Root::new(chunk);
    chunk.set_leaving();
    root.list();
    drain_all(chunk, location, Some(&root), Some(held))
}

/// Frees all below `top`, which is marked as dying, but not `top` itself. That is the `root` of a free; or,
/// without one, a child of a chunk whose children are being freed: nobody can free or move that chunk
/// meanwhile, so there is nothing to watch over.
pub(super) fn drain_all(
    top: Chunk,
    location: *const c_char,
    root: Option<&Root>,
    held: Option<Shared>,
) -> Result<(), FreeError> {
    let at = free_leaves(top, top, location, ptr::null(), held).map_err(FreeError::Corrupt)?;
    drain(top, at, location, root, held)
}

/// [`drain_all`] from where [`free_leaves`] has stopped.
pub(super) fn drain(
    top: Chunk,
    from: Chunk,
    location: *const c_char,
    root: Option<&Root>,
    held: Option<Shared>,
) -> Result<(), FreeError> {
    let mut inner = Inner::default();
    let mut at = from;
    loop {
        match at.child.get() {
            Some(child) => {
                inner.come_to(child, held);
                match go_down(child, at, location, false, root, inner.or(held)) {
                    Some(child) => at = child,
                    None => inner.leave(child),
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
        if at.child.is_some() {
            at = free_leaves(at, top, location, ptr::null(), inner.or(held)).map_err(FreeError::Corrupt)?;
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

/// Begins the free of `child`, the first of the dying `parent`, which is no leaf without anything to act on. Gives the chunk
/// whose children come next; or none, when it is gone, with such as are like it (but what holds the name of `parent`, if it
/// `spares_name`), or has refused and been given to somebody else.
#[inline(always)]
pub(super) fn go_down(
    child: Chunk,
    parent: Chunk,
    location: *const c_char,
    spares_name: bool,
    root: Option<&Root>,
    held: Option<Shared>,
) -> Option<Chunk> {
    if held.is_none() && may_have_destructor(child) {
        match here::outside(|| free_leaves_with_destructors(parent, location, spares_name, root)) {
            Stop::First => {}
            Stop::Later => return None,
            Stop::At(child, ran) => {
                let begun = begin_from_there(child, ran, root, held);
                return descend_from_there(child, parent, begun, location, root, held).then_some(child);
            }
        }
    }
    descend(child, parent, location, root, held).then_some(child)
}

/// Takes `child` out of the list of the dying `parent`. Says whether its children come next; if not, it is gone, or lives
/// on elsewhere.
fn descend(
    child: Chunk,
    parent: Chunk,
    location: *const c_char,
    root: Option<&Root>,
    held: Option<Shared>,
) -> bool {
    if child.is_simple() {
        depart(child, parent);
        return true;
    }
    if held.is_none()
        && let Some(side) = side_of_plain(child)
    {
        return descend_with_destructor(child, side, parent, location, root);
    }
    let begun = begin(child, location, root, held);
    descend_from_there(child, parent, begun, location, root, held)
}

/// [`descend`] to what has a side record and, but for children and perhaps a destructor, nothing else to act on.
fn descend_with_destructor(
    child: Chunk,
    side: SideRef,
    parent: Chunk,
    location: *const c_char,
    root: Option<&Root>,
) -> bool {
    if let Some(destructor) = side.destructor.take() {
        let verdict = here::outside(|| call_destructor(child, side, destructor, root, None));
        let ran = after_destructor(child, side, destructor, verdict, None, None);
        if !matches!(ran, Ok(None)) || side_of_plain(child).is_none() {
            seldom();
            let begun = begin_from_there(child, ran, root, None);
            return descend_from_there(child, parent, begun, location, root, None);
        }
    }
    depart(child, parent);
    child.drop_idle_side();
    true
}

/// [`descend`] to what is not simple, from where the first half of its free has `begun`.
fn descend_from_there(
    child: Chunk,
    parent: Chunk,
    begun: Result<Option<Gained>, Refusal>,
    location: *const c_char,
    root: Option<&Root>,
    held: Option<Shared>,
) -> bool {
    let begun = begun.and_then(|away| match away {
        Some(there) => begin_again(child, parent, there, location, root, held),
        None => Ok(()),
    });
    if let Err(refusal) = begun {
        refusal.give_to_heir(child, parent);
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
    depart(child, parent);
    child.drop_idle_side();
    true
}

/// `child` leaves the list of its dying `parent`, to which it leads back from now on.
#[inline(always)]
fn depart(child: Chunk, parent: Chunk) {
    if child.parent() == Some(parent) {
        links::detach(child);
    } else {
        // It moved itself, and dies all the same. Nothing watches over where it went, so it leaves that
        // place, and what refuses to die with it has no parent.
        reparent::relink(child, None);
    }
    set_out(child, parent);
}

/// `child`, which has left the list of its dying `parent`, is on its way out, and leads back there from now on.
#[inline(always)]
pub(super) fn set_out(child: Chunk, parent: Chunk) {
    child.set_leaving();
    // In no list, it has no sibling: this is the way back.
    child.next.set(Some(parent));
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
