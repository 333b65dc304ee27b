//! Where chunks get their bytes: the one crossing from the tree to the memory below.
//!
//! A chunk comes from the pool that serves its parent, or from the heap of the calling thread, or,
//! with the malloc backend, from the C library's malloc.

mod create;
mod quick;
mod release;
mod resize;

pub(crate) use create::{chunk, pool_chunk, shared_chunk, shared_context, successor};
pub use quick::Quick;
pub(crate) use quick::{
    extend, goes_quickly, larger_child, member_child, pool_child, quick_child, quick_release,
    quick_release_member, quick_root, ready_child, ready_pool_child, ready_release, release_plain_member,
    release_shared_leaf, shared_child, unready_child,
};
pub(crate) use release::{
    Leaves, UntilLook, discard, drop_bare, forget_members, is_regular_pool, release, release_leaf_in_mode,
    release_plain_pool, release_pool, release_with_side,
};
pub(crate) use resize::{
    can_move_pages, capacity, has_slices_beyond, is_wasted_on, is_zeroed, move_pages, resize_in_place, slide,
    take_identity,
};

use core::ffi::c_void;
use core::ptr::NonNull;

use super::chunk::{Chunk, GUARDED};
pub(crate) use super::pool::Fate;
use super::pool::PoolRef;
use crate::mem::give;
use crate::mem::heap::{self, HeapRef};
use crate::mem::segment;
use crate::mem::shared::Shared;
use crate::mem::size::{self, SLOT_MAX};
use crate::mem::span::SpanRef;
use crate::mem::threads;
use crate::process::{self, MODE_MALLOC};

/// The heap that `chunk` lies in, whoever owns it.
#[inline(always)]
pub(super) fn heap_of(chunk: Chunk) -> HeapRef {
    // SAFETY: but for the malloc backend, which never comes here, chunks lie in spans.
    HeapRef::of_span(unsafe { SpanRef::slice_of(chunk.address().addr().get()) })
}

/// The shared heap that `chunk` lies in, if it does.
pub(super) fn shared_heap_of(chunk: Chunk) -> Option<Shared> {
    if segment::covers(chunk.address().addr().get()) { Shared::of(heap_of(chunk)) } else { None }
}

/// Whether `chunk` lies in the heap of `shared`.
pub(super) fn lies_in(chunk: Chunk, shared: Shared) -> bool {
    segment::covers(chunk.address().addr().get()) && heap_of(chunk) == shared.heap()
}

/// The calling thread's heap, which is most likely that of `chunk`.
pub(crate) fn own_heap(chunk: Chunk) -> Option<HeapRef> {
    if process::mode() & MODE_MALLOC != 0 {
        return threads::current();
    }
    heap_near(chunk)
}

/// [`own_heap`], without the malloc backend. The chunk may be a pool's that its own thread is just freeing, while members of it
/// live on elsewhere.
#[inline(always)]
fn heap_near(chunk: Chunk) -> Option<HeapRef> {
    if chunk.peek_flags() & GUARDED == 0 {
        return threads::current();
    }
    let heap = heap_of(chunk);
    if heap.is_mine() { Some(heap) } else { threads::current() }
}

/// A slot or block of at least `bytes` from the calling thread's `heap`, and the tag of its span.
fn take(heap: HeapRef, bytes: usize) -> Option<(NonNull<u8>, u32)> {
    if bytes <= SLOT_MAX { heap.take(size::class_of(bytes)) } else { heap.take_large(bytes) }
}

/// Memory for a block of a pool.
pub(super) struct Room {
    pub(super) at: NonNull<u8>,
    /// The tag of its span.
    pub(super) span_tag: u32,
    /// The tag of what lies in it: that of the span, if that has nothing else in it; else one that is no span's.
    pub(super) tag: u32,
}

/// The least that a block of its own slice is worth: half a page, which it uses at least.
const LONE_MIN: usize = 2 << 10;

