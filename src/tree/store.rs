//! Where chunks get their bytes: the one crossing from the tree to the memory below.
//!
//! A chunk comes from the pool that serves its parent, or from the heap of the calling thread, or,
//! with the malloc backend, from the C library's malloc.

use core::ffi::{c_char, c_void};
use core::ptr::{self, NonNull};

use super::chunk::{Chunk, GUARDED, HEADER, Header, LIMITED, MEMBER, POOL, SIDE, is_plain_parent};
use super::pool::{Growth, PoolRef, bare};
use super::side::SideRef;
use super::{domain, limit, links, meter};
use crate::mem::geometry;
use crate::mem::heap::{self, HeapRef};
use crate::mem::segment::{self, GROWS_ALONE};
use crate::mem::shared::Shared;
use crate::mem::size::{self, SLOT_MAX};
use crate::mem::span::SpanRef;
use crate::mem::threads;
use crate::process::{self, MODE_FILL, MODE_MALLOC};

/// The largest payload of the short way.
const QUICK: usize = size::SMALL_MAX - HEADER;
/// The largest payload of the next shortest way: above it, touching the memory costs more.
const LARGER: usize = (8 << 10) - HEADER;

/// A new child of `parent`, which has `flags`, the short way that most allocations go: no pool, no limit, the parent's
/// heap is the calling thread's, and has a free slot at hand. `None` says nothing.
#[inline(always)]
pub(crate) fn ready_child(parent: Chunk, flags: u32, size: usize, name: *const c_char) -> Option<Chunk> {
    if size > QUICK || !is_plain_parent(flags) || process::mode() & MODE_MALLOC != 0 {
        return None;
    }
    let heap = heap_of(parent);
    if !heap.is_mine() {
        return None;
    }
    let (at, tag) = heap.take_ready(size::class_of(HEADER + size))?;
    // SAFETY: a slot of the class, taken just now.
    Some(unsafe { Chunk::create_child(at, tag, size, parent, name) })
}

/// [`ready_child`], or where there is no free slot at hand; or from the pool that serves `parent`, without a limit.
#[inline(always)]
pub(crate) fn quick_child(parent: Chunk, flags: u32, size: usize, name: *const c_char) -> Option<Chunk> {
    match ready_child(parent, flags, size, name) {
        Some(child) => Some(child),
        None => unready_child_apart(parent, size, name),
    }
}

#[inline(never)]
fn unready_child_apart(parent: Chunk, size: usize, name: *const c_char) -> Option<Chunk> {
    unready_child(parent, size, name)
}

/// [`quick_child`] where [`ready_child`] gives none.
#[inline(always)]
pub(crate) fn unready_child(parent: Chunk, size: usize, name: *const c_char) -> Option<Chunk> {
    if size > QUICK || process::mode() & MODE_MALLOC != 0 {
        return None;
    }
    if !is_plain_parent(parent.flags()) {
        return pool_child(parent, size, name);
    }
    let heap = heap_of(parent);
    if !heap.is_mine() {
        return None;
    }
    let (at, tag) = heap.take(size::class_of(HEADER + size))?;
    // SAFETY: a slot of the class, taken just now.
    Some(unsafe { Chunk::create_child(at, tag, size, parent, name) })
}

/// [`quick_child`] for what is somewhat larger. `None` says nothing.
pub(crate) fn larger_child(parent: Chunk, size: usize) -> Option<Chunk> {
    if size > LARGER || process::mode() & MODE_MALLOC != 0 || !is_plain_parent(parent.flags()) {
        return None;
    }
    let (at, tag) = heap_near(parent)?.take(size::class_of(HEADER + size))?;
    // SAFETY: a slot of the class, taken just now.
    Some(unsafe { Chunk::create_child(at, tag, size, parent, core::ptr::null()) })
}

/// A new chunk without a parent, the short way.
#[inline(always)]
pub(crate) fn quick_root(size: usize, name: *const c_char) -> Option<Chunk> {
    if size > QUICK {
        return None;
    }
    // The first call of all reads the options; they are asked for after that.
    let heap = threads::current()?;
    if process::mode() & MODE_MALLOC != 0 {
        return None;
    }
    let (at, tag) = heap.take(size::class_of(HEADER + size))?;
    // SAFETY: a slot of the class, taken just now.
    let chunk = unsafe { Chunk::create(at, tag, size) };
    chunk.set_name(name);
    Some(chunk)
}

