//! The bytes of a chunk go back to where they came from.

use core::ffi::c_char;

use super::give_raw;
use crate::hint::seldom;
use crate::mem::bulk::Bulk;
use crate::mem::give;
use crate::mem::heap::HeapRef;
use crate::mem::here::Change;
use crate::mem::segment;
use crate::mem::span::SpanRef;
use crate::process::{self, MODE_FILL};
use crate::tree::chunk::{Chunk, DYING, GUARDED, Header, LIMITED, MEMBER, POOL, REFERENCE, SIDE};
use crate::tree::pool::{Fate, PoolRef, Run, bare};
use crate::tree::side::SideRef;
use crate::tree::sight::{Found, Sight, Suspect};
use crate::tree::{domain, limit, links, meter, refs};

/// So many leaves of a list are given back without a look ahead: it would come too late for them. In a small heap all are.
const FEW: u32 = 8;

/// Gives back one leaf after another of a list that is being freed. What is the same for all of them is looked up once,
/// so it is for a time in which no foreign code runs. The list is the caller's to mend.
pub(crate) struct Leaves {
    bulk: Bulk,
    run: Run,
}

/// How many plain leaves it is until one is given back with a look ahead, or a run of members ends. Apart from [`Leaves`], so that it stays in a
/// register, as each leaf counts.
pub(crate) struct UntilLook(u32);

impl UntilLook {
    #[inline(always)]
    pub(crate) fn new() -> UntilLook {
        UntilLook(FEW + 1)
    }

    /// The next plain leaf ends the run.
    #[inline(always)]
    pub(crate) fn end_at_next(&mut self) {
        self.0 = 1;
    }
}

impl Leaves {
    #[inline(always)]
    pub(crate) fn new() -> Leaves {
        Leaves { bulk: Bulk::new(), run: Run::new() }
    }

    /// What a link leads to.
    #[inline(always)]
    pub(crate) fn sight(&self, leaf: Chunk) -> Option<Sight> {
        // SAFETY: any address may be asked about, and the tree is this thread's.
        unsafe { Chunk::sight(leaf.ptr()) }
    }

    /// Gives back a plain chunk of the heap without flags and without children.
    #[inline(always)]
    pub(crate) fn release(&mut self, leaf: Found, location: *const c_char, until: &mut UntilLook) {
        let Found { chunk: leaf, span, .. } = leaf;
        until.0 -= 1;
        if until.0 == 0 {
            seldom();
            self.run.end(location);
            until.0 = look_ahead(leaf, span);
        }
        leaf.stamp_freed(location);
        // SAFETY: a chunk that is no member starts at its slot, and it is freed now.
        unsafe { self.bulk.give(span, leaf.address()) };
    }

    /// Gives back a plain member of a pool without children.
    #[inline(always)]
    pub(crate) fn release_plain_member(
        &mut self,
        leaf: Found,
        location: *const c_char,
        until: &mut UntilLook,
    ) {
        if self.run.release_plain(leaf, location) {
            until.end_at_next();
        }
    }

    /// Gives back what may be a member of a pool that a link leads to.
    #[inline(never)]
    pub(crate) fn release_member(&mut self, suspect: Suspect, location: *const c_char) -> Fate {
        self.run.release(suspect, location)
    }

    /// Gives back a plain chunk of the heap, or a plain member, that is out of the tree and has lost its last child. It may be
    /// marked as dying.
    #[inline]
    pub(crate) fn release_emptied(&mut self, chunk: Chunk, location: *const c_char) {
        if chunk.has(MEMBER) {
            return self.run.release_member(chunk, location);
        }
        self.run.end(location);
        chunk.stamp_freed(location);
        // SAFETY: a chunk that is no member starts at its slot, which lies in a span, and it is freed now.
        unsafe {
            let span = SpanRef::of(chunk.address().addr().get());
            self.bulk.give(span, chunk.address());
        }
    }

    /// The pools that members were given back to learn of it.
    #[inline]
    pub(crate) fn end_run(&mut self, location: *const c_char) {
        self.run.end(location);
    }

    /// Gives back what a link leads to, if it has nothing to act on and no children, and is neither a plain chunk that the table
    /// of heads knows nor such a member. It may also be a reference, or a regular pool. If not, nothing has happened.
    #[inline(never)]
    pub(crate) fn release_other(&mut self, leaf: Chunk, location: *const c_char) -> Fate {
        self.run.end(location);
        let header = leaf.address().cast::<Header>();
        if !segment::covers(header.addr().get()) || !header.is_aligned() {
            return Fate::Other;
        }
        if leaf.has_only(REFERENCE) {
            return release_reference_leaf(leaf, location)
                .map_or(Fate::Other, |next| Fate::Gone { next, keeps_others_waiting: false });
        }
        // A freed one, which the tag would tell, has no flags.
        if leaf.has_only(GUARDED) && leaf.verify().is_ok() && leaf.child.is_none() {
            let next = leaf.next.get();
            leaf.stamp_freed(location);
            // SAFETY: a chunk that is no member starts at its slot, and it is freed now.
            unsafe { give::give(leaf.address()) };
            return Fate::Gone { next, keeps_others_waiting: false };
        }
        if leaf.has_only(POOL)
            && leaf.verify().is_ok()
            && let Some(pool) = plain_pool(leaf)
        {
            let next = leaf.next.get();
            leaf.stamp_freed(location);
            pool.give_back(location);
            return Fate::Gone { next, keeps_others_waiting: false };
        }
        // SAFETY: aligned, and in a mapped segment.
        match unsafe { Suspect::in_segment(header) } {
            Some(suspect) => self.run.release(suspect, location),
            None => Fate::Other,
        }
    }
}

