//! Pools: a chunk that serves its descendants from a buffer of its own.
//!
//! ```text
//! first block: ├ Block ─┼ Pool ─┼ header of the pool's chunk ┼ its payload ┼ members … ┤
//! others:      ├ Block ─┼ members … ┤
//! ```
//! Members come from the announced zone (`zone.rs`) while it has room, then from the overflow, whose
//! blocks double in size. When no member of a zone is alive its room comes back, whatever lives in
//! the other. Pools do not lie in each other: a pool below a pool has blocks of its own.
//!
//! A *growable* pool has one zone: what goes beyond the announced room is added to it, in blocks that double up to a
//! size of its own, so that all of it is used and emptied alike.
//!
//! A pool hands out *bare* bytes, too: they have no header, and go with all else that is in it (`bare.rs`, `large.rs`).
//!
//! Blocks that an emptied pool keeps for its next use, up to a limit, are *laid by*, in no zone.
//!
//! A pool is *regular* while every chunk below it is a member of it, every member lies below it, and
//! none has anything that a free must act on (side record, reference, limit). A regular pool is
//! freed by giving its blocks back: its members need not be visited.
//!
//! A pool is used by whoever owns the tree it lies in, without a lock, until a member is moved out of
//! that tree: from then on, trees of two threads may draw on it, and it takes a lock.

pub(crate) mod bare;
mod bins;
mod block;
mod large;
mod reset;
mod resize;
mod tally;
mod window;
mod zone;

use core::cell::Cell;
use core::ffi::c_char;
use core::ops::Deref;
use core::ptr::{self, NonNull};

pub(crate) use block::Block;
use block::{BLOCK, room_for};
pub use block::{BlockOffsets, PADDING, PaddingOffsets};
use large::{LARGES, Larges};
pub use tally::Stats;
use tally::Tally;
use window::Window;
use zone::Zone;

use super::chunk::{Chunk, GUARDED, HEADER, MEMBER, POOL, Suspect};
use super::{links, store};
use crate::mem::geometry::{SLICE, USABLE_SLICES};
use crate::mem::heap::HeapRef;
use crate::mem::lock::Held;
use crate::mem::shared::Shared;
use crate::offsets::offsets;
use crate::process::{self, MODE_MALLOC};

/// The smallest overflow block, in bytes.
const OVERFLOW_FIRST: usize = 2 << 10;
/// The largest overflow block.
const OVERFLOW_LAST: usize = 1 << 20;
/// The largest room that a member gets in the overflow. What needs more comes from the heap.
const OVERFLOW_MEMBER_MAX: usize = 32 << 10;
/// The largest block of announced room. Larger pools have several.
const ANNOUNCED_BLOCK_MAX: usize = 3 << 20;

/// How a pool goes on when its announced room is used up, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    /// What the pool keeps when it is emptied, announced room included.
    keep: usize,
    /// The first block beyond it; each is twice the one before.
    first: u32,
    /// The largest.
    last: u32,
    /// The largest room that a member gets there. What needs more comes from the heap.
    member_max: u32,
    /// The blocks beyond are of the same zone as the announced room.
    grows: bool,
}

impl Growth {
    /// A pool with a buffer that is meant to be enough.
    pub(crate) const OVERFLOW: Growth = Growth {
        keep: 0,
        first: OVERFLOW_FIRST as u32,
        last: OVERFLOW_LAST as u32,
        member_max: OVERFLOW_MEMBER_MAX as u32,
        grows: false,
    };

    /// A growable pool, whose first block has `first` bytes and its largest `max`; 0 for the default. It keeps
    /// what it has.
    pub(crate) fn doubling(first: usize, max: usize) -> Growth {
        let last = if max == 0 { OVERFLOW_LAST } else { max.min(ANNOUNCED_BLOCK_MAX) };
        let last = last.max(first.clamp(GROWTH_MIN, ANNOUNCED_BLOCK_MAX));
        Growth {
            keep: usize::MAX,
            first: first.saturating_mul(2).clamp(GROWTH_MIN, last) as u32,
            last: last as u32,
            member_max: (last / 4) as u32,
            grows: true,
        }
    }
}

/// The smallest block that a growable pool adds.
const GROWTH_MIN: usize = 256;

