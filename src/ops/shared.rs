//! Shared contexts: what lies below one may be used by any thread at any time, through [`enter`](super::enter).
//!
//! The short ways touch the shared heap alone, and mark no change: a signal handler that would come into one finds that its
//! thread is in the shared context already.

use core::ffi::{c_char, c_void};

use super::alloc::{counting, make_chunk, make_pool};
use super::entry::enter_quick;
use super::{MAX_SIZE, roots};
use crate::error::AllocError;
use crate::mem::here::Change;
use crate::mem::shared::Shared;
use crate::process;
use crate::tree::chunk::SIDE;
use crate::tree::pool::{Growth, Origin};
use crate::tree::{Chunk, domain, links, store};

/// A shared context named `name`, with a lock of its own. Below another shared context it is an ordinary context of that
/// one.
///
/// Its place among the children of `parent` belongs to the tree of the parent: to move or to free the shared context takes
/// the right to that, too.
///
/// # Errors
/// [`AllocError::OutOfMemory`]; nothing has changed then.
///
/// # Safety
/// See the [module](super); as for [`Chunk::set_name`].
pub unsafe fn shared_context(parent: Option<Chunk>, name: *const c_char) -> Result<Chunk, AllocError> {
    let _change = Change::begin();
    if parent.and_then(domain::of).is_some() {
        let context = make_chunk(parent, 0)?;
        context.set_name(name);
        return Ok(context);
    }
    create(parent, name, store::shared_context)
}

/// A [`shared_context`] that is a pool with room for `size` bytes of descendants, their headers included.
///
/// # Errors
/// As for [`shared_context`], and [`AllocError::TooLarge`].
///
/// # Safety
/// See the [module](super).
pub unsafe fn shared_pool(parent: Option<Chunk>, size: usize) -> Result<Chunk, AllocError> {
    if size >= MAX_SIZE {
        return Err(AllocError::TooLarge);
    }
    let _change = Change::begin();
    if parent.and_then(domain::of).is_some() {
        return make_pool(parent, 0, size, Growth::overflow(size));
    }
    create(parent, core::ptr::null(), |shared| {
        store::pool_chunk(None, Some(shared), 0, size, Growth::overflow(size))
    })
    .map(counting)
}

/// A chunk named `name` below the one at `payload`, only if that belongs to a shared context and it goes the short way.
/// `None` says nothing.
///
/// # Safety
/// As for [`enter`](super::enter); as for [`Chunk::set_name`].
#[inline]
pub(super) unsafe fn alloc_quick(payload: *const c_void, size: usize, name: *const c_char) -> Option<Chunk> {
    if !store::goes_quickly(size) {
        return None;
    }
    // SAFETY: the caller's.
    let (inside, parent) = unsafe { enter_quick(payload, SIDE) }?;
    store::shared_child(inside.0, parent, size, name)
}

/// Frees the chunk at `payload`, only if it belongs to a shared context and it goes the short way. If it does not,
/// nothing has happened.
///
/// # Safety
/// As for [`enter`](super::enter).
#[inline]
pub(super) unsafe fn free_quick(payload: *const c_void, location: *const c_char) -> bool {
    // SAFETY: the caller's.
    match unsafe { enter_quick(payload, 0) } {
        Some((_inside, chunk)) => store::release_shared_leaf(chunk, location),
        None => false,
    }
}

/// Whether `chunk` belongs to a shared context, or is one.
///
/// # Safety
/// See the [module](super).
pub unsafe fn is_shared(chunk: Chunk) -> bool {
    domain::guess(chunk).is_some()
}

fn create(
    parent: Option<Chunk>,
    name: *const c_char,
    make: impl FnOnce(Shared) -> Option<Chunk>,
) -> Result<Chunk, AllocError> {
    process::setup();
    let parent = parent.or_else(roots::null_context);
    let shared = Shared::create().ok_or(AllocError::OutOfMemory)?;
    let made = make(shared).and_then(|chunk| {
        if domain::enroll_root(chunk, shared).is_err() {
            store::release(chunk, core::ptr::null());
            return None;
        }
        chunk.set_name(name);
        Some(chunk)
    });
    match (made, parent) {
        (Some(context), Some(parent)) => {
            if let Some(pool) = Origin::serving(parent) {
                pool.set_irregular();
            }
            links::attach(context, parent);
        }
        (Some(_), None) => {}
        (None, _) => shared.abandon(),
    }
    shared.leave();
    made.ok_or(AllocError::OutOfMemory)
}
