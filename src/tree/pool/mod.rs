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
//! A pool is used by whoever owns the tree it lies in, without a lock, until a member is moved to where it may come to be in
//! another tree: from then on, trees of two threads may draw on it, and it takes a lock (`origin.rs`). If its own chunk is
//! freed while members live on elsewhere, it is an *orphan* (`orphan.rs`).

pub(crate) mod bare;
mod bins;
mod block;
mod growth;
mod large;
mod members;
mod origin;
mod orphan;
mod reset;
mod resize;
mod run;
mod tally;
mod window;
mod zone;

use core::cell::Cell;
use core::ffi::c_char;
use core::ops::Deref;
use core::ptr::{self, NonNull};

use block::BLOCK;
pub(crate) use block::Block;
pub use block::{BlockOffsets, PADDING, PaddingOffsets};
use growth::ANNOUNCED_BLOCK_MAX;
pub(crate) use growth::Growth;
use large::{LARGES, Larges};
pub(crate) use origin::Origin;
pub(crate) use run::Fate;
pub(super) use run::Run;
pub use tally::Stats;
use tally::Tally;
use window::Window;
use zone::Zone;

use super::chunk::{Chunk, GUARDED, HEADER, POOL};
use super::store;
use crate::mem::geometry::{SLICE, USABLE_SLICES};
use crate::mem::heap::HeapRef;
use crate::mem::lock::Held;
use crate::mem::shared::Shared;
use crate::offsets::offsets;
use crate::process::{self, MODE_MALLOC};

/// The record of a pool, in front of its chunk's header. See the module.
#[repr(C, align(16))]
#[derive(Debug)]
pub struct Pool {
    irregular: Cell<bool>,
    /// Its own chunk has been freed; the pool goes with the last member.
    orphaned: Cell<bool>,
    /// A member is, or was, a child of the parent of its own chunk: see `origin`.
    has_beside: Cell<bool>,
    /// Its window was opened ahead, and is open: nothing but bare bytes from there has been taken since.
    ahead: Cell<bool>,
    /// Bytes of announced room that have no block yet.
    promised: Cell<u32>,
    /// Bytes of room that were asked for.
    announced_room: Cell<usize>,
    announced: Zone,
    overflow: Zone,
    growth: Cell<Growth>,
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

const POOL_RECORD: usize = size_of::<Pool>();
/// Bytes in front of the payload of a pool's chunk.
const FRONT: usize = BLOCK + POOL_RECORD + HEADER;

/// A pool that has not been given back. Of one that is shared, and may be an orphan, it is known as long as its lock is held
/// (`origin`).
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
        let taken = store::take_block(heap, front + in_first, true)?;
        let (at, tag) = (taken.at, taken.span_tag);
        // SAFETY: a slot or block that is long enough for all of it, nobody else's.
        unsafe {
            let record = at.add(BLOCK).cast::<Pool>();
            let block = Block::create(taken, record, at.addr().get() + front, in_first);
            let pool = Pool {
                irregular: Cell::new(false),
                home: Cell::new(home),
                orphaned: Cell::new(false),
                has_beside: Cell::new(false),
                ahead: Cell::new(false),
                announced_room: Cell::new(room),
                promised: Cell::new((room - in_first) as u32),
                announced: Zone::new(Some(block)),
                overflow: Zone::new(None),
                growth: Cell::new(growth),
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

    /// A free of this pool must visit what lies below it.
    #[inline]
    fn set_irregular(self) {
        // Once other threads draw on the pool, this is set, and is only read.
        if !self.irregular.get() {
            self.irregular.set(true);
        }
    }

    /// Whether a free may give the blocks back without a look at the members.
    pub fn is_regular(self) -> bool {
        !self.irregular.get()
    }

    /// A member goes to `to`, where the pool does not serve. The first to leave the tree that the pool lies in is still in the
    /// only one that draws on the pool; those to come only read what is set here.
    fn let_go(self, to: Option<Chunk>) {
        let stays_beside = !self.orphaned.get()
            && self.home.get().is_none()
            && !self.chunk().is_dying()
            && to.is_some_and(|to| self.chunk().parent() == Some(to) && !to.above_has(GUARDED));
        if stays_beside {
            self.set_irregular();
            self.has_beside.set(true);
        } else {
            self.set_shared();
        }
    }

    /// The pool's own chunk goes to another parent, or its parent goes elsewhere without it.
    pub(crate) fn move_chunk(self) {
        if self.has_beside.get() {
            self.set_shared();
        }
    }

    fn set_shared(self) {
        self.set_irregular();
        if !self.is_shared() {
            self.close_window();
            self.mark_shared(true);
        }
    }

    /// Whether trees of two threads may draw on it.
    #[inline(always)]
    fn is_shared(self) -> bool {
        self.first().shared.get()
    }

    /// All blocks of its zones say whether it is shared.
    fn mark_shared(self, shared: bool) {
        self.announced.for_each_block(&mut |block| block.shared.set(shared));
        self.overflow.for_each_block(&mut |block| block.shared.set(shared));
    }

    /// Its chunk belongs to `home` now.
    pub(super) fn set_home(self, home: Option<Shared>) {
        let _held = self.hold();
        self.close_window();
        self.home.set(home);
    }

    #[inline(always)]
    fn hold(self) -> Option<Held<'static>> {
        self.first().hold()
    }

    #[inline(always)]
    fn first_block(self) -> NonNull<Block> {
        // SAFETY: the record lies right behind the head of the first block.
        unsafe { self.0.cast::<u8>().sub(BLOCK).cast() }
    }

    /// Of a pool that is shared, for as long as its lock is held: an orphan leaves its first block.
    #[inline(always)]
    fn first(self) -> &'static Block {
        // SAFETY: the first block lives as long as the record, which lies in it.
        unsafe { self.first_block().as_ref() }
    }

    /// The zone that `block` is in. Of a pool that is shared, for as long as its lock is held.
    #[inline(always)]
    fn zone_of(self, block: &Block) -> &'static Zone {
        // SAFETY: as in `deref`.
        let pool = unsafe { self.0.as_ref() };
        if block.overflow.get() { &pool.overflow } else { &pool.announced }
    }

    /// The pool's own chunk, which has been freed if the pool is orphaned.
    #[inline]
    fn chunk(self) -> Chunk {
        // SAFETY: its header lies right behind the record, for as long as the pool is there.
        unsafe { Chunk::from_header(self.0.add(1).cast()) }
    }

    /// The heap that its blocks come from.
    fn heap(self) -> Option<HeapRef> {
        store::heap_for(self.home.get(), Some(self.chunk()))
    }

    /// Nothing in a zone is alive: its room comes back.
    #[cold]
    fn zone_emptied(self, held: Option<Held<'static>>, location: *const c_char) {
        if self.orphaned.get() {
            return self.shrink(held, location);
        }
        if self.announced.live.get() == 0 {
            self.lay_by(self.announced.clear(), location);
        }
        if self.overflow.live.get() == 0 {
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
    #[inline(never)]
    fn give_others_back(self, location: *const c_char) {
        self.announced.drop_bins();
        self.overflow.drop_bins();
        for list in [self.spare.take(), self.overflow.clear_all(), self.announced.clear()] {
            for_each_block(list, &mut |block| Block::give_back(block, location));
        }
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