/// The record of a pool, in front of its chunk's header. See the module.
#[repr(C, align(16))]
#[derive(Debug)]
pub struct Pool {
    irregular: Cell<bool>,
    /// Trees of two threads may draw on it.
    shared: Cell<bool>,
    /// Its own chunk has been freed; the pool goes with the last member.
    orphaned: Cell<bool>,
    /// Bytes of room that were asked for.
    announced_room: Cell<usize>,
    /// Bytes of announced room that have no block yet.
    promised: Cell<usize>,
    announced: Zone,
    overflow: Zone,
    growth: Cell<Growth>,
    next_growth: Cell<usize>,
    /// Blocks beyond the announced room that are laid by, and their bytes.
    spare: Cell<Option<NonNull<Block>>>,
    spare_bytes: Cell<usize>,
    /// The domain of its chunk: it serves no other, and its blocks come from the heap of that.
    home: Cell<Option<Shared>>,
    tally: Tally,
    /// The block that bare bytes are cut from, in a zone that knows that it has some.
    bare: Cell<Option<NonNull<Block>>>,
    window: Window,
    larges: Larges,
}

const _: () = assert!(core::mem::offset_of!(Pool, larges) + size_of::<Larges>() == size_of::<Pool>());

offsets! {
    /// Where the fields of a pool's record lie that say what it has.
    PoolOffsets of Pool { orphaned, announced_room }
}

/// The largest room in a block: all of it lies in one segment, so that its members can be found.
const BLOCK_ROOM_MAX: usize = USABLE_SLICES * SLICE - BLOCK;

const POOL_RECORD: usize = size_of::<Pool>();
/// Bytes in front of the payload of a pool's chunk.
const FRONT: usize = BLOCK + POOL_RECORD + HEADER;

/// A pool that has not been given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolRef(NonNull<Pool>);

impl Deref for PoolRef {
    type Target = Pool;

    #[inline(always)]
    fn deref(&self) -> &Pool {
        // SAFETY: a pool's record lives while a member or the pool's chunk does, which is how one
        // comes to a PoolRef; all fields are cells.
        unsafe { self.0.as_ref() }
    }
}

impl PoolRef {
    /// A chunk of `size` bytes that is a pool of the domain `home` with room for `room` bytes of members, their headers
    /// included, from `heap`. It is not in the tree yet.
    pub(super) fn create(
        heap: HeapRef,
        size: usize,
        room: usize,
        home: Option<Shared>,
        growth: Growth,
    ) -> Option<Chunk> {
        let room = room.next_multiple_of(16);
        let front = FRONT + size.next_multiple_of(16);
        // All of a block lies in one segment, so that its members can be found.
        let in_first = room.min(ANNOUNCED_BLOCK_MAX);
        let in_first = if front + in_first <= USABLE_SLICES * SLICE { in_first } else { 0 };
        let (at, tag) = store::take_block(heap, front + in_first)?;
        // SAFETY: a slot that is long enough for all of it, nobody else's.
        unsafe {
            let record = at.add(BLOCK).cast::<Pool>();
            let first = at.addr().get() + front;
            let block = Block::create(at, tag, record, store::new_tag(heap) | MEMBER, first, in_first);
            let pool = Pool {
                irregular: Cell::new(false),
                shared: Cell::new(false),
                home: Cell::new(home),
                orphaned: Cell::new(false),
                announced_room: Cell::new(room),
                promised: Cell::new(room - in_first),
                announced: Zone::new(Some(block)),
                overflow: Zone::new(None),
                growth: Cell::new(growth),
                next_growth: Cell::new(growth.first as usize),
                spare: Cell::new(None),
                spare_bytes: Cell::new(0),
                tally: Tally::new(),
                bare: Cell::new(None),
                window: Window::closed(),
                larges: Larges::new(),
            };
            record.write(pool);
            Some(Chunk::create(at.add(BLOCK + POOL_RECORD), tag | POOL, size))
        }
    }

    /// The pool whose chunk is `chunk`. With the malloc backend a pool is a chunk like any other.
    #[inline(always)]
    pub fn of_chunk(chunk: Chunk) -> Option<PoolRef> {
        if chunk.has(POOL) && process::mode() & MODE_MALLOC == 0 {
            Some(PoolRef::of_heap_chunk(chunk))
        } else {
            None
        }
    }

    /// The pool whose chunk is `chunk`, a chunk of the heap with the flag of a pool.
    #[inline(always)]
    pub(super) fn of_heap_chunk(chunk: Chunk) -> PoolRef {
        debug_assert!(chunk.has(POOL) && process::mode() & MODE_MALLOC == 0);
        // SAFETY: the record of a pool lies right before its chunk's header.
        PoolRef(unsafe { chunk.address().sub(POOL_RECORD).cast() })
    }

