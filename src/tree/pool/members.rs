//! Members of pools: where their room is cut from, and how it comes back.
//!
//! The announced zone is asked first: what is left of its newest block, then a block that is laid by, room that has been
//! freed, and announced room that has no block yet. What a growable pool needs beyond that is added to the same zone;
//! another pool has the overflow for it.

use core::ffi::c_char;
use core::ptr::NonNull;

use super::block::{BLOCK, Block, room_for};
use super::growth::{ANNOUNCED_BLOCK_MAX, Growth};
use super::{Origin, PoolRef, Zone, zone};
use crate::mem::geometry::{SLICE, USABLE_SLICES};
use crate::mem::lock::Held;
use crate::tree::chunk::{Chunk, GUARDED};
use crate::tree::sight::{Found, Suspect};
use crate::tree::{links, store};

/// The largest room in a block: all of it lies in one segment, so that its members can be found.
const BLOCK_ROOM_MAX: usize = USABLE_SLICES * SLICE - BLOCK;

/// Room for a member, which has no header yet, and its tag. Who else has the pool waits until this is dropped, and looks then.
pub(in crate::tree) struct Cut {
    pub(in crate::tree) at: NonNull<u8>,
    pub(in crate::tree) tag: u32,
    pub(super) _held: Option<Held<'static>>,
}

impl PoolRef {
    /// Room for a member of `size` bytes, and its tag, only from what is left of the newest block of the announced zone, if only
    /// one tree draws on the pool. `None` says nothing.
    #[inline(always)]
    pub(in crate::tree) fn cut_ready(self, size: usize) -> Option<(NonNull<u8>, u32)> {
        if self.is_shared() { None } else { self.cut_now(size) }
    }

    #[inline(always)]
    fn cut_now(self, size: usize) -> Option<(NonNull<u8>, u32)> {
        let (at, tag) = self.announced.cut(room_for(size))?;
        self.tally.add(size);
        // SAFETY: room of a block is not at address 0.
        Some((unsafe { NonNull::new_unchecked(at as *mut u8) }, tag))
    }

    /// Room for a member of `size` bytes, and its tag, from wherever the pool has it. There is no header yet, and nobody
    /// looks before there is one.
    #[inline(always)]
    pub(super) fn cut_held(self, size: usize) -> Option<(NonNull<u8>, u32)> {
        let room = room_for(size);
        let (at, tag) = match self.announced.cut(room) {
            Some(cut) => cut,
            None => self.find_room(room)?,
        };
        self.tally.add(size);
        Some((NonNull::new(at as *mut u8)?, tag))
    }

