//! The short ways: a chunk that is made or freed as most are, inlined where the verb is. Each gives up before anything
//! has happened where something is not ordinary; then the long way (`create`, `release`) is gone.

use core::ffi::c_char;

use super::{heap_near, heap_of};
use crate::mem::give::{self, Unsettled};
use crate::mem::heap::HeapRef;
use crate::mem::here::{self, Change};
use crate::mem::shared::Shared;
use crate::mem::size;
use crate::mem::span::SpanRef;
use crate::mem::threads;
use crate::process::{self, MODE_MALLOC};
use crate::tree::chunk::{Chunk, GUARDED, HEADER, LIMITED, MEMBER, POOL, is_plain_parent};
use crate::tree::links;
use crate::tree::pool::{Origin, PoolRef};
use crate::tree::sight::{Found, Suspect};

/// The largest payload of the short way.
const QUICK: usize = size::SMALL_MAX - HEADER;

/// The largest payload of the next shortest way: what a slot holds.
const LARGER: usize = size::SLOT_MAX - HEADER;

/// `chunk`, as if it had been found by its address. It lies in a span: it is no block of malloc's.
#[inline(always)]
fn found(chunk: Chunk) -> Found {
    // SAFETY: the caller's.
    let span = unsafe { SpanRef::of(chunk.address().addr().get()) };
    Found { chunk, flags: chunk.flags(), span }
}

/// Whether a chunk of `size` bytes can go the short way.
#[inline(always)]
pub(crate) fn goes_quickly(size: usize) -> bool {
    size <= QUICK && process::mode() & MODE_MALLOC == 0
}

/// A new child of `parent`, the short way that most allocations go: no pool, no limit, the parent's heap is the calling
/// thread's, and has a free slot at hand. `None` says nothing.
#[inline(always)]
pub(crate) fn ready_child(parent: Found, size: usize, name: *const c_char) -> Option<Chunk> {
    let Found { chunk: parent, flags, span } = parent;
    if size > QUICK || !is_plain_parent(flags) {
        return None;
    }
    let heap = HeapRef::of_span(span);
    let _change = here::begin_in(heap.as_ptr())?;
    let (at, tag) = heap.take_ready(size::class_of(HEADER + size))?;
    // SAFETY: a slot of the class, taken just now.
    Some(unsafe { Chunk::create_child(at, tag, size, parent, name, heap.outgrows_caches()) })
}

/// [`ready_child`] of any live parent, or where there is no free slot at hand; or from the pool that serves `parent`, without a
/// limit.
#[inline(always)]
pub(crate) fn quick_child(parent: Chunk, size: usize, name: *const c_char) -> Option<Chunk> {
    if process::mode() & MODE_MALLOC != 0 {
        return None;
    }
    match ready_child(found(parent), size, name) {
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
        let _change = Change::begin();
        return pool_child(parent, size, name);
    }
    let heap = heap_of(parent);
    let _change = here::begin_in(heap.as_ptr())?;
    let (at, tag) = heap.take(size::class_of(HEADER + size))?;
    // SAFETY: a slot of the class, taken just now.
    Some(unsafe { Chunk::create_child(at, tag, size, parent, name, heap.outgrows_caches()) })
}

/// [`quick_child`] for what is somewhat larger. `None` says nothing.
pub(crate) fn larger_child(parent: Chunk, size: usize) -> Option<Chunk> {
    if size > LARGER || process::mode() & MODE_MALLOC != 0 || !is_plain_parent(parent.flags()) {
        return None;
    }
    let (at, tag) = heap_near(parent)?.take(size::class_of(HEADER + size))?;
    // SAFETY: a slot of the class, taken just now.
    Some(unsafe { Chunk::create_child(at, tag, size, parent, core::ptr::null(), false) })
}

/// A new chunk without a parent, the short way.
#[inline(always)]
pub(crate) fn quick_root(size: usize, name: *const c_char) -> Option<Chunk> {
    if size > QUICK {
        return None;
    }
    // The first call of all reads the options; they are asked for after that.
    let _change = Change::begin();
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
    let cut = Origin::serving(parent)?.cut(size)?;
    // SAFETY: room for a member, taken just now.
    Some(unsafe { Chunk::create_member(cut.at, cut.tag, size, parent, name) })
}

/// [`pool_child`] of a pool's chunk, or of a [plain member](Found::is_plain_member), only if the room is at hand, and only one tree
/// draws on the pool. `None` says nothing.
#[inline(always)]
pub(crate) fn ready_pool_child(parent: Found, size: usize, name: *const c_char) -> Option<Chunk> {
    if size > QUICK {
        return None;
    }
    let _change = Change::begin();
    let (at, tag) = if parent.is_plain_member() {
        PoolRef::cut_ready_below(parent, size)?
    } else if parent.flags == POOL && process::mode() & MODE_MALLOC == 0 {
        PoolRef::of_heap_chunk(parent.chunk).cut_ready(size)?
    } else {
        return None;
    };
    // SAFETY: room for a member, taken just now.
    Some(unsafe { Chunk::create_member(at, tag, size, parent.chunk, name) })
}

