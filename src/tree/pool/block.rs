//! A block: one slot or span of the heap, from which a pool cuts members one behind the other.
//!
//! ```text
//! ├ Block, 64 bytes ─┼ … ─┼ member ┼ member ┼ freed ┼ member ┼ … bump → … ← end ┼ bare bytes ┤
//! ```
//! From a member's address the start of the block is found by arithmetic, because the block starts
//! where its slot does. Invariant: from the first member up to `bump` there is one chunk, freed
//! chunk, or padding behind the other, each saying how long it is. What lies from `end` on has no headers
//! (`bare.rs`), and nobody walks over it. A gap is kept in front of it: so no bare bytes begin where the payload of a
//! member without any does.

use core::cell::Cell;
use core::ffi::c_char;
use core::ptr::{self, NonNull};

use super::Pool;
use crate::mem::heap::HeapRef;
use crate::mem::lock::Held;
use crate::mem::span::SpanRef;
use crate::offsets::offsets;
use crate::process::{self, TAG_FREED};
use crate::tree::chunk::{Chunk, FLAGS, HEADER, Header, MEMBER, SIZE, Tag};
use crate::tree::sight::Suspect;
use crate::tree::store::{self, Room};

/// The tag of padding.
pub const PADDING: u32 = TAG_FREED | 1;

/// The head of a block. Its first word is where a chunk has its tag.
#[repr(C, align(16))]
#[derive(Debug)]
pub(crate) struct Block {
    /// The complement of the span's tag: this slot is a block.
    mark: Tag,
    /// The tag of the members in it: that of the span, if that has nothing else in it.
    tag: Cell<u32>,
    pool: Cell<NonNull<Pool>>,
    /// The next block of the zone.
    pub(super) next: Cell<Option<NonNull<Block>>>,
    pub(super) bump: Cell<usize>,
    pub(super) end: Cell<usize>,
    /// Where the block was freed, once it was: where a chunk has its name.
    freed_at: Cell<*const c_char>,
    /// Where the first member starts.
    first: Cell<usize>,
    /// It belongs to the overflow.
    pub(super) overflow: Cell<bool>,
    /// It is beyond the room that the pool announced.
    pub(super) beyond: Cell<bool>,
    /// Trees of two threads may draw on its pool.
    pub(super) shared: Cell<bool>,
    /// The number of the lock that is held while one of them does.
    lock: Cell<u8>,
    /// Bytes of its room, for members and bare bytes together.
    capacity: Cell<u32>,
}

offsets! {
    /// Where the fields of a block's head lie that say what is in it.
    BlockOffsets of Block { mark, tag, pool, next, bump, end, first, overflow }
}

offsets! {
    /// Where padding says what it is, and how long.
    PaddingOffsets of Padding { tag, room }
}

/// Bytes of a block's head.
pub(super) const BLOCK: usize = size_of::<Block>();

const _: () = assert!(BLOCK == 64);
const _: () = assert!(core::mem::offset_of!(Block, freed_at) == core::mem::offset_of!(Header, name));

/// Bytes between members and bare bytes.
pub(super) const GAP: usize = 16;

/// Free room in a block: a freed header.
#[repr(C)]
pub(super) struct Piece {
    tag: u32,
    /// Bytes of the payload that the piece could have.
    size: u32,
    pub(super) next: Cell<Option<NonNull<Piece>>>,
    unused: [usize; 3],
    /// Where it was freed: where a chunk has its name.
    freed_at: *const c_char,
}

const _: () = assert!(size_of::<Piece>() == HEADER);

/// The first words of a few bytes in a block that are nobody's.
#[repr(C)]
struct Padding {
    tag: u32,
    /// How many bytes.
    room: u32,
}

/// What a member of `size` bytes takes from a block.
#[inline(always)]
pub(super) const fn room_for(size: usize) -> usize {
    // Sizes are far from any overflow.
    (HEADER + size + 15) & !15
}

