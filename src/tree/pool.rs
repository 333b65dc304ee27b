//! Pools: a chunk that serves its descendants from a buffer of its own.
//!
//! ```text
//! first block: ├ Block ─┼ Pool ──┼ header of the pool's chunk ┼ its payload ┼ members … → bump … end ┤
//! overflow:    ├ Block ─┼ members … → bump … end ┤
//! ```
//! A *block* fills one slot or span of the heap, so that from a member's address the start of its
//! block, and with it the pool, is found by arithmetic. Members are cut off the current block; freed
//! ones go back to its end, or into bins by size for reuse when the block is used up; then come
//! overflow blocks, each twice as large as the one before. Pools do not lie in each other: a pool
//! below a pool has a first block of its own.
//!
//! `live` counts the members and, while it lives, the pool's own chunk. When only that is left, all
//! room comes back; when nothing is left, all blocks go.
//!
//! A pool is *regular* while every chunk below it is a member of it, every member lies below it, and
//! none has anything that a free must act on (side record, reference, limit). A regular pool is
//! freed by giving its blocks back: its members need not be visited.
//!
//! A pool is used by whoever owns the tree it lies in, without a lock, until a member is moved out of
//! that tree: from then on, trees of two threads may draw on it, and it takes its lock.

use core::cell::Cell;
use core::ffi::c_char;
use core::ops::Deref;
use core::ptr::{self, NonNull};

use super::chunk::{Chunk, HEADER, Header, MEMBER, POOL};
use super::store;
use crate::mem::lock::{Held, Lock};
use crate::mem::span::SpanRef;
use crate::process::TAG_FREED;

/// The smallest overflow block, in bytes.
const OVERFLOW_FIRST: usize = 2 << 10;
/// The largest overflow block.
const OVERFLOW_LAST: usize = 1 << 20;
/// The largest room that a member gets in an overflow block. What needs more comes from the heap.
const OVERFLOW_MEMBER_MAX: usize = 32 << 10;
/// The largest first block. Larger pools get the rest of their room in further blocks.
const FIRST_BLOCK_MAX: usize = 1 << 20;
const BINS: usize = 8;
/// The first word of a few bytes in a block that are nobody's.
const PADDING: u32 = TAG_FREED | 1;
/// How many pieces of a bin are looked at for one that fits.
const PROBES: usize = 8;

/// The head of a block. Its first word is where a chunk has its tag.
#[repr(C, align(16))]
#[derive(Debug)]
pub struct Block {
    /// The complement of the span's tag: this slot is a block.
    mark: Cell<u32>,
    /// The tag of the members in it.
    tag: Cell<u32>,
    pool: Cell<NonNull<Pool>>,
    next: Cell<Option<NonNull<Block>>>,
    bump: Cell<usize>,
    end: Cell<usize>,
    /// Where the block was freed, once it was: where a chunk has its name.
    freed_at: Cell<*const c_char>,
    /// Members here count against a memory limit: they are beyond the room that the pool announced.
    overflow: Cell<bool>,
}

const _: () = assert!(size_of::<Block>() == 64);
const _: () = assert!(core::mem::offset_of!(Block, freed_at) == core::mem::offset_of!(Header, name));

/// A free piece in a bin: the head of a freed member.
#[repr(C)]
struct Piece {
    tag: u32,
    /// Bytes of the payload that the piece could have.
    size: Cell<u32>,
    next: Cell<Option<NonNull<Piece>>>,
}

/// See the module.
#[repr(C, align(16))]
#[derive(Debug)]
pub struct Pool {
    /// The block that members are cut from.
    current: Cell<NonNull<Block>>,
    live: Cell<usize>,
    irregular: Cell<bool>,
    shared: Cell<bool>,
    lock: Lock,
    /// Bytes of room that were asked for.
    announced: Cell<usize>,
    /// Bytes of announced room that have no block yet.
    promised: Cell<usize>,
    next_overflow: Cell<usize>,
    bins: [Cell<Option<NonNull<Piece>>>; BINS],
    /// All blocks but the first, the newest first.
    overflow: Cell<Option<NonNull<Block>>>,
}