/// A new child of `parent` from the pool that serves it, if one does, without a limit, and has room.
#[inline(always)]
pub(crate) fn pool_child(parent: Chunk, size: usize, name: *const c_char) -> Option<Chunk> {
    if parent.has(LIMITED | GUARDED) {
        return None;
    }
    let (at, tag) = PoolRef::serving(parent)?.cut(size)?;
    // SAFETY: room for a member, taken just now.
    Some(unsafe { Chunk::create_child(at, tag, size, parent, name) })
}

/// A new child of the chunk whose payload is at `payload`, if that is a member of a pool without flags, and its pool
/// has room. `None` says nothing, not even that it is a chunk.
#[inline(never)]
pub(crate) fn member_child(payload: *const c_void, size: usize, name: *const c_char) -> Option<Chunk> {
    let header = NonNull::new(payload.wrapping_byte_sub(HEADER).cast::<Header>().cast_mut())?;
    if size > QUICK || process::mode() != 0 || !segment::covers(header.addr().get()) || !header.is_aligned() {
        return None;
    }
    // SAFETY: as was just seen.
    let (parent, at, tag) = unsafe { PoolRef::cut_below(header, size) }?;
    // SAFETY: room for a member, taken just now.
    Some(unsafe { Chunk::create_child(at, tag, size, parent, name) })
}

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

/// [`own_heap`], without the malloc backend.
#[inline(always)]
fn heap_near(chunk: Chunk) -> Option<HeapRef> {
    let heap = heap_of(chunk);
    if heap.is_mine() { Some(heap) } else { threads::current() }
}

/// Whether a chunk of `size` bytes can go the short way.
#[inline(always)]
pub(crate) fn goes_quickly(size: usize) -> bool {
    size <= QUICK && process::mode() & MODE_MALLOC == 0
}