/// In a long list of a large heap, fetches ahead what comes soon after `leaf`, by the hints or because it lies right before
/// it. Says until which leaf there is no need to look again.
#[inline(always)]
fn look_ahead(leaf: Chunk, span: SpanRef) -> u32 {
    if !HeapRef::of_span(span).outgrows_caches() {
        return u32::MAX;
    }
    span.prefetch_before(leaf.address());
    leaf.fetch_sibling_ahead();
    1
}

/// Takes what may be a reference to a chunk that threads do not share out of that one's list, and gives it back.
fn release_reference_leaf(leaf: Chunk, location: *const c_char) -> Option<Option<Chunk>> {
    if leaf.verify().is_err() || leaf.child.is_some() || domain::guess(refs::target(leaf)).is_some() {
        return None;
    }
    let next = leaf.next.get();
    refs::unhook(leaf);
    leaf.stamp_freed(location);
    // SAFETY: a chunk that is no member starts at its slot, and it is freed now.
    unsafe { give::give(leaf.address()) };
    Some(next)
}

/// [`Leaves`] under options that change what a free does: gives back what a link leads to, as
/// [`release_other`](Leaves::release_other) does.
#[cold]
pub(crate) fn release_leaf_in_mode(leaf: Chunk, location: *const c_char) -> Option<Option<Chunk>> {
    if leaf.verify().is_err() || !leaf.is_simple() || leaf.child.is_some() {
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
    unsafe { give::give(chunk.address()) };
}

/// Takes a chunk with the side record `side` and no other flag, unless that of a member, out of the tree and gives its bytes back,
/// under no option that changes what a free does. That is the end of the change.
#[inline(always)]
pub(crate) fn release_with_side(leaf: Found, side: SideRef, location: *const c_char, _change: Change) {
    let Found { chunk, flags, span } = leaf;
    match chunk.parent.get() {
        Some(parent) if parent.above_has(GUARDED) => links::detach(chunk),
        Some(parent) => links::bridge(chunk, parent),
        None => {}
    }
    if flags & MEMBER != 0 {
        seldom();
        // SAFETY: the record is the chunk's alone.
        unsafe { give::give(side.address()) };
        return PoolRef::put_back(chunk, location);
    }
    chunk.stamp_freed(location);
    // SAFETY: the record is the chunk's alone; a chunk that is no member starts at its slot, and it is freed now.
    unsafe {
        give::give_two(side.address(), span, chunk.address());
    }
}

/// Gives back a chunk of the heap and its side record, of which nobody else has to know. Says whether it is such a one; if not,
/// nothing has happened.
#[inline(always)]
fn release_both(chunk: Chunk, location: *const c_char) -> bool {
    if chunk.flags() & !DYING != SIDE || process::mode() != 0 {
        return false;
    }
    // A meter, which may be left of a limit that is no more, goes with the record.
    let Some(side) = chunk.side().filter(|side| side.meter.get().is_none()) else { return false };
    chunk.stamp_freed(location);
    // SAFETY: as in `release_with_side`; the chunk lies in a span.
    unsafe {
        let span = SpanRef::of(chunk.address().addr().get());
        give::give_two(side.address(), span, chunk.address());
    }
    true
}

#[inline(never)]
fn release_special(chunk: Chunk, location: *const c_char) {
    if release_both(chunk, location) {
        return;
    }
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
        unsafe { give::give(chunk.address()) };
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

/// [`release_pool`] of a chunk that is in the tree, if it is a regular pool and has nothing else to act on. If not, nothing
/// has happened.
#[inline]
pub(crate) fn release_plain_pool(chunk: Chunk, location: *const c_char) -> bool {
    let Some(pool) = plain_pool(chunk) else { return false };
    links::detach(chunk);
    chunk.stamp_freed(location);
    pool.give_back(location);
    true
}

/// The regular pool that `chunk` is, if it is one with nothing else that a free must act on.
#[inline(always)]
fn plain_pool(chunk: Chunk) -> Option<PoolRef> {
    if !chunk.has_only(POOL) || process::mode() != 0 {
        return None;
    }
    Some(PoolRef::of_heap_chunk(chunk)).filter(|pool| pool.is_regular())
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

/// Gives back the bytes of `chunk`, whose identity another has taken.
pub(crate) fn discard(chunk: Chunk, location: *const c_char) {
    chunk.give_up_identity();
    release(chunk, location);
}
