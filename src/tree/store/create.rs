//! Bytes for a chunk, wherever they come from: the pool that serves its parent, a heap, or malloc. What is made here is
//! not in the tree yet.

use core::ptr;

use super::{heap_for, heap_near, release, take, take_malloc};
use crate::mem::heap::HeapRef;
use crate::mem::segment::{GROWS_ALONE, GROWS_AS_GUEST};
use crate::mem::shared::Shared;
use crate::mem::threads;
use crate::process::{self, MODE_MALLOC};
use crate::tree::chunk::{Chunk, HEADER, MEMBER, POOL};
use crate::tree::domain;
use crate::tree::pool::{Growth, Origin, PoolRef, bare};

/// A chunk for a child of `parent`, wherever it comes from; not in the tree yet, and not charged to any
/// limit. The parent is not shared.
pub(crate) fn chunk(parent: Option<Chunk>, size: usize) -> Option<Chunk> {
    if process::mode() & MODE_MALLOC != 0 {
        return malloc_chunk(size);
    }
    if let Some(member) = member_for(parent, None, size) {
        return Some(member);
    }
    let heap = parent.map_or_else(threads::current, heap_near)?;
    let (at, tag) = take(heap, HEADER + size)?;
    // SAFETY: a slot or block of at least this size, taken just now.
    Some(unsafe { Chunk::create(at, tag, size) })
}

/// [`chunk`] for a child of `parent` of the domain `shared`.
#[inline(never)]
pub(crate) fn shared_chunk(parent: Chunk, shared: Shared, size: usize) -> Option<Chunk> {
    let chunk = if process::mode() & MODE_MALLOC != 0 {
        malloc_chunk(size)?
    } else if let Some(member) = member_for(Some(parent), Some(shared), size) {
        member
    } else {
        let (at, tag) = take(shared.heap(), HEADER + size)?;
        // SAFETY: a slot or block of at least this size, taken just now.
        unsafe { Chunk::create(at, tag, size) }
    };
    enrolled(chunk, Some(shared))
}

/// A member for a child of `parent`, of the pool that serves it. If there is no room, the pool learns that what lies
/// below it is not all its own.
#[inline]
fn member_for(parent: Option<Chunk>, shared: Option<Shared>, size: usize) -> Option<Chunk> {
    let pool = Origin::serving(parent?)?;
    let member = pool.member(size, shared);
    if member.is_none() {
        pool.set_irregular();
    }
    member
}

/// The fresh `chunk`, once it belongs to `shared`.
#[inline]
fn enrolled(chunk: Chunk, shared: Option<Shared>) -> Option<Chunk> {
    if let Some(shared) = shared
        && domain::enroll(chunk, shared).is_err()
    {
        release(chunk, ptr::null());
        return None;
    }
    Some(chunk)
}

/// The chunk that is to be a shared context, in its own heap.
pub(crate) fn shared_context(shared: Shared) -> Option<Chunk> {
    if process::mode() & MODE_MALLOC != 0 {
        return malloc_chunk(0);
    }
    let (at, tag) = take(shared.heap(), HEADER)?;
    // SAFETY: a slot of this size, taken just now.
    Some(unsafe { Chunk::create(at, tag, 0) })
}

/// A chunk of `size` bytes to take the place of `chunk`: from the same pool, if that is where it is
/// and there is room. What has grown will grow again: it gets a larger slot than it needs, or address
/// space to grow into.
pub(crate) fn successor(chunk: Chunk, size: usize) -> Option<Chunk> {
    let shared = domain::of(chunk);
    if shared.is_some() {
        return shared_successor(chunk, shared, size);
    }
    if chunk.has(MEMBER)
        && let Some(member) = Origin::of_member(chunk).member(size, None)
    {
        return Some(member);
    }
    if size < chunk.size() || process::mode() & MODE_MALLOC != 0 {
        return self::chunk(chunk.parent(), size);
    }
    if let Some(member) = member_for(chunk.parent(), None, size) {
        return Some(member);
    }
    growing(heap_near(chunk)?, size)
}

/// [`successor`] in the domain `shared`.
#[cold]
fn shared_successor(chunk: Chunk, shared: Option<Shared>, size: usize) -> Option<Chunk> {
    if chunk.has(MEMBER)
        && let Some(member) = Origin::of_member(chunk).member(size, shared)
    {
        return enrolled(member, shared);
    }
    if size < chunk.size() || process::mode() & MODE_MALLOC != 0 {
        return shared_chunk(chunk.parent()?, shared?, size);
    }
    let grown = match member_for(chunk.parent(), shared, size) {
        Some(member) => member,
        None => growing(shared?.heap(), size)?,
    };
    enrolled(grown, shared)
}

/// A chunk that has grown to `size` bytes, from `heap`.
#[inline(always)]
fn growing(heap: HeapRef, size: usize) -> Option<Chunk> {
    let bytes = HEADER + size;
    let (at, tag) = if bytes > GROWS_ALONE {
        heap.take_growing(bytes).or_else(|| heap.take_large(bytes))?
    } else {
        let as_guest = if bytes > GROWS_AS_GUEST { heap.take_as_guest(bytes) } else { None };
        as_guest.or_else(|| take(heap, (bytes * 2).min(GROWS_ALONE)))?
    };
    // SAFETY: a slot or block of at least this size, taken just now.
    Some(unsafe { Chunk::create(at, tag, size) })
}

/// A pool's chunk, of the domain `shared`: see [`PoolRef::create`].
pub(crate) fn pool_chunk(
    parent: Option<Chunk>,
    shared: Option<Shared>,
    size: usize,
    room: usize,
    growth: Growth,
) -> Option<Chunk> {
    if process::mode() & MODE_MALLOC != 0 {
        return enrolled(malloc_pool(size)?, shared);
    }
    if let Some(pool) = parent.and_then(Origin::serving) {
        pool.set_irregular();
    }
    enrolled(PoolRef::create(heap_for(shared, parent)?, size, room, shared, growth)?, shared)
}

fn malloc_chunk(size: usize) -> Option<Chunk> {
    process::setup();
    let at = take_malloc(HEADER + size)?;
    // SAFETY: malloc's blocks are aligned to 16 bytes; this one is large enough and nobody else's.
    Some(unsafe { Chunk::create(at, process::lasting_tag(), size) })
}

/// A pool's chunk, of which no more than the flag and the list of its bare bytes says so.
fn malloc_pool(size: usize) -> Option<Chunk> {
    process::setup();
    let at = take_malloc(bare::FRONT + HEADER + size)?;
    // SAFETY: as in `malloc_chunk`; the front keeps the alignment.
    unsafe {
        bare::create_front(at);
        Some(Chunk::create(at.add(bare::FRONT), process::lasting_tag() | POOL, size))
    }
}