const POOL_RECORD: usize = size_of::<Pool>();
const BLOCK: usize = size_of::<Block>();
/// A block with less than this left is used up.
const MIN_MEMBER: usize = HEADER + 16;
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
        // comes to a PoolRef; all fields are cells or a lock.
        unsafe { self.0.as_ref() }
    }
}

/// What a member of `size` bytes takes from a block.
#[inline]
const fn room_for(size: usize) -> usize {
    (HEADER + size).next_multiple_of(16)
}

impl Block {
    /// The tag of the members of the block in the slot at `start` of a span with `span_tag`.
    ///
    /// # Errors
    /// There is no block: where the one that was there was freed, if that is known, or null.
    ///
    /// # Safety
    /// `start` is the start of a slot in mapped memory.
    pub(super) unsafe fn tag_at(start: usize, span_tag: u32) -> Result<u32, *const c_char> {
        // SAFETY: slots are large enough and aligned for the fields that are read.
        let block = unsafe { &*ptr::with_exposed_provenance::<Block>(start) };
        match block.mark.get() {
            mark if mark == !span_tag => Ok(block.tag.get()),
            TAG_FREED => Err(block.freed_at.get()),
            _ => Err(ptr::null()),
        }
    }

    fn of_member(member: Chunk) -> &'static Block {
        let at = member.address().addr().get();
        // SAFETY: a member lies in a block, which fills a slot of a span in use.
        unsafe { &*ptr::with_exposed_provenance::<Block>(SpanRef::of(at).slot_start(at)) }
    }

    /// Writes the head of a block that fills the `bytes` at `at`, and whose members start at `from`.
    unsafe fn create(
        at: NonNull<u8>,
        pool: NonNull<Pool>,
        tag: u32,
        from: usize,
        bytes: usize,
    ) -> NonNull<Block> {
        let start = at.addr().get();
        // SAFETY: the caller's: a slot just taken.
        let span = unsafe { SpanRef::of(start) };
        let block = Block {
            mark: Cell::new(!span.tag()),
            tag: Cell::new(tag),
            pool: Cell::new(pool),
            next: Cell::new(None),
            bump: Cell::new(start + from),
            end: Cell::new(start + bytes),
            freed_at: Cell::new(ptr::null()),
            overflow: Cell::new(false),
        };
        // SAFETY: as above; the slot is nobody else's.
        unsafe { at.cast().write(block) };
        at.cast()
    }

    /// Bytes that have not been cut off yet.
    fn rest(&self) -> usize {
        self.end.get() - self.bump.get()
    }

    /// Gives the memory back, with a note of where for those who come too late.
    fn give_back(at: NonNull<Block>, location: *const c_char) {
        // SAFETY: the block's slot is the pool's until here, and nothing in it lives.
        unsafe {
            at.as_ref().mark.set(TAG_FREED);
            at.as_ref().freed_at.set(location);
            store::give_raw(at.cast());
        }
    }
}

impl PoolRef {
    /// A chunk of `size` bytes that is a pool with room for `room` bytes of members, their headers
    /// included. It is not in the tree yet.
    pub(super) fn create(size: usize, room: usize) -> Option<Chunk> {
        let front = FRONT + size.next_multiple_of(16);
        let (at, bytes) = store::take_block((front + room).min(front.max(FIRST_BLOCK_MAX)))?;
        // SAFETY: a slot of at least FRONT bytes, nobody else's.
        unsafe {
            let record = at.add(BLOCK).cast::<Pool>();
            let block = Block::create(at, record, store::new_tag() | MEMBER, front, bytes);
            let pool = Pool {
                current: Cell::new(block),
                live: Cell::new(1),
                irregular: Cell::new(false),
                shared: Cell::new(false),
                lock: Lock::new(),
                announced: Cell::new(room),
                promised: Cell::new((front + room).saturating_sub(bytes)),
                next_overflow: Cell::new(OVERFLOW_FIRST),
                bins: [const { Cell::new(None) }; BINS],
                overflow: Cell::new(None),
            };
            record.write(pool);
            let tag = SpanRef::of(at.addr().get()).tag() | POOL;
            Some(Chunk::create(at.add(BLOCK + POOL_RECORD), tag, size))
        }
    }