impl Block {
    /// The block that `member` lies in.
    #[inline(always)]
    pub(super) fn of_member(member: Chunk) -> &'static Block {
        // SAFETY: a member lies in a block.
        unsafe { Block::around(member.address().addr().get()) }
    }

    /// The block that has `span` to itself.
    ///
    /// # Safety
    /// There is one.
    #[inline(always)]
    pub(super) unsafe fn of_span(span: SpanRef) -> &'static Block {
        // SAFETY: blocks begin where their spans do.
        unsafe { Block::filling(span.start()) }
    }

    /// The block that `address` lies in.
    ///
    /// # Safety
    /// It lies in one.
    #[inline(always)]
    pub(super) unsafe fn around(address: usize) -> &'static Block {
        // SAFETY: a block fills a slot of a span in use, or a span.
        unsafe { Block::filling(SpanRef::of(address).slot_around(address)) }
    }

    /// What would be the block in the slot at `start`, if that is one.
    ///
    /// # Safety
    /// `start` is the start of a slot of a span in use; what the slot holds decides what the fields mean.
    #[inline(always)]
    unsafe fn filling(start: usize) -> &'static Block {
        // SAFETY: slots are mapped, aligned, and large enough for a head.
        unsafe { &*ptr::with_exposed_provenance::<Block>(start) }
    }

    /// The member that `suspect` is, if it is one with no other flags than those of `allowed`, and its block.
    #[inline(always)]
    pub(in crate::tree) fn of_live_member(suspect: Suspect, allowed: u32) -> Option<(&'static Block, Chunk)> {
        debug_assert!(allowed & MEMBER == 0);
        let Suspect { header, span } = suspect;
        // SAFETY: the header lies in a slice in use, whose memory can all be read.
        let tag = unsafe { header.as_ref() }.tag.peek();
        // What is shared is turned down before its slot is looked for.
        if tag & FLAGS & !allowed != MEMBER {
            return None;
        }
        // SAFETY: the slice belongs to a span in use.
        let block = unsafe { Block::filling(span.slot_around(header.addr().get())) };
        // SAFETY: its tag is that of the members of its block.
        (block.is_marked(span.tag()) && tag & !allowed == block.tag())
            .then(|| (block, unsafe { Chunk::from_header(header) }))
    }

    /// The tag of the members of the block in the slot at `start` of a span with `span_tag`.
    ///
    /// # Errors
    /// There is no block: where the one that was there was freed, if that is known, or null.
    ///
    /// # Safety
    /// `start` is the start of a slot in mapped memory.
    pub(crate) unsafe fn tag_at(start: usize, span_tag: u32) -> Result<u32, *const c_char> {
        // SAFETY: slots are aligned and large enough for the fields that are read.
        let block = unsafe { &*ptr::with_exposed_provenance::<Block>(start) };
        match block.mark.get() {
            mark if mark == !span_tag => Ok(block.tag.get()),
            TAG_FREED => Err(block.freed_at.get()),
            _ => Err(ptr::null()),
        }
    }

    /// Writes the head of a block into `room`: members lie in the `bytes` at `first`.
    ///
    /// # Safety
    /// The room was taken just now, and is long enough.
    #[inline(always)]
    pub(super) unsafe fn create(
        room: Room,
        pool: NonNull<Pool>,
        first: usize,
        bytes: usize,
    ) -> NonNull<Block> {
        debug_assert!(bytes.is_multiple_of(16) && first.is_multiple_of(16));
        let Room { at, span_tag, tag } = room;
        let block = Block {
            mark: Tag::new(!span_tag),
            tag: Cell::new(tag | MEMBER),
            pool: Cell::new(pool),
            next: Cell::new(None),
            bump: Cell::new(first),
            end: Cell::new(first + bytes),
            freed_at: Cell::new(ptr::null()),
            first: Cell::new(first),
            overflow: Cell::new(false),
            beyond: Cell::new(false),
            shared: Cell::new(false),
            lock: Cell::new(process::pool_lock_number(at.addr().get())),
            capacity: Cell::new(bytes as u32),
        };
        // SAFETY: the caller's.
        unsafe { at.cast().write(block) };
        at.cast()
    }

    /// Gives the memory back, with a note of where for those who come too late.
    pub(super) fn give_back(at: NonNull<Block>, location: *const c_char) {
        // SAFETY: the block's slot is the pool's until here, and nothing in it lives.
        unsafe {
            at.as_ref().mark.set(TAG_FREED);
            at.as_ref().freed_at.set(location);
            store::give_block(at.cast());
        }
    }

    /// Where it begins, and how many bytes it has from there on.
    pub(super) fn extent(&self) -> (usize, usize) {
        // SAFETY: the slot, or span, is the block's.
        (ptr::from_ref(self).addr(), unsafe { store::bytes_of(NonNull::from_ref(self).cast()) })
    }

    /// The record of its pool. Where the pool is shared, only with its lock: an orphan's may move.
    #[inline(always)]
    pub(super) fn pool(&self) -> NonNull<Pool> {
        self.pool.get()
    }

    /// Its pool's record lies there now.
    pub(super) fn lead_to(&self, pool: NonNull<Pool>) {
        self.pool.set(pool);
    }

    /// The lock of its pool, if that is shared.
    #[inline(always)]
    pub(super) fn hold(&self) -> Option<Held<'static>> {
        if self.shared.get() { Some(process::pool_lock(self.lock.get()).hold()) } else { None }
    }

    /// It becomes a block of the pool whose first block is `first`.
    pub(super) fn join(&self, first: &Block) {
        self.shared.set(first.shared.get());
        self.lock.set(first.lock.get());
    }

    #[inline(always)]
    pub(super) fn tag(&self) -> u32 {
        self.tag.get()
    }

    pub(super) fn first(&self) -> usize {
        self.first.get()
    }

    /// Whether a slot whose first word is this block's belongs to a span with `span_tag`.
    #[inline(always)]
    pub(super) fn is_marked(&self, span_tag: u32) -> bool {
        self.mark.peek() == !span_tag
    }

    /// Whether a member in it is alive.
    pub(super) fn has_live_members(&self) -> bool {
        let mut has = false;
        self.for_each_part(&mut |_, _, free| has |= !free);
        has
    }

    /// Whether members were cut off it that have not all come back to its end.
    pub(super) fn has_members(&self) -> bool {
        self.bump.get() != self.first.get()
    }

    /// Bytes that have not been cut off yet.
    #[inline(always)]
    pub(super) fn rest(&self) -> usize {
        self.end.get() - self.bump.get()
    }

    /// Cuts `room` bytes off.
    #[inline(always)]
    pub(super) fn cut(&self, room: usize) -> Option<usize> {
        let at = self.bump.get();
        if self.end.get() - at < room {
            return None;
        }
        self.bump.set(at + room);
        Some(at)
    }

    /// Cuts `room` bytes off the far end, if it has as many and the gap.
    pub(super) fn cut_bare(&self, room: usize) -> Option<usize> {
        let gap = if self.far() == 0 { GAP } else { 0 };
        if self.rest() < room + gap {
            return None;
        }
        self.end.set(self.end.get() - room - gap);
        Some(self.end.get() + GAP)
    }

    /// Cuts all of an empty block off for bare bytes, if it has room for any: where they start, and how many.
    #[inline(always)]
    pub(super) fn cut_all_bare(&self) -> Option<(usize, usize)> {
        debug_assert!(!self.has_members() && self.far() == 0);
        let room = self.capacity().checked_sub(GAP)?;
        self.end.set(self.first.get());
        Some((self.first.get() + GAP, room))
    }

    /// How many bytes [`cut_all_bare`](Block::cut_all_bare) has cut off.
    #[inline(always)]
    pub(super) fn all_bare(&self) -> usize {
        self.capacity() - GAP
    }

    /// Takes back the `room` bytes that were cut off the far end last.
    pub(super) fn take_back_bare(&self, room: usize) {
        self.end.set(self.end.get() + room);
    }

    /// Bare bytes, one behind the other: where they start, and how many.
    pub(super) fn bare(&self) -> (usize, usize) {
        let bytes = self.far().saturating_sub(GAP);
        (self.first.get() + self.capacity() - bytes, bytes)
    }

    /// Bytes that are not for members.
    fn far(&self) -> usize {
        self.first.get() + self.capacity() - self.end.get()
    }

    /// There are no bare bytes any more.
    pub(super) fn clear_bare(&self) {
        self.end.set(self.end.get() + self.far());
    }

    /// Everything in it is gone.
    pub(super) fn clear(&self) {
        self.bump.set(self.first.get());
        self.clear_bare();
    }

    /// Bytes of its room.
    pub(super) fn capacity(&self) -> usize {
        self.capacity.get() as usize
    }

    /// No member in it is alive, and it waits to be used again: until then a pointer into it leads to what was
    /// freed at `location`. The calling thread owns `heap`.
    pub(super) fn lay_by(&self, heap: HeapRef, location: *const c_char) {
        self.clear();
        self.renew_tag(heap);
        self.mark.set(TAG_FREED);
        self.freed_at.set(location);
    }

    /// It is used again in the pool whose first block is `first`.
    pub(super) fn take_up(&self, first: &Block) {
        // SAFETY: the block lies in a span in use.
        self.mark.set(!unsafe { SpanRef::of(ptr::from_ref(self).addr()) }.tag());
        self.join(first);
    }

    /// No member in it is alive: those that come have another tag than those that were. So has the span, if it has the same:
    /// what its tag is now. The calling thread owns `heap`.
    pub(super) fn renew_tag(&self, heap: HeapRef) -> u32 {
        // SAFETY: a block lies in a span in use.
        let span = unsafe { SpanRef::of(ptr::from_ref(self).addr()) };
        if span.is_single() && self.tag.get() == span.tag() | MEMBER {
            heap.renew_tag(span);
            self.tag.set(span.tag() | MEMBER);
            self.mark.set(!span.tag());
        } else {
            self.tag.set(heap.new_tag() | MEMBER);
        }
        span.tag()
    }

    /// Visits what was cut off, one behind the other: where it starts, its bytes, and whether it is free.
    fn for_each_part(&self, visit: &mut dyn FnMut(NonNull<Header>, usize, bool)) {
        let (mut at, bump) = (self.first.get(), self.bump.get());
        while at < bump {
            // SAFETY: up to `bump` there is one header behind the other (see the module).
            let header = unsafe { NonNull::new_unchecked(ptr::with_exposed_provenance_mut::<Header>(at)) };
            // SAFETY: as above; padding has these two words at least. The flags of a member that was moved out may be
            // changed meanwhile by who has it; how long it is, and that it is freed, is said under the pool's lock.
            let (tag, size) = unsafe {
                let tag = header.cast::<Tag>().as_ref().peek();
                (tag, (&raw const (*header.cast::<Padding>().as_ptr()).room).read())
            };
            let room = if tag == PADDING { size as usize } else { room_for((size & SIZE) as usize) };
            at += room;
            visit(header, room, tag & !1 == TAG_FREED);
        }
    }

    /// Visits the members that are alive.
    pub(super) fn for_each_member(&self, visit: &mut dyn FnMut(Chunk)) {
        self.for_each_part(&mut |header, _, free| {
            if !free {
                // SAFETY: neither free nor padding: a live member.
                visit(unsafe { Chunk::from_header(header) });
            }
        });
    }

    /// Visits what is free, joined where it lies side by side: where it starts, its bytes, and where the first
    /// of it was freed. A visit may write over it.
    pub(super) fn for_each_gap(&self, visit: &mut dyn FnMut(usize, usize, *const c_char)) {
        let mut gap: Option<(NonNull<Header>, usize)> = None;
        let mut close = |gap: Option<(NonNull<Header>, usize)>| {
            if let Some((start, room)) = gap {
                let has_header = room >= HEADER;
                // SAFETY: free room of this block; the first of it is a freed header or padding.
                let location = unsafe {
                    let padding = start.cast::<Padding>().as_ref().tag == PADDING;
                    if has_header && !padding { start.cast::<Piece>().as_ref().freed_at } else { ptr::null() }
                };
                visit(start.addr().get(), room, location);
            }
        };
        self.for_each_part(&mut |header, room, free| {
            gap = match (gap.take(), free) {
                (Some((start, before)), true) => Some((start, before + room)),
                (None, true) => Some((header, room)),
                (open, false) => {
                    close(open);
                    None
                }
            };
        });
        close(gap);
    }
}

impl Piece {
    /// Makes free room, at least a header's, known as such.
    pub(super) fn mark(
        at: usize,
        room: usize,
        next: Option<NonNull<Piece>>,
        freed_at: *const c_char,
    ) -> Option<NonNull<Piece>> {
        debug_assert!(room >= HEADER);
        let piece = Piece {
            tag: TAG_FREED,
            size: (room - HEADER) as u32,
            next: Cell::new(next),
            unused: [0; 3],
            freed_at,
        };
        let place = NonNull::new(ptr::with_exposed_provenance_mut::<Piece>(at))?;
        // SAFETY: free room of a block, long enough, and aligned like every member.
        unsafe { place.write(piece) };
        Some(place)
    }

    /// Makes a few free bytes, 16 at least, known as nobody's.
    pub(super) fn pad(at: usize, room: usize) {
        let padding = Padding { tag: PADDING, room: room as u32 };
        // SAFETY: as in `mark`.
        unsafe { ptr::with_exposed_provenance_mut::<Padding>(at).write(padding) };
    }

    /// Bytes of the room.
    pub(super) fn room(&self) -> usize {
        room_for(self.size as usize)
    }
}
