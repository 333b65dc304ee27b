//! The links of the tree: a doubly linked list of children, newest first, in which every child knows
//! its parent.
//!
//! Invariants: `parent.child` is the child whose `prev` is `None`; `c.next.prev` is `c`; all in one
//! list have the same parent.
//!
//! A chunk on its way out is in no list. Its `parent` word says what its parent was, `prev` leads to itself
//! as the sign of it, and `next` is the free's: the way back up, or the next root (`ops::dying`).
//!
//! The list of the null context is used by all threads, under one lock. Of other [`GUARDED`] parents, the calling thread
//! has entered the domain.

use core::sync::atomic::Ordering::Acquire;

use super::chunk::{Chunk, GUARDED};
use super::domain;
use crate::mem::lock::Held;
use crate::process::{NULL_CONTEXT, NULL_LIST};

/// Holds the guard if the list of `parent` needs it.
#[inline(always)]
pub(crate) fn guard_for(parent: Chunk) -> Option<Held<'static>> {
    if domain::is_null_context(parent) { Some(NULL_LIST.hold()) } else { None }
}

/// Makes the detached `child` the newest child of `parent`.
#[inline(always)]
pub(crate) fn attach(child: Chunk, parent: Chunk) {
    if parent.above_has(GUARDED) {
        return attach_guarded(child, parent);
    }
    attach_unguarded(child, parent);
}

/// While this thread waited for the guard, another may have ended the tracking: then there is no list.
#[inline(never)]
fn attach_guarded(child: Chunk, parent: Chunk) {
    if !domain::is_null_context(parent) {
        return attach_unguarded(child, parent);
    }
    let _held = NULL_LIST.hold();
    if NULL_CONTEXT.load(Acquire) == parent.ptr() {
        attach_unguarded(child, parent);
    } else {
        child.parent.set(None);
    }
}

/// [`attach`] for a parent whose list is not guarded, or whose guard is held.
#[inline(always)]
pub(crate) fn attach_unguarded(child: Chunk, parent: Chunk) {
    let first = parent.child.get();
    child.parent.set(Some(parent));
    child.prev.set(None);
    child.next.set(first);
    if let Some(first) = first {
        first.prev.set(Some(child));
    }
    parent.child.set(Some(child));
}

/// Takes `child` out of its parent's list.
#[inline(always)]
pub(crate) fn detach(child: Chunk) {
    if let Some(parent) = child.parent.get() {
        if parent.above_has(GUARDED) {
            return detach_guarded(child, parent);
        }
        detach_unguarded(child, parent);
    }
}

#[inline(never)]
fn detach_guarded(child: Chunk, parent: Chunk) {
    if !domain::is_null_context(parent) {
        return detach_unguarded(child, parent);
    }
    let _held = NULL_LIST.hold();
    // Looked up again: while this thread waited, another may have dissolved the list.
    if let Some(parent) = child.parent.get() {
        detach_unguarded(child, parent);
    }
}

/// [`detach`] from a parent whose list is not guarded, or whose guard is held.
#[inline(always)]
pub(crate) fn detach_unguarded(child: Chunk, parent: Chunk) {
    bridge(child, parent);
    child.prev.set(None);
    child.next.set(None);
}

/// Makes the neighbours of `child` in the list of `parent` each other's. Its own links stay.
#[inline(always)]
pub(crate) fn bridge(child: Chunk, parent: Chunk) {
    let (prev, next) = (child.prev.get(), child.next.get());
    match (prev, next) {
        (None, None) => parent.child.set(None),
        (None, Some(next)) => {
            parent.child.set(Some(next));
            next.prev.set(None);
        }
        (Some(prev), None) => prev.next.set(None),
        (Some(prev), Some(next)) => {
            prev.next.set(Some(next));
            next.prev.set(Some(prev));
        }
    }
}

/// The header of `from` has been copied to `to`: makes the neighbours, the parent and the children
/// say so. If the parent's list is guarded, the guard has been held since before the copy.
pub(crate) fn relocate(from: Chunk, to: Chunk) {
    if let Some(parent) = to.parent.get() {
        match to.prev.get() {
            Some(prev) => prev.next.set(Some(to)),
            None if parent.child.get() == Some(from) => parent.child.set(Some(to)),
            None => {}
        }
        if let Some(next) = to.next.get() {
            next.prev.set(Some(to));
        }
    }
    for child in to.children() {
        child.parent.set(Some(to));
    }
}