    /// The pool that `member` was cut from.
    #[inline(always)]
    pub fn of_member(member: Chunk) -> PoolRef {
        debug_assert!(member.has(MEMBER));
        PoolRef(Block::of_member(member).pool())
    }

    /// The pool that new children of `parent` are served from.
    #[inline(always)]
    pub fn serving(parent: Chunk) -> Option<PoolRef> {
        if parent.above_has(MEMBER) { Some(PoolRef::of_member(parent)) } else { PoolRef::of_chunk(parent) }
    }

    /// A free of this pool must visit what lies below it.
    #[inline]
    pub fn set_irregular(self) {
        // Once other threads draw on the pool, this is set, and is only read.
        if !self.irregular.get() {
            self.irregular.set(true);
        }
    }

    /// Whether a free may give the blocks back without a look at the members.
    pub fn is_regular(self) -> bool {
        !self.irregular.get()
    }

    /// A member leaves the tree that the pool lies in. The first to do so is still in the only tree that
    /// draws on the pool; those to come only read what is set here.
    pub fn set_shared(self) {
        self.set_irregular();
        if !self.shared.get() {
            self.close_window();
            self.shared.set(true);
        }
    }

    /// Its chunk belongs to `home` now.
    pub(super) fn set_home(self, home: Option<Shared>) {
        let _held = self.hold();
        self.close_window();
        self.home.set(home);
    }