    /// The pool whose chunk is `chunk`.
    #[inline]
    pub fn of_chunk(chunk: Chunk) -> PoolRef {
        debug_assert!(chunk.has(POOL));
        // SAFETY: the record of a pool lies right before its chunk's header.
        PoolRef(unsafe { chunk.address().sub(POOL_RECORD).cast() })
    }

    /// The pool that `member` was cut from.
    #[inline]
    pub fn of_member(member: Chunk) -> PoolRef {
        debug_assert!(member.has(MEMBER));
        PoolRef(Block::of_member(member).pool.get())
    }

    /// The pool that new children of `parent` are served from.
    #[inline]
    pub fn serving(parent: Chunk) -> Option<PoolRef> {
        if parent.has(MEMBER) {
            Some(PoolRef::of_member(parent))
        } else if parent.has(POOL) {
            Some(PoolRef::of_chunk(parent))
        } else {
            None
        }
    }

    /// A free of this pool must visit what lies below it.
    #[inline]
    pub fn set_irregular(self) {
        self.irregular.set(true);
    }

    /// Whether a free may give the blocks back without a look at the members.
    pub fn is_regular(self) -> bool {
        !self.irregular.get()
    }

    /// A member leaves the tree that the pool lies in.
    pub fn set_shared(self) {
        self.irregular.set(true);
        self.shared.set(true);
    }