/// A new child of the chunk that `suspect` is, if that is a member of a pool without flags, and its pool has room. `None`
/// says nothing, not even that it is a chunk.
#[inline(never)]
pub(crate) fn member_child(suspect: Suspect, size: usize, name: *const c_char) -> Option<Chunk> {
    if size > QUICK || process::mode() != 0 {
        return None;
    }
    let _change = Change::begin();
    let (parent, cut) = PoolRef::cut_below(suspect, size)?;
    // SAFETY: room for a member, taken just now.
    Some(unsafe { Chunk::create_member(cut.at, cut.tag, size, parent, name) })
}

/// Makes `member` `size` bytes long where it stands, if that is longer, it is a [plain member](Found::is_plain_member) and the
/// last but not the only one of its block, with room behind it, and only one tree draws on the pool. Says whether it could;
/// no says nothing.
#[inline(always)]
pub(crate) fn extend(member: Found, size: usize) -> bool {
    if !member.is_plain_member() || member.chunk.is_called_pool() {
        return false;
    }
    let _change = Change::begin();
    PoolRef::extend(member, size)
}

/// A new child of `parent`, whose `shared` heap the calling thread has entered: the short way, with no pool and no limit.
#[inline]
pub(crate) fn shared_child(shared: Shared, parent: Chunk, size: usize, name: *const c_char) -> Option<Chunk> {
    const SPECIAL: u32 = POOL | MEMBER | LIMITED;
    if !goes_quickly(size) || parent.has(SPECIAL) {
        return None;
    }
    let heap = shared.heap();
    let (at, tag) = heap.take(size::class_of(HEADER + size))?;
    // SAFETY: a slot of the class, taken just now.
    Some(unsafe { Chunk::create_child(at, tag | GUARDED, size, parent, name, heap.outgrows_caches()) })
}

/// Whether a chunk went the short way.
pub enum Quick {
    /// No. Nothing has happened.
    No,
    /// Yes.
    Yes,
    /// Yes, but for what ends when this is dropped.
    Unsettled(Unsettled),
}

/// [`ready_release`] of any live chunk.
#[inline(always)]
pub(crate) fn quick_release(chunk: Chunk, location: *const c_char) -> bool {
    process::mode() & MODE_MALLOC == 0 && !matches!(ready_release(found(chunk), location), Quick::No)
}

/// Takes `chunk` out of the tree and gives its bytes back, if that goes the short way: it is a plain chunk without children,
/// of a span of the calling thread's that takes slots back (under no option that changes what a free does), in a list
/// without a guard.
#[inline(always)]
pub(crate) fn ready_release(chunk: Found, location: *const c_char) -> Quick {
    let Found { chunk, flags, span } = chunk;
    if flags != 0 || chunk.child.is_some() {
        return Quick::No;
    }
    let Some((slots, change)) = give::begin_ready(span) else { return Quick::No };
    if let Some(parent) = chunk.parent.get() {
        if parent.above_has(GUARDED) {
            return Quick::No;
        }
        links::bridge(chunk, parent);
    }
    chunk.stamp_freed(location);
    // SAFETY: a chunk that is no member starts at its slot, and it is freed now.
    match unsafe { slots.give_last(chunk.address(), change) } {
        None => Quick::Yes,
        Some(unsettled) => Quick::Unsettled(unsettled),
    }
}

/// [`ready_release`] for a chunk of a shared context, whose domain has been entered.
#[inline]
pub(crate) fn release_shared_leaf(chunk: Chunk, location: *const c_char) -> bool {
    if !chunk.has_only(GUARDED) || chunk.child.is_some() || process::mode() != 0 {
        return false;
    }
    // Below the null context, what is guarded has a side record.
    let Some(parent) = chunk.parent.get() else { return false };
    links::bridge(chunk, parent);
    chunk.stamp_freed(location);
    // SAFETY: a chunk that is no member starts at its slot, and it is freed now.
    unsafe { give::give(chunk.address()) };
    true
}

/// [`ready_release`] for a [plain member](Found::is_plain_member) of a pool.
#[inline(always)]
pub(crate) fn release_plain_member(member: Found, location: *const c_char) -> bool {
    if !member.is_plain_member() || process::mode() != 0 {
        return false;
    }
    let _change = Change::begin();
    PoolRef::release_plain(member, location)
}

/// [`ready_release`] for what may be a member of a pool that shares its span with others.
#[inline(always)]
pub(crate) fn quick_release_member(suspect: Suspect, location: *const c_char) -> bool {
    if process::mode() != 0 {
        return false;
    }
    let _change = Change::begin();
    PoolRef::release_quick(suspect, location)
}