    #[inline(always)]
    fn hold(self) -> Option<Held<'static>> {
        if self.shared.get() { Some(process::pool_lock(self.0.addr().get()).hold()) } else { None }
    }

    fn first_block(self) -> NonNull<Block> {
        // SAFETY: the record lies right behind the head of the first block.
        unsafe { self.0.cast::<u8>().sub(BLOCK).cast() }
    }

    fn first(&self) -> &Block {
        // SAFETY: the first block lives as long as the pool.
        unsafe { self.first_block().as_ref() }
    }

    fn zone(&self, block: &Block) -> &Zone {
        if block.overflow.get() { &self.overflow } else { &self.announced }
    }

    /// Room for a member of `size` bytes, and its tag, if only one tree draws on the pool, which threads do not share. There
    /// is no header yet, and nobody looks before there is one.
    #[inline(always)]
    pub(super) fn cut(self, size: usize) -> Option<(NonNull<u8>, u32)> {
        if self.shared.get() { None } else { self.cut_held(size) }
    }

    /// [`cut`](PoolRef::cut), only from what is left of the newest block of the announced zone. `None` says nothing.
    #[inline(always)]
    pub(super) fn cut_ready(self, size: usize) -> Option<(NonNull<u8>, u32)> {
        if self.shared.get() {
            return None;
        }
        let at = self.announced.cut(room_for(size))?;
        self.tally.add(size);
        // SAFETY: room of a block is not at address 0.
        Some((unsafe { NonNull::new_unchecked(at as *mut u8) }, self.first().tag()))
    }

    #[inline(always)]
    fn cut_held(self, size: usize) -> Option<(NonNull<u8>, u32)> {
        let room = room_for(size);
        let at = match self.announced.cut(room) {
            Some(at) => at,
            None => self.find_room(room)?,
        };
        self.tally.add(size);
        // All blocks of a pool have one tag.
        Some((NonNull::new(at as *mut u8)?, self.first().tag()))
    }

    /// A new member of `size` bytes for a tree of the domain `shared`, not in the tree yet. A member may have left for
    /// another domain than the pool's; then it is not served.
    pub(super) fn member(self, size: usize, shared: Option<Shared>) -> Option<Chunk> {
        // Until the header is written: others walk from one to the next.
        let _held = self.hold();
        if self.home.get() != shared {
            return None;
        }
        let (at, tag) = self.cut_held(size)?;
        // SAFETY: the room is free and nobody else's.
        Some(unsafe { Chunk::create(at, tag, size) })
    }

    #[inline(never)]
    fn find_room(self, room: usize) -> Option<usize> {
        if room > BLOCK_ROOM_MAX {
            return None;
        }
        if self.window.is_open() {
            self.close_window();
            if let Some(at) = self.announced.cut(room) {
                return Some(at);
            }
        }
        let growth = self.growth.get();
        // What it has anyway is used first, when it is used for the first time since the pool was emptied.
        if growth.grows
            && !self.announced.is_binning()
            && let Some(block) = self.take_spare(room)
        {
            self.announced.add(block);
            return self.announced.cut(room);
        }
        let part = if growth.grows { zone::HALF } else { zone::EIGHTH };
        if let Some(at) = self.announced.reuse(room, part, self.chunk()) {
            return Some(at);
        }
        if self.promised.get() >= room {
            self.announced.add(self.promised_block(room)?);
            return self.announced.cut(room);
        }
        if room > growth.member_max as usize {
            return None;
        }
        if growth.grows {
            self.announced.add(self.next_block(room)?);
            return self.announced.cut(room);
        }
        if let Some(at) = self.overflow.cut(room).or_else(|| self.overflow.reuse(room, part, self.chunk())) {
            return Some(at);
        }
        self.overflow.add(self.next_block(room)?);
        self.overflow.cut(room)
    }

    /// A block of the announced room that has none yet, if that much is left.
    fn promised_block(self, room: usize) -> Option<NonNull<Block>> {
        let promised = self.promised.get();
        if promised < room.max(1) {
            return None;
        }
        let bytes = promised.min(ANNOUNCED_BLOCK_MAX).max(room);
        let block = self.new_block(bytes, false)?;
        self.promised.set(promised - bytes);
        Some(block)
    }

    /// A block beyond the announced room: one that is laid by and has `room`, or a new one.
    fn next_block(self, room: usize) -> Option<NonNull<Block>> {
        if let Some(block) = self.take_spare(room) {
            return Some(block);
        }
        let (bytes, growth) = (self.next_growth.get(), self.growth.get());
        let block = self.new_block((bytes - BLOCK).max(room), true)?;
        self.next_growth.set((bytes * 2).min(growth.last as usize));
        Some(block)
    }

    /// A block with at least `room` bytes for members; of announced room, with exactly as many.
    fn new_block(self, room: usize, beyond: bool) -> Option<NonNull<Block>> {
        let (at, tag) = store::take_block(self.heap()?, BLOCK + room)?;
        // SAFETY: a slot taken just now, long enough.
        unsafe {
            let room = if beyond { store::bytes_of(at) - BLOCK } else { room };
            let block = Block::create(at, tag, self.0, self.first().tag(), at.addr().get() + BLOCK, room);
            block.as_ref().overflow.set(beyond && !self.growth.get().grows);
            block.as_ref().beyond.set(beyond);
            Some(block)
        }
    }

    /// The heap that its blocks come from.
    fn heap(self) -> Option<HeapRef> {
        store::heap_for(self.home.get(), Some(self.chunk()))
    }

    /// The pool's own chunk, which has been freed if the pool is orphaned.
    #[inline]
    fn chunk(self) -> Chunk {
        // SAFETY: its header lies right behind the record, for as long as the pool is there.
        unsafe { Chunk::from_header(self.0.add(1).cast()) }
    }

    /// Takes back the room of `member`, which is freed.
    #[inline(always)]
    pub(super) fn put_back(member: Chunk, location: *const c_char) {
        PoolRef::put_back_into(Block::of_member(member), member, location);
    }

    #[inline(always)]
    fn put_back_into(block: &Block, member: Chunk, location: *const c_char) {
        let pool = PoolRef(block.pool());
        let held = pool.hold();
        let zone = pool.zone(block);
        let room = room_for(member.size());
        pool.tally.remove(member.size());
        member.stamp_freed(location);
        if zone.put_back(block, member.address().addr().get(), room, location)
            && (pool.orphaned.get() || !zone.is_tidy())
        {
            pool.zone_emptied(held, location);
        }
    }

    /// The member that `suspect` is, if it is one with nothing that a free must act on and no children, and its block.
    #[inline(always)]
    fn plain_leaf(suspect: Suspect) -> Option<(&'static Block, Chunk)> {
        Block::of_plain_member(suspect).filter(|(_, member)| member.child.is_none())
    }

    /// The member that `suspect` is, if it is one without flags, with room for a child of `size` bytes from its pool, and
    /// that room's tag.
    #[inline]
    pub(super) fn cut_below(suspect: Suspect, size: usize) -> Option<(Chunk, NonNull<u8>, u32)> {
        let (block, member) = Block::of_plain_member(suspect)?;
        let (at, tag) = PoolRef(block.pool()).cut(size)?;
        Some((member, at, tag))
    }

    /// [`cut_below`](PoolRef::cut_below), only if the room is at hand. `None` says nothing.
    #[inline(always)]
    pub(super) fn cut_ready_below(suspect: Suspect, size: usize) -> Option<(Chunk, NonNull<u8>, u32)> {
        let (block, member) = Block::of_plain_member(suspect)?;
        let (at, tag) = PoolRef(block.pool()).cut_ready(size)?;
        Some((member, at, tag))
    }

    /// Frees the member that `suspect` is, if it is one with nothing to act on and no children, in a list without a
    /// guard. If not, nothing has happened.
    #[inline(always)]
    pub(super) fn release_quick(suspect: Suspect, location: *const c_char) -> bool {
        let Some((block, member)) = PoolRef::plain_leaf(suspect) else { return false };
        if let Some(parent) = member.parent() {
            if parent.above_has(GUARDED) {
                return false;
            }
            links::bridge(member, parent);
        }
        PoolRef::put_back_into(block, member, location);
        true
    }

    /// The same for a member that is out of the tree but for its next sibling, which is returned.
    #[inline(always)]
    pub(super) fn release_leaf(suspect: Suspect, location: *const c_char) -> Option<Option<Chunk>> {
        let (block, member) = PoolRef::plain_leaf(suspect)?;
        let next = member.next.get();
        PoolRef::put_back_into(block, member, location);
        Some(next)
    }

    /// The pool's own chunk is gone; its members may live on elsewhere.
    pub(super) fn chunk_freed(self, location: *const c_char) {
        let held = self.hold();
        self.drop_bare();
        self.forget_window();
        self.set_irregular();
        self.orphaned.set(true);
        self.zone_emptied(held, location);
    }

    /// Nothing in a zone is alive: its room comes back. With nothing alive at all, the pool goes: who
    /// holds the lock when the last of it dies sees that, and nobody else.
    #[cold]
    fn zone_emptied(self, held: Option<Held<'static>>, location: *const c_char) {
        let (announced, overflow) = (self.announced.live.get(), self.overflow.live.get());
        if announced + overflow == 0 && self.orphaned.get() {
            drop(held);
            return self.give_back(location);
        }
        if announced == 0 {
            self.lay_by(self.announced.clear(), location);
        }
        if overflow == 0 {
            self.lay_by(self.overflow.clear_all(), location);
        }
    }

    /// Gives all blocks back, and with them everything that is still in them.
    pub(super) fn give_back(self, location: *const c_char) {
        self.forget_window();
        self.larges.give_back();
        if !self.has_one_block() {
            self.give_others_back(location);
        }
        Block::give_back(self.first_block(), location);
    }

    /// Whether its first block is all that it has.
    #[inline]
    fn has_one_block(self) -> bool {
        self.announced.blocks.get() == Some(self.first_block())
            && self.overflow.blocks.get().is_none()
            && self.spare.get().is_none()
            && !self.announced.has_bins()
            && !self.overflow.has_bins()
    }

    /// Gives back all that it has but its first block.
    fn give_others_back(self, location: *const c_char) {
        self.announced.drop_bins();
        self.overflow.drop_bins();
        for list in [self.spare.take(), self.overflow.clear_all(), self.announced.clear()] {
            for_each_block(list, &mut |block| Block::give_back(block, location));
        }
    }

    /// Whether `member` counts against a memory limit: it is beyond the room that was announced.
    pub(crate) fn counts(member: Chunk) -> bool {
        Block::of_member(member).beyond.get()
    }

    /// Bytes of room that the pool announced.
    pub(super) fn room(self) -> usize {
        self.announced_room.get()
    }

    /// The pool whose first block fills the slot at `start` of a span with `span_tag`, if one does.
    ///
    /// # Safety
    /// `start` is the start of a slot that has been handed out at some time.
    pub(super) unsafe fn starting_at(start: usize, span_tag: u32) -> Option<PoolRef> {
        let block = NonNull::new(ptr::with_exposed_provenance_mut::<Block>(start))?;
        // SAFETY: slots are large enough and aligned for the fields that are read.
        let head = unsafe { block.as_ref() };
        // SAFETY: within the block.
        let record = unsafe { block.cast::<u8>().add(BLOCK) }.cast();
        (head.is_marked(span_tag) && head.pool() == record).then_some(PoolRef(record))
    }

    /// Visits the members that are alive, and the pool's own chunk.
    ///
    /// # Safety
    /// Nobody changes the pool meanwhile.
    pub(super) unsafe fn for_each_chunk(self, visit: &mut dyn FnMut(Chunk)) {
        if !self.orphaned.get() {
            visit(self.chunk());
        }
        self.announced.for_each_member(visit);
        self.overflow.for_each_member(visit);
    }
}

/// Visits a list of blocks that are in no zone any more.
fn for_each_block(list: Option<NonNull<Block>>, visit: &mut dyn FnMut(NonNull<Block>)) {
    let mut next = list;
    while let Some(block) = next {
        // SAFETY: the blocks are the pool's until the visit.
        next = unsafe { block.as_ref() }.next.get();
        visit(block);
    }
}