/// Memory of at least `bytes` for a block of a pool from the calling thread's `heap`. It begins where a slot or its span does,
/// so that members lead to it. If many of them are `expected`, it gets a slice of its own, as long as there are few such.
#[inline]
pub(super) fn take_block(heap: HeapRef, bytes: usize, expected: bool) -> Option<Room> {
    if bytes > SLOT_MAX {
        let (at, tag) = heap.take_single(bytes)?;
        return Some(Room { at, span_tag: tag, tag });
    }
    if expected
        && bytes >= LONE_MIN
        && let Some((at, tag)) = heap.take_lone(bytes)
    {
        return Some(Room { at, span_tag: tag, tag });
    }
    let (at, tag) = heap.take(size::class_of(bytes))?;
    Some(Room { at, span_tag: tag, tag: heap.new_tag() })
}

/// Gives back what [`take_block`] gave.
///
/// # Safety
/// Nobody uses it any more.
#[inline]
pub(super) unsafe fn give_block(at: NonNull<u8>) {
    // SAFETY: the caller's; blocks lie in spans, and one in a slice of its own is none of two slices.
    unsafe {
        let span = SpanRef::of(at.addr().get());
        if span.is_single() && span.room() <= SLOT_MAX {
            give::give_lone(at)
        } else {
            give::give_to(span, at)
        }
    }
}

/// Memory for a record of `bytes`, at most a small slot's, about `chunk`.
#[inline]
pub(super) fn take_record(chunk: Chunk, bytes: usize) -> Option<NonNull<u8>> {
    if process::mode() & MODE_MALLOC != 0 {
        return take_malloc(bytes);
    }
    Some(heap_near(chunk)?.take(size::class_of(bytes))?.0)
}

fn take_malloc(bytes: usize) -> Option<NonNull<u8>> {
    // SAFETY: any size may be asked for.
    NonNull::new(unsafe { libc::malloc(bytes) }.cast())
}

/// Memory of `bytes`, however many, for a record of a pool of the domain `shared`.
pub(super) fn take_raw(bytes: usize, shared: Option<Shared>) -> Option<NonNull<u8>> {
    if process::mode() & MODE_MALLOC != 0 {
        return take_malloc(bytes);
    }
    Some(take(heap_for(shared, None)?, bytes)?.0)
}

/// Gives back what [`take_record`], [`take_raw`] or [`take`] gave.
///
/// # Safety
/// Nobody uses it any more.
pub(super) unsafe fn give_raw(at: NonNull<u8>) {
    if process::mode() & MODE_MALLOC != 0 {
        // SAFETY: with this backend it came from malloc.
        unsafe { libc::free(at.as_ptr().cast::<c_void>()) };
    } else {
        // SAFETY: the caller's.
        unsafe { give::give(at) };
    }
}

/// The heap that memory of the domain `shared` comes from; in none, that is the calling thread's, and most likely that of
/// `near`.
#[inline]
pub(super) fn heap_for(shared: Option<Shared>, near: Option<Chunk>) -> Option<HeapRef> {
    match (shared, near) {
        (Some(shared), _) => Some(shared.heap()),
        (None, Some(near)) => heap_near(near),
        (None, None) => threads::current(),
    }
}

/// Bytes that what [`take_block`] gave has.
///
/// # Safety
/// It was not given back.
pub(super) unsafe fn bytes_of(at: NonNull<u8>) -> usize {
    // SAFETY: the caller's.
    unsafe { heap::bytes_of(at) }
}

/// Visits the chunks that are alive in `span`, in pools too.
///
/// # Safety
/// Nobody changes the span meanwhile.
pub(crate) unsafe fn for_each_chunk(span: SpanRef, visit: &mut dyn FnMut(Chunk)) {
    for start in span.slots() {
        // SAFETY: slots that have been handed out start with a chunk's tag, a block's mark, a record's
        // 0, or what a free left there.
        unsafe {
            if let Some(chunk) = Chunk::at_slot(start, span.tag()) {
                visit(chunk);
            } else if let Some(pool) = PoolRef::starting_at(start, span.tag()) {
                pool.for_each_chunk(visit);
            }
        }
    }
}
