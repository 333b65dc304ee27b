//! Allocate: chunks and pools.

use core::ffi::{c_char, c_void};
use core::ptr;

use super::say::{self, Asked};
use super::{roots, shared};
use crate::error::AllocError;
use crate::mem::here::Change;
use crate::mem::shared::Shared;
use crate::process::{self, MODE_MALLOC};
use crate::tree::chunk::{HEADER, LIMITED, MEMBER, SIZE};
use crate::tree::pool::{Growth, Origin, bare};
use crate::tree::sight::{Found, Look, Suspect};
use crate::tree::{Chunk, domain, limit, links, meter, store};

/// Sizes at or above this, in bytes, are refused.
pub const MAX_SIZE: usize = 0x1000_0000;
const _: () = assert!(MAX_SIZE == SIZE as usize + 1);

/// So many chunks at most, of so many bytes together, are served no better by a pool of their own than by the heap.
const FEW: usize = 8;
const LITTLE: usize = 4 << 10;

/// A chunk of `size` bytes, aligned to 16, as the newest child of `parent`; without a parent, below
/// the null context if there is one. It has no name; its contents are undefined.
///
/// # Errors
/// [`AllocError`], but never [`AllocError::Refused`]; nothing has changed then.
///
/// # Safety
/// See the [module](super).
#[inline(always)]
pub unsafe fn alloc(parent: Option<Chunk>, size: usize) -> Result<Chunk, AllocError> {
    if let Some(parent) = parent
        && let Some(chunk) = store::quick_child(parent, size, ptr::null())
    {
        return Ok(chunk);
    }
    alloc_slow(parent, size)
}

#[inline(never)]
fn alloc_slow(parent: Option<Chunk>, size: usize) -> Result<Chunk, AllocError> {
    let _change = Change::begin();
    make_chunk(parent, size)
}

/// [`alloc`] of a chunk named `name`, only if it goes the short way. `None` says nothing.
///
/// # Safety
/// See the [module](super); as for [`Chunk::set_name`].
#[inline(always)]
pub unsafe fn alloc_quick(parent: Chunk, size: usize, name: *const c_char) -> Option<Chunk> {
    store::quick_child(parent, size, name)
}

/// [`alloc_quick`] for a parent that was found just now, only if a slot is at hand.
///
/// # Safety
/// As for [`alloc_quick`].
#[inline(always)]
pub unsafe fn alloc_found(parent: Found, size: usize, name: *const c_char) -> Option<Chunk> {
    store::ready_child(parent, size, name)
}

/// [`alloc_quick`] where [`alloc_found`] has turned the parent down, only if it is a pool, or a member of one, that has room at
/// hand. `None` says nothing.
///
/// # Safety
/// As for [`alloc_quick`].
#[inline(always)]
pub unsafe fn alloc_in_pool(parent: Found, size: usize, name: *const c_char) -> Option<Chunk> {
    store::ready_pool_child(parent, size, name)
}

/// [`alloc_quick`] where [`alloc_found`] and [`alloc_in_pool`] have turned the parent down. `None` says nothing.
///
/// # Safety
/// As for [`alloc_quick`].
#[inline(always)]
pub unsafe fn alloc_unready(parent: Chunk, size: usize, name: *const c_char) -> Option<Chunk> {
    store::unready_child(parent, size, name)
}

/// [`alloc_quick`] below what [`Chunk::look`] has taken for a member of a pool just now. `None` says nothing.
///
/// # Safety
/// As for [`alloc_quick`].
#[inline(always)]
pub unsafe fn alloc_below_member(parent: Suspect, size: usize, name: *const c_char) -> Option<Chunk> {
    store::member_child(parent, size, name)
}

/// [`alloc_quick`] for a parent that [`Chunk::check_quick`] has turned down: it may be a member of a pool, or belong to a
/// shared context. `None` says nothing.
///
/// # Safety
/// As for [`enter`](super::enter); as for [`Chunk::set_name`].
#[inline(always)]
pub unsafe fn alloc_below_other(parent: *const c_void, size: usize, name: *const c_char) -> Option<Chunk> {
    // SAFETY: the caller's.
    unsafe {
        match Chunk::look(parent) {
            Look::Member(suspect) => store::member_child(suspect, size, name),
            Look::Shared => shared::alloc_quick(parent, size, name),
            Look::Plain(..) | Look::Unknown => None,
        }
    }
}

/// [`alloc`] without a parent, of a chunk named `name`, only if it goes the short way. `None` says nothing.
///
/// # Safety
/// As for [`alloc_quick`].
#[inline(always)]
pub unsafe fn alloc_root_quick(size: usize, name: *const c_char) -> Option<Chunk> {
    if roots::is_tracking() {
        return None;
    }
    store::quick_root(size, name)
}