    #[inline(never)]
    fn find_room(self, room: usize) -> Option<(usize, u32)> {
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
        if self.orphaned.get() {
            return self.overflow.cut(room).or_else(|| self.overflow.reuse(room, part, self.chunk()));
        }
        if self.promised.get() as usize >= room {
            self.announced.add(self.promised_block(room)?);
            return self.announced.cut(room);
        }
        if room > growth.member_max() {
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
    pub(super) fn promised_block(self, room: usize) -> Option<NonNull<Block>> {
        let promised = self.promised.get() as usize;
        if promised < room.max(1) {
            return None;
        }
        let bytes = promised.min(ANNOUNCED_BLOCK_MAX).max(room);
        let block = self.new_block(bytes, false)?;
        self.promised.set((promised - bytes) as u32);
        Some(block)
    }

    /// A block beyond the announced room: one that is laid by and has `room`, or a new one.
    pub(super) fn next_block(self, room: usize) -> Option<NonNull<Block>> {
        if let Some(block) = self.take_spare(room) {
            return Some(block);
        }
        let growth = self.growth.get();
        let bytes = growth.next as usize;
        let block = self.new_block((bytes - BLOCK).max(room), true)?;
        self.growth.set(Growth { next: (growth.next * 2).min(growth.last), ..growth });
        Some(block)
    }

    /// A block with at least `room` bytes for members; of announced room, with exactly as many.
    fn new_block(self, room: usize, beyond: bool) -> Option<NonNull<Block>> {
        let taken = store::take_block(self.heap()?, BLOCK + room, false)?;
        // SAFETY: a slot or block taken just now, long enough.
        unsafe {
            let room = if beyond { store::bytes_of(taken.at) - BLOCK } else { room };
            let first = taken.at.addr().get() + BLOCK;
            let block = Block::create(taken, self.0, first, room);
            block.as_ref().overflow.set(beyond && !self.growth.get().grows);
            block.as_ref().beyond.set(beyond);
            block.as_ref().join(self.first());
            Some(block)
        }
    }

    /// Takes back the room of `member`, which is freed.
    #[inline(always)]
    pub(in crate::tree) fn put_back(member: Chunk, location: *const c_char) {
        PoolRef::put_back_into(Block::of_member(member), member, location);
    }

    #[inline(always)]
    fn put_back_into(block: &Block, member: Chunk, location: *const c_char) {
        let held = block.hold();
        let pool = PoolRef(block.pool());
        let zone = pool.zone_of(block);
        let room = room_for(member.size());
        pool.tally.remove(member.size());
        member.stamp_freed(location);
        zone.put_back(block, member.address().addr().get(), room, location);
        pool.lost(zone, 1, held, location);
    }

    /// So many members of `zone`, whose room came back, are alive no more.
    #[inline(always)]
    pub(super) fn lost(
        self,
        zone: &Zone,
        members: usize,
        held: Option<Held<'static>>,
        location: *const c_char,
    ) {
        if zone.lose(members) && (self.orphaned.get() || !zone.is_tidy()) {
            self.zone_emptied(held, location);
        }
    }

    /// The member that `suspect` is, if it is one without flags, with room for a child of `size` bytes from its pool.
    #[inline]
    pub(in crate::tree) fn cut_below(suspect: Suspect, size: usize) -> Option<(Chunk, Cut)> {
        let (block, member) = Block::of_live_member(suspect, 0)?;
        Some((member, Origin::of_block(block).cut(size)?))
    }

    /// Room for a child of `size` bytes of `parent`, a [plain member](Found::is_plain_member), and its tag: as for
    /// [`cut_ready`](PoolRef::cut_ready).
    #[inline(always)]
    pub(in crate::tree) fn cut_ready_below(parent: Found, size: usize) -> Option<(NonNull<u8>, u32)> {
        PoolRef::unshared_of(parent)?.1.cut_now(size)
    }

    /// Makes `member`, a [plain one](Found::is_plain_member), `size` bytes long, if it is shorter, the last of its block, but not
    /// the only one, there is room, and only one tree draws on the pool. Says whether it could; no says nothing.
    #[inline(always)]
    pub(in crate::tree) fn extend(member: Found, size: usize) -> bool {
        let Some((block, pool)) = PoolRef::unshared_of(member) else { return false };
        let (member, old) = (member.chunk, member.chunk.size());
        let at = member.address().addr().get();
        let is_last = at + room_for(old) == block.bump.get();
        if size <= old || !is_last || pool.announced.live.get() == 1 || block.end.get() - at < room_for(size)
        {
            return false;
        }
        block.bump.set(at + room_for(size));
        pool.tally.grow(size - old);
        member.size.set(size as u32);
        true
    }

    /// The block of `member`, a [plain one](Found::is_plain_member), and its pool, if only one tree draws on that.
    #[inline(always)]
    fn unshared_of(member: Found) -> Option<(&'static Block, PoolRef)> {
        debug_assert!(member.is_plain_member());
        // SAFETY: the block has the span to itself.
        let block = unsafe { Block::of_span(member.span) };
        (!block.shared.get()).then(|| (block, PoolRef(block.pool())))
    }

    /// Frees the member that `suspect` is, if it is one with nothing to act on and no children, in a list without a
    /// guard. If not, nothing has happened.
    #[inline(always)]
    pub(in crate::tree) fn release_quick(suspect: Suspect, location: *const c_char) -> bool {
        match Block::of_live_member(suspect, 0) {
            Some((block, member)) => PoolRef::release_from(block, member, location),
            None => false,
        }
    }

    /// The same for a [plain member](Found::is_plain_member).
    #[inline(always)]
    pub(in crate::tree) fn release_plain(member: Found, location: *const c_char) -> bool {
        debug_assert!(member.is_plain_member());
        // SAFETY: the block has the span to itself.
        PoolRef::release_from(unsafe { Block::of_span(member.span) }, member.chunk, location)
    }

    #[inline(always)]
    fn release_from(block: &Block, member: Chunk, location: *const c_char) -> bool {
        if member.child.is_some() {
            return false;
        }
        if let Some(parent) = member.parent() {
            if parent.above_has(GUARDED) {
                return false;
            }
            links::bridge(member, parent);
        }
        PoolRef::put_back_into(block, member, location);
        true
    }
}