/// A new child of `parent`, whose `shared` heap the calling thread has entered: the short way, with no pool and no limit.
#[inline]
pub(crate) fn shared_child(shared: Shared, parent: Chunk, size: usize, name: *const c_char) -> Option<Chunk> {
    const SPECIAL: u32 = POOL | MEMBER | LIMITED;
    if !goes_quickly(size) || parent.has(SPECIAL) {
        return None;
    }
    let (at, tag) = shared.heap().take(size::class_of(HEADER + size))?;
    // SAFETY: a slot of the class, taken just now.
    Some(unsafe { Chunk::create_child(at, tag | GUARDED, size, parent, name) })
}

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
    let pool = PoolRef::serving(parent?)?;
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
        && let Some(member) = PoolRef::of_member(chunk).member(size, None)
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
        && let Some(member) = PoolRef::of_member(chunk).member(size, shared)
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
        heap.take_growing(bytes).or_else(|| heap.take_single(bytes))?
    } else {
        take(heap, (bytes * 2).min(GROWS_ALONE))?
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
    if let Some(pool) = parent.and_then(PoolRef::serving) {
        pool.set_irregular();
    }
    enrolled(PoolRef::create(size, room, shared, growth)?, shared)
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

/// Takes `chunk`, which has `flags`, out of the tree and gives its bytes back, if that goes the short way: it is a plain
/// chunk without children, of the calling thread's heap, in a list without a guard.
#[inline(always)]
pub(crate) fn quick_release(chunk: Chunk, flags: u32, location: *const c_char) -> bool {
    if flags != 0 || chunk.child.get().is_some() || process::mode() != 0 {
        return false;
    }
    // SAFETY: a plain chunk lies in a span.
    let span = unsafe { SpanRef::of(chunk.address().addr().get()) };
    if !heap::holds_my_slots(span) {
        return false;
    }
    if let Some(parent) = chunk.parent.get() {
        if parent.has(GUARDED) {
            return false;
        }
        links::bridge(chunk, parent);
    }
    chunk.stamp_freed(location);
    // SAFETY: a chunk that is no member starts at its slot, and it is freed now.
    unsafe { heap::give_mine(span, chunk.address()) };
    true
}

/// [`quick_release`] for a chunk of a shared context, whose domain has been entered.
#[inline]
pub(crate) fn release_shared_leaf(chunk: Chunk, location: *const c_char) -> bool {
    if !chunk.has_only(GUARDED) || chunk.child.get().is_some() || process::mode() != 0 {
        return false;
    }
    // Below the null context, what is guarded has a side record.
    let Some(parent) = chunk.parent.get() else { return false };
    links::bridge(chunk, parent);
    chunk.stamp_freed(location);
    // SAFETY: a chunk that is no member starts at its slot, and it is freed now.
    unsafe { heap::give(chunk.address()) };
    true
}

/// [`quick_release`] for what may be the payload of a member of a pool.
#[inline(never)]
pub(crate) fn quick_release_member(payload: *const c_void, location: *const c_char) -> bool {
    let header = payload.wrapping_byte_sub(HEADER).cast::<Header>().cast_mut();
    let Some(header) = NonNull::new(header) else { return false };
    process::mode() == 0
        && segment::covers(header.addr().get())
        && header.is_aligned()
        // SAFETY: as was just seen.
        && unsafe { PoolRef::release_quick(header, location) }
}

/// Gives back what a link of a tree that is being freed leads to, if it is a chunk with nothing to act on
/// and no children, and says what its next sibling is. If not, nothing has happened, and it is not known to
/// be a chunk at all. The list is the caller's to mend. `many` says that it is a long one: then those that come
/// soon, most likely right before this one, are fetched ahead.
#[inline(always)]
pub(crate) fn release_leaf(leaf: Chunk, location: *const c_char, many: bool) -> Option<Option<Chunk>> {
    if process::mode() != 0 {
        return release_leaf_in_mode(leaf, location);
    }
    // SAFETY: any address may be asked about, and the tree is this thread's.
    match unsafe { Chunk::check_flags(leaf.ptr()) } {
        Some((chunk, 0)) if chunk.child.get().is_none() => {
            let next = chunk.next.get();
            // SAFETY: a plain chunk lies in a span.
            let span = unsafe { SpanRef::of(chunk.address().addr().get()) };
            if many {
                span.prefetch_before(chunk.address());
            }
            chunk.stamp_freed(location);
            // SAFETY: a chunk that is no member starts at its slot, and it is freed now.
            unsafe { heap::give_to(span, chunk.address()) };
            Some(next)
        }
        Some(_) => None,
        None => release_member_leaf(leaf, location),
    }
}

#[inline(never)]
fn release_member_leaf(leaf: Chunk, location: *const c_char) -> Option<Option<Chunk>> {
    let header = leaf.address().cast::<Header>();
    if !segment::covers(header.addr().get()) || !header.is_aligned() {
        return None;
    }
    // SAFETY: as was just seen.
    unsafe {
        // A freed one, which the tag would tell, has no flags.
        if leaf.has_only(GUARDED) && leaf.verify().is_ok() && leaf.child.get().is_none() {
            let next = leaf.next.get();
            leaf.stamp_freed(location);
            heap::give(leaf.address());
            return Some(next);
        }
        PoolRef::release_leaf(header, location)
    }
}

#[cold]
fn release_leaf_in_mode(leaf: Chunk, location: *const c_char) -> Option<Option<Chunk>> {
    if leaf.verify().is_err() || !leaf.is_simple() || leaf.child.get().is_some() {
        return None;
    }
    let next = leaf.next.get();
    release(leaf, location);
    Some(next)
}

/// Gives a chunk's bytes back. It is out of the tree and has no children.
#[inline(always)]
pub(crate) fn release(chunk: Chunk, location: *const c_char) {
    if chunk.has(POOL | SIDE | LIMITED | MEMBER) || process::mode() != 0 {
        return release_special(chunk, location);
    }
    chunk.stamp_freed(location);
    // SAFETY: a chunk that is no member starts at its slot, and it is freed now.
    unsafe { heap::give(chunk.address()) };
}

/// [`release`] of a chunk with the side record `side` and no other flag.
#[inline(always)]
pub(crate) fn release_with_side(chunk: Chunk, side: SideRef, location: *const c_char) {
    if process::mode() != 0 {
        return release_special(chunk, location);
    }
    chunk.stamp_freed(location);
    // SAFETY: the record is the chunk's alone; a chunk that is no member starts at its slot, and it is freed now.
    unsafe {
        heap::give(side.address());
        heap::give(chunk.address());
    }
}

#[inline(never)]
fn release_special(chunk: Chunk, location: *const c_char) {
    if chunk.has(LIMITED) && !domain::is_root(chunk) {
        limit::discharge(chunk.parent(), None, limit::weight(chunk));
        let (bytes, blocks) = meter::contents_of(chunk);
        meter::freed(chunk.parent(), None, bytes, blocks);
    }
    chunk.drop_side();
    if process::mode() != 0 {
        return release_in_mode(chunk, location);
    }
    if chunk.has(MEMBER) {
        PoolRef::put_back(chunk, location);
    } else if let Some(pool) = PoolRef::of_chunk(chunk) {
        chunk.stamp_freed(location);
        pool.chunk_freed(location);
    } else {
        chunk.stamp_freed(location);
        // SAFETY: a chunk that is no member starts at its slot, and it is freed now.
        unsafe { heap::give(chunk.address()) };
    }
}

/// [`release_special`] for a chunk without a side record, under options that change what a free does.
#[cold]
fn release_in_mode(chunk: Chunk, location: *const c_char) {
    if process::mode() & MODE_FILL != 0 {
        // SAFETY: the payload, which nobody uses any more.
        unsafe { chunk.ptr().cast::<u8>().write_bytes(process::fill_byte(), chunk.size()) };
    }
    if chunk.has(MEMBER) {
        return PoolRef::put_back(chunk, location);
    }
    let pool = PoolRef::of_chunk(chunk);
    let start = if pool.is_none() && chunk.has(POOL) { bare::drop_front(chunk) } else { chunk.address() };
    chunk.stamp_freed(location);
    match pool {
        Some(pool) => pool.chunk_freed(location),
        // SAFETY: what is no member starts at its slot, or is a block of malloc's; it is freed now.
        None => unsafe { give_raw(start) },
    }
}

/// Gives a regular pool back with all that is in it. Its chunk is out of the tree.
pub(crate) fn release_pool(chunk: Chunk, location: *const c_char) {
    let pool = PoolRef::of_chunk(chunk);
    if chunk.has(LIMITED) {
        let (weight, bytes, members) = pool.map_or((0, 0, 0), PoolRef::contents);
        limit::discharge(chunk.parent(), None, limit::weight(chunk) + weight);
        meter::freed(chunk.parent(), None, chunk.size() + bytes, 1 + members);
    }
    chunk.drop_side();
    chunk.stamp_freed(location);
    if let Some(pool) = pool {
        pool.give_back(location);
    }
}

/// Forgets all that lies below the regular pool `chunk`, but for its child `name`, and keeps the pool's room. Says
/// whether it could; if not, nothing has happened.
pub(crate) fn forget_members(chunk: Chunk, name: Option<Chunk>, location: *const c_char) -> bool {
    let Some(pool) = PoolRef::of_chunk(chunk) else { return false };
    let before = if chunk.has(LIMITED) { pool.contents() } else { (0, 0, 0) };
    let bare = if chunk.has(LIMITED) { bare::weight(chunk) } else { 0 };
    let done = pool.forget_members(name, location);
    if done {
        if chunk.has(LIMITED) {
            let after = pool.contents();
            limit::discharge(Some(chunk), None, before.0 + bare - after.0);
            meter::freed(Some(chunk), None, before.1 - after.1, before.2 - after.2);
        }
        chunk.child.set(name);
        if let Some(name) = name {
            name.prev.set(None);
            name.next.set(None);
            name.child.set(None);
        }
    }
    done
}

/// All bare bytes of `chunk` are gone, if it is a pool.
pub(crate) fn drop_bare(chunk: Chunk, location: *const c_char) {
    let (bytes, pieces) = bare::contents(chunk);
    if pieces == 0 {
        return;
    }
    let weight = bare::weight(chunk);
    bare::drop_all(chunk, location);
    if chunk.has(LIMITED) {
        limit::discharge(Some(chunk), None, weight);
        meter::freed(Some(chunk), None, bytes, pieces);
    }
}

/// Whether `chunk` can be given back without a look at what lies below it.
pub(crate) fn is_regular_pool(chunk: Chunk) -> bool {
    process::mode() == 0 && PoolRef::of_chunk(chunk).is_some_and(PoolRef::is_regular)
}

/// Bytes of payload that `chunk` can have where it stands.
pub(crate) fn capacity(chunk: Chunk) -> usize {
    if process::mode() & MODE_MALLOC != 0 {
        return chunk.size();
    }
    if chunk.has(MEMBER | POOL) {
        // A member may use what rounding left; the rest is another's.
        return if chunk.has(POOL) {
            chunk.size()
        } else {
            (HEADER + chunk.size()).next_multiple_of(16) - HEADER
        };
    }
    // SAFETY: a chunk that is no member starts at its slot.
    unsafe { heap::bytes_of(chunk.address()) - HEADER }
}

/// Whether `chunk`, no member of a pool, has whole slices that `size` bytes of payload do not need.
pub(crate) fn has_slices_beyond(chunk: Chunk, size: usize) -> bool {
    let has = HEADER + capacity(chunk);
    has > SLOT_MAX && geometry::slices_for(HEADER + size) < geometry::slices_for(has)
}

/// Whether the place of `chunk`, no member of a pool, is much too large for `size` bytes of payload: a
/// slot of which more than half would be free, or a block for what fits into a slot.
pub(crate) fn is_wasted_on(chunk: Chunk, size: usize) -> bool {
    let (has, needs) = (HEADER + capacity(chunk), HEADER + size);
    if has > SLOT_MAX { needs <= SLOT_MAX } else { needs < has / 2 }
}

/// Gives `chunk`, not a pool, `size` bytes of payload where it stands, if that can be.
pub(crate) fn resize_in_place(chunk: Chunk, size: usize) -> bool {
    if process::mode() & MODE_MALLOC != 0 {
        return false;
    }
    if chunk.has(MEMBER) {
        return PoolRef::of_member(chunk).resize_in_place(chunk, size);
    }
    // SAFETY: a chunk that is no member starts at its slot; the caller gives up what is cut off.
    let fits = unsafe { heap::resize(chunk.address(), HEADER + size) };
    if fits {
        chunk.size.set(size as u32);
    }
    fits
}

/// Whether `chunk` is so large that its pages can be moved without copying them.
pub(crate) fn can_move_pages(chunk: Chunk) -> bool {
    // SAFETY: a chunk that is no member starts at its slot.
    process::mode() & MODE_MALLOC == 0
        && !chunk.has(MEMBER | POOL)
        && unsafe { heap::bytes_of(chunk.address()) } > GROWS_ALONE
}

/// Moves such a chunk to where it can have `size` bytes, if there is such a place. The old header is
/// gone then; the links still lead to it.
pub(crate) fn move_pages(chunk: Chunk, size: usize) -> Option<Chunk> {
    // SAFETY: a chunk that is no member starts at its block; the caller relocates the links.
    let to = unsafe { heap::move_block(chunk.address(), HEADER + size)? };
    // SAFETY: the pages moved, and with them the header.
    let moved = unsafe { Chunk::from_header(to.cast()) };
    moved.size.set(size as u32);
    Some(moved)
}

/// Slides the only member of a pool to the start of its room, where it gets `size` bytes, if it can.
/// The links still lead to the old place.
pub(crate) fn slide(member: Chunk, size: usize, location: *const c_char) -> Option<Chunk> {
    PoolRef::of_member(member).slide(member, size, location)
}

/// Whether fresh memory for `chunk`, made just now, is known to be zero.
pub(crate) fn is_zeroed(chunk: Chunk) -> bool {
    // SAFETY: a chunk that is no member starts at its slot.
    process::mode() == 0 && !chunk.has(MEMBER | POOL) && unsafe { heap::is_zeroed(chunk.address()) }
}

/// A slot or block of at least `bytes` from the calling thread's `heap`, and the tag of its span.
fn take(heap: HeapRef, bytes: usize) -> Option<(NonNull<u8>, u32)> {
    if bytes <= SLOT_MAX { heap.take(size::class_of(bytes)) } else { heap.take_single(bytes) }
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
    if process::mode() & MODE_MALLOC != 0 { take_malloc(bytes) } else { Some(take_block(bytes, shared)?.0) }
}

/// Gives back what [`take_record`], [`take_raw`] or [`take_block`] gave.
///
/// # Safety
/// Nobody uses it any more.
pub(super) unsafe fn give_raw(at: NonNull<u8>) {
    if process::mode() & MODE_MALLOC != 0 {
        // SAFETY: with this backend it came from malloc.
        unsafe { libc::free(at.as_ptr().cast::<c_void>()) };
    } else {
        // SAFETY: the caller's.
        unsafe { heap::give(at) };
    }
}

/// Memory for a block of a pool of the domain `shared`, and how much it is.
pub(super) fn take_block(bytes: usize, shared: Option<Shared>) -> Option<(NonNull<u8>, usize)> {
    let heap = shared.map_or_else(threads::current, |shared| Some(shared.heap()))?;
    let (at, _) = take(heap, bytes)?;
    // SAFETY: taken just now.
    Some((at, unsafe { heap::bytes_of(at) }))
}

/// A tag that no pool of this thread has had for long.
pub(super) fn new_tag() -> u32 {
    process::tag_of_generation(threads::current().map_or(0, |heap| heap.next_use()))
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

/// Makes the fresh `to` what `from` is in every respect but its bytes: place in the tree, name, side
/// record and flags.
pub(crate) fn take_identity(to: Chunk, from: Chunk) {
    to.take_identity(from);
    if to.has(SIDE) && to.has(MEMBER) {
        PoolRef::of_member(to).set_irregular();
    }
}

/// Gives back the bytes of `chunk`, whose identity another has taken.
pub(crate) fn discard(chunk: Chunk, location: *const c_char) {
    chunk.give_up_identity();
    release(chunk, location);
}