/// [`alloc`] in the middle of a change, the long way.
#[inline]
pub(super) fn make_chunk(parent: Option<Chunk>, size: usize) -> Result<Chunk, AllocError> {
    if size >= MAX_SIZE {
        return refuse(parent, AllocError::TooLarge);
    }
    process::setup();
    if let Some(parent) = parent
        && let Some(shared) = domain::of(parent)
    {
        return alloc_shared(shared, parent, size);
    }
    if let Some(parent) = parent
        && let Some(chunk) =
            store::larger_child(parent, size).or_else(|| store::pool_child(parent, size, ptr::null()))
    {
        return Ok(chunk);
    }
    make(parent, Asked::new(), || store::chunk(parent.or_else(roots::null_context), size))
}

/// [`alloc`] of a small chunk, for which no function of a limit is called: the calling thread is in another domain
/// than the parent's, too.
#[cold]
pub(super) fn alloc_unasked(parent: Option<Chunk>, size: usize) -> Result<Chunk, AllocError> {
    match parent.and_then(domain::of) {
        Some(shared) => make(parent, Asked::nobody(), || store::shared_chunk(parent?, shared, size)),
        None => make(parent, Asked::nobody(), || store::chunk(parent.or_else(roots::null_context), size)),
    }
}

/// [`alloc`] in a domain that has been entered.
#[inline(never)]
fn alloc_shared(shared: Shared, parent: Chunk, size: usize) -> Result<Chunk, AllocError> {
    if let Some(chunk) = store::shared_child(shared, parent, size, ptr::null()) {
        return Ok(chunk);
    }
    make(Some(parent), Asked::new(), || store::shared_chunk(parent, shared, size))
}

/// Puts the chunk that `take` gives into the tree below `parent`, if the limits above allow it; asks
/// those that have a say.
#[inline(always)]
fn make(
    parent: Option<Chunk>,
    mut asked: Asked,
    take: impl Fn() -> Option<Chunk>,
) -> Result<Chunk, AllocError> {
    loop {
        let Some(chunk) = take() else { return refuse(parent, AllocError::OutOfMemory) };
        let Some(parent) = parent.or_else(roots::null_context) else { return Ok(chunk) };
        if parent.above_has(LIMITED)
            && let Err(error) = enter_counted(chunk, parent)
        {
            if asked.may_go_on(parent) {
                continue;
            }
            asked.failed(|| Some(parent), error);
            return Err(error);
        }
        links::attach(chunk, parent);
        return Ok(chunk);
    }
}

/// Counts a fresh chunk on the meters above; gives it back if a limit is in the way.
#[cold]
fn enter_counted(chunk: Chunk, parent: Chunk) -> Result<(), AllocError> {
    if let Err(error) = limit::charge(Some(parent), limit::weight(chunk)) {
        store::release(chunk, ptr::null());
        return Err(error);
    }
    meter::allocated(Some(parent), None, chunk.size(), 1);
    chunk.set_flags(LIMITED);
    Ok(())
}

/// No memory for a child of `parent`: those who count are told.
#[cold]
fn refuse(parent: Option<Chunk>, error: AllocError) -> Result<Chunk, AllocError> {
    say::failed(parent, error);
    Err(error)
}

/// [`alloc`], with the contents set to zero.
///
/// # Errors
/// As for [`alloc`].
///
/// # Safety
/// See the [module](super).
#[inline]
pub unsafe fn alloc_zeroed(parent: Option<Chunk>, size: usize) -> Result<Chunk, AllocError> {
    // SAFETY: the caller's.
    let chunk = unsafe { alloc(parent, size)? };
    if !store::is_zeroed(chunk) {
        // SAFETY: the payload of a chunk made just now.
        unsafe { chunk.ptr().cast::<u8>().write_bytes(0, size) };
    }
    Ok(chunk)
}

/// A pool with room for `size` bytes of descendants, their headers included. Its own size is 0.
///
/// # Errors
/// As for [`alloc`].
///
/// # Safety
/// See the [module](super).
pub unsafe fn pool(parent: Option<Chunk>, size: usize) -> Result<Chunk, AllocError> {
    let _change = Change::begin();
    make_pool(parent, 0, size, Growth::overflow(size))
}