    fn hold(&self) -> Option<Held<'_>> {
        if self.shared.get() { Some(self.lock.hold()) } else { None }
    }

    fn first_block(self) -> NonNull<Block> {
        // SAFETY: the record lies right behind the head of the first block.
        unsafe { self.0.cast::<u8>().sub(BLOCK).cast() }
    }

    /// The address of the first member.
    fn first_member(self) -> usize {
        // SAFETY: the header of the pool's chunk lies right behind the record, also after its free.
        let header = unsafe { self.0.add(1).cast::<Header>().as_ref() };
        self.0.addr().get() + POOL_RECORD + room_for(header.size.get() as usize)
    }

    /// A new member of `size` bytes, not in the tree yet.
    #[inline]
    pub(super) fn member(self, size: usize) -> Option<Chunk> {
        let _held = self.hold();
        let room = room_for(size);
        // SAFETY: the current block is one of the pool's.
        let block = unsafe { self.current.get().as_ref() };
        let at = block.bump.get();
        let (at, tag) = if block.end.get() - at >= room {
            block.bump.set(at + room);
            (at, block.tag.get())
        } else {
            self.find_room(room)?
        };
        self.live.set(self.live.get() + 1);
        // SAFETY: the room is free and nobody else's.
        Some(unsafe { Chunk::create(NonNull::new_unchecked(at as *mut u8), tag, size) })
    }

    /// Room that was freed, or a new block.
    #[cold]
    fn find_room(self, room: usize) -> Option<(usize, u32)> {
        // SAFETY: all blocks of a pool have one tag.
        let tag = unsafe { self.first_block().as_ref() }.tag.get();
        if let Some(at) = self.take_piece(room) {
            return Some((at, tag));
        }
        let promised = self.promised.get();
        let is_promised = promised >= room;
        if !is_promised && room > OVERFLOW_MEMBER_MAX {
            return None;
        }
        let want = if is_promised { promised.min(FIRST_BLOCK_MAX) } else { self.next_overflow.get() };
        let (at, bytes) = store::take_block(want.max(BLOCK + room))?;
        // SAFETY: a slot just taken, large enough for a head.
        unsafe {
            let block = Block::create(at, self.0, tag, BLOCK, bytes);
            let head = block.as_ref();
            if is_promised {
                self.promised.set(promised.saturating_sub(bytes - BLOCK));
            } else {
                head.overflow.set(true);
                self.next_overflow.set((want * 2).min(OVERFLOW_LAST));
            }
            head.next.set(self.overflow.get());
            self.overflow.set(Some(block));
            let at = head.bump.get();
            head.bump.set(at + room);
            // Announced room is used before any overflow, so a block of it with room stays current.
            let current = self.current.get().as_ref();
            if current.rest() >= MIN_MEMBER && !current.overflow.get() {
                self.bin_rest_of(head);
            } else {
                self.bin_rest_of(current);
                self.current.set(block);
            }
            Some((at, tag))
        }
    }

    /// Keeps what is left of a block that is no longer the current one.
    fn bin_rest_of(self, block: &Block) {
        let (at, rest) = (block.bump.get(), block.rest());
        if rest >= HEADER {
            block.bump.set(block.end.get());
            self.bin_piece(at, rest);
        }
    }

    fn bin_piece(self, at: usize, room: usize) {
        let piece = at as *mut Piece;
        let bin = &self.bins[bin_of(room)];
        let head =
            Piece { tag: TAG_FREED, size: Cell::new((room - HEADER) as u32), next: Cell::new(bin.get()) };
        // SAFETY: the room is the pool's, free, and aligned like every member.
        unsafe { piece.write(head) };
        bin.set(NonNull::new(piece));
    }

    /// Room from the bins: a piece that is large enough, its rest kept.
    fn take_piece(self, room: usize) -> Option<usize> {
        for bin in &self.bins[bin_of(room)..] {
            let mut link = bin;
            for _ in 0..PROBES {
                let Some(piece) = link.get() else { break };
                // SAFETY: pieces in bins are free room of this pool, written by `bin_piece`.
                let head = unsafe { piece.as_ref() };
                let has = room_for(head.size.get() as usize);
                if has >= room {
                    link.set(head.next.get());
                    let at = piece.addr().get();
                    self.bin_tail(at + room, has - room);
                    return Some(at);
                }
                // SAFETY: as above; the reference outlives the step.
                link = unsafe { &(*piece.as_ptr()).next };
            }
        }
        None
    }

    /// Takes back the room of `member`, whose header has been stamped.
    pub(super) fn put_back(self, member: Chunk, location: *const c_char) {
        let gone = {
            let _held = self.hold();
            let block = Block::of_member(member);
            let at = member.address().addr().get();
            let room = room_for(member.size());
            if at + room == block.bump.get() {
                block.bump.set(at);
            } else {
                // Only the first two words change: the stamp stays.
                self.bin_piece(at, room);
            }
            self.drop_one()
        };
        if gone {
            self.give_back(location);
        }
    }

    /// The pool's own chunk is gone; its members may live on elsewhere.
    pub(super) fn chunk_freed(self, location: *const c_char) {
        let gone = {
            let _held = self.hold();
            self.irregular.set(true);
            self.drop_one()
        };
        if gone {
            self.give_back(location);
        }
    }

    /// One less alive. Says whether that was the last.
    fn drop_one(self) -> bool {
        let live = self.live.get() - 1;
        self.live.set(live);
        if live == 1 && !self.chunk_is_gone() {
            self.reset();
        }
        live == 0
    }

    fn chunk_is_gone(self) -> bool {
        // SAFETY: the header of the pool's chunk lies right behind the record.
        unsafe { self.0.add(1).cast::<Header>().as_ref() }.tag.get() == TAG_FREED
    }

    /// No member is alive: all room comes back, the overflow goes.
    fn reset(self) {
        let first = self.first_block();
        self.give_back_overflow(ptr::null());
        self.current.set(first);
        // SAFETY: the first block lives as long as the pool.
        unsafe { first.as_ref() }.bump.set(self.first_member());
        for bin in &self.bins {
            bin.set(None);
        }
        self.next_overflow.set(OVERFLOW_FIRST);
    }

    fn give_back_overflow(self, location: *const c_char) {
        let mut next = self.overflow.take();
        while let Some(block) = next {
            // SAFETY: a block of this pool, given back once.
            let head = unsafe { block.as_ref() };
            next = head.next.get();
            if !head.overflow.get() {
                let room = head.end.get() - block.addr().get() - BLOCK;
                self.promised.set((self.promised.get() + room).min(self.announced.get()));
            }
            Block::give_back(block, location);
        }
    }

    /// Gives all blocks back, and with them everything that is still in them.
    pub(super) fn give_back(self, location: *const c_char) {
        self.give_back_overflow(location);
        Block::give_back(self.first_block(), location);
    }

    /// Whether `member` counts against a memory limit.
    pub(crate) fn counts(member: Chunk) -> bool {
        Block::of_member(member).overflow.get()
    }

    /// Bytes of room that the pool announced.
    pub(super) fn room(self) -> usize {
        self.announced.get()
    }

    /// Makes `member` `size` bytes long without moving it, if it is the last of its block and there is
    /// room, or if it shrinks. The tail of the last comes back.
    pub(super) fn resize_in_place(self, member: Chunk, size: usize) -> bool {
        let _held = self.hold();
        let block = Block::of_member(member);
        let at = member.address().addr().get();
        let (old, new) = (room_for(member.size()), room_for(size));
        if new != old {
            if at + old == block.bump.get() && block.end.get() - at >= new {
                block.bump.set(at + new);
            } else if new > old {
                return false;
            } else {
                self.bin_tail(at + new, old - new);
            }
        }
        member.size.set(size as u32);
        true
    }

    /// Keeps the `room` bytes at `at`, behind a member that does not need them; a few bytes are only
    /// marked, so that who walks over the block can step over them.
    fn bin_tail(self, at: usize, room: usize) {
        if room >= HEADER {
            self.bin_piece(at, room);
        } else if room > 0 {
            let padding = Piece { tag: PADDING, size: Cell::new(room as u32), next: Cell::new(None) };
            // SAFETY: at least 16 bytes of free room of this pool.
            unsafe { (at as *mut Piece).write(padding) };
        }
    }

    /// If `member` is the only one, the address at the start of the pool that it could slide to,
    /// with room for `size` bytes there. The caller moves it and calls [`slid`](PoolRef::slid).
    pub(super) fn slide_target(self, member: Chunk, size: usize) -> Option<NonNull<u8>> {
        let alone = self.live.get() == if self.chunk_is_gone() { 1 } else { 2 };
        // SAFETY: the first block lives as long as the pool.
        let first = unsafe { self.first_block().as_ref() };
        let start = self.first_member();
        let inside = (start..first.end.get()).contains(&member.address().addr().get());
        if self.shared.get() || !alone || !inside || first.end.get() - start < room_for(size) {
            return None;
        }
        NonNull::new(start as *mut u8)
    }

    /// The only member stands at the start now, with its new size.
    pub(super) fn slid(self, member: Chunk) {
        self.reset();
        // SAFETY: the first block lives as long as the pool.
        let first = unsafe { self.first_block().as_ref() };
        first.bump.set(self.first_member() + room_for(member.size()));
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
        (head.mark.get() == !span_tag && head.pool.get() == record).then_some(PoolRef(record))
    }

    /// Visits the members that are alive, and the pool's own chunk.
    ///
    /// # Safety
    /// Nobody changes the pool meanwhile.
    pub(super) unsafe fn for_each_chunk(self, visit: &mut dyn FnMut(Chunk)) {
        if !self.chunk_is_gone() {
            // SAFETY: the header of the pool's chunk lies right behind the record.
            visit(unsafe { Chunk::from_header(self.0.add(1).cast()) });
        }
        let mut next = self.overflow.get();
        // SAFETY: blocks of this pool, whose room up to `bump` is members and freed members, one
        // behind the other.
        unsafe {
            self.visit_block(self.first_block().as_ref(), self.first_member(), visit);
            while let Some(block) = next {
                self.visit_block(block.as_ref(), block.addr().get() + BLOCK, visit);
                next = block.as_ref().next.get();
            }
        }
    }

    unsafe fn visit_block(self, block: &Block, from: usize, visit: &mut dyn FnMut(Chunk)) {
        let mut at = from;
        while at < block.bump.get() {
            // SAFETY: a member or a freed one starts here: the caller's.
            let header = unsafe { &*(at as *const Header) };
            let size = header.size.get() as usize;
            match header.tag.get() {
                PADDING => at += size,
                TAG_FREED => at += room_for(size),
                _ => {
                    // SAFETY: neither free nor padding: a live member.
                    visit(unsafe { Chunk::from_header(NonNull::from_ref(header)) });
                    at += room_for(size);
                }
            }
        }
    }
}

/// The bin that a piece of `room` bytes goes into: one for each doubling.
fn bin_of(room: usize) -> usize {
    ((room / HEADER).ilog2() as usize).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_grow_with_the_room() {
        assert_eq!(bin_of(48), 0);
        assert_eq!(bin_of(95), 0);
        assert_eq!(bin_of(96), 1);
        assert_eq!(bin_of(1 << 20), BINS - 1);
    }
}