/// A pool that begins with a block of `first` bytes and grows by blocks of twice the size of the one before, up to
/// `max` bytes (at most 3 MiB; 0 is 1 MiB; never less than `first`). What is larger than a quarter of that comes
/// from the heap.
///
/// # Errors
/// As for [`alloc`].
///
/// # Safety
/// See the [module](super).
pub unsafe fn growable_pool(parent: Option<Chunk>, first: usize, max: usize) -> Result<Chunk, AllocError> {
    let _change = Change::begin();
    let pool = make_pool(parent, 0, first, Growth::doubling(first, max))?;
    bare::prepare(pool);
    Ok(pool)
}

/// A chunk of `size` bytes that is also a [growable pool](growable_pool).
///
/// # Errors
/// As for [`alloc`].
///
/// # Safety
/// See the [module](super).
pub unsafe fn growable_object(
    parent: Option<Chunk>,
    size: usize,
    first: usize,
    max: usize,
) -> Result<Chunk, AllocError> {
    let _change = Change::begin();
    make_pool(parent, size, first, Growth::doubling(first, max))
}

/// A chunk of `size` bytes that is also a pool, with room for `subobjects` chunks of
/// `subobjects_size` bytes together, whatever their order and alignment.
///
/// # Errors
/// As for [`alloc`].
///
/// # Safety
/// See the [module](super).
pub unsafe fn pooled_object(
    parent: Option<Chunk>,
    size: usize,
    subobjects: usize,
    subobjects_size: usize,
) -> Result<Chunk, AllocError> {
    let headers = subobjects.checked_mul(HEADER + 15);
    let room =
        headers.and_then(|headers| headers.checked_add(subobjects_size)).ok_or(AllocError::TooLarge)?;
    let _change = Change::begin();
    make_pool(parent, size, room, Growth::overflow(room))
}

/// A chunk of `size` bytes below which `subobjects` chunks of `subobjects_size` bytes together are expected: a [pooled
/// object](pooled_object), or, if these are few and small and count against no limit, a pool in name only, whose
/// children come from the heap.
///
/// # Errors
/// As for [`alloc`].
///
/// # Safety
/// See the [module](super).
pub unsafe fn object_with_room(
    parent: Option<Chunk>,
    size: usize,
    subobjects: usize,
    subobjects_size: usize,
) -> Result<Chunk, AllocError> {
    let is_limited = parent.or_else(roots::null_context).is_some_and(|parent| parent.above_has(LIMITED));
    // SAFETY: the caller's.
    unsafe {
        if is_limited || !is_little_room(subobjects, subobjects_size) {
            return pooled_object(parent, size, subobjects, subobjects_size);
        }
        let object = alloc(parent, size)?;
        if object.has(MEMBER) {
            Origin::of_member(object).make_nominal(object);
        } else {
            object.make_nominal();
        }
        Ok(object)
    }
}

/// [`object_with_room`] named `name`, for a parent that was found just now, only if it goes the short way: as [`alloc_found`]
/// does, which gives no member of a pool, and nothing below a limit. `None` says nothing.
///
/// # Safety
/// As for [`alloc_quick`].
#[inline(always)]
pub unsafe fn object_found(
    parent: Found,
    size: usize,
    subobjects: usize,
    subobjects_size: usize,
    name: *const c_char,
) -> Option<Chunk> {
    if !is_little_room(subobjects, subobjects_size) {
        return None;
    }
    // SAFETY: the caller's.
    let object = unsafe { alloc_found(parent, size, name) }?;
    object.make_nominal();
    Some(object)
}

/// Whether these chunks are so few and small that a pool for them is one in name only.
#[inline(always)]
fn is_little_room(subobjects: usize, subobjects_size: usize) -> bool {
    subobjects <= FEW && subobjects_size <= LITTLE
}

/// A chunk of `size` bytes that is also a pool with a first block of `room` bytes.
pub(super) fn make_pool(
    parent: Option<Chunk>,
    size: usize,
    room: usize,
    growth: Growth,
) -> Result<Chunk, AllocError> {
    if size >= MAX_SIZE || room >= MAX_SIZE || size + room >= MAX_SIZE {
        return refuse(parent, AllocError::TooLarge);
    }
    process::setup();
    let shared = parent.and_then(domain::of);
    let pool = make(parent, Asked::new(), || {
        store::pool_chunk(parent.or_else(roots::null_context), shared, size, room, growth)
    })?;
    Ok(counting(pool))
}

/// The fresh `pool`, which can be asked what it has served. With the malloc backend it has no blocks to keep a tally of, and
/// gets a meter; without memory for that it tells of nothing.
pub(super) fn counting(pool: Chunk) -> Chunk {
    if process::mode() & MODE_MALLOC != 0 {
        let _ = meter::enable_stats(pool);
    }
    pool
}
