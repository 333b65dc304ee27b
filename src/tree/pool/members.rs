//! Members of pools: where their room is cut from, and how it comes back.
//!
//! The announced zone is asked first: what is left of its newest block, then a block that is laid by, room that has been
//! freed, and announced room that has no block yet. What a growable pool needs beyond that is added to the same zone;
//! another pool has the overflow for it.

use core::ffi::c_char;
use core::ptr::NonNull;

use super::block::{BLOCK, Block, room_for};
use super::growth::{ANNOUNCED_BLOCK_MAX, Growth};
use super::{Origin, PoolRef, zone};
use crate::mem::geometry::{SLICE, USABLE_SLICES};
use crate::mem::lock::Held;
use crate::tree::chunk::{Chunk, GUARDED};
use crate::tree::sight::Suspect;
use crate::tree::{links, store};

/// The largest room in a block: all of it lies in one segment, so that its members can be found.
const BLOCK_ROOM_MAX: usize = USABLE_SLICES * SLICE - BLOCK;

/// Room for a member, which has no header yet. Who else has the pool waits until this is dropped, and looks then.
pub(in crate::tree) struct Cut {
    pub(in crate::tree) at: NonNull<u8>,
    /// The tag of the member.
    pub(in crate::tree) tag: u32,
    _held: Option<Held<'static>>,
}

impl PoolRef {
    /// Room for a member of `size` bytes, only from what is left of the newest block of the announced zone, and not for who
    /// draws on the pool of a shared context from elsewhere. `None` says nothing.
    #[inline(always)]
    pub(in crate::tree) fn cut_ready(self, size: usize) -> Option<Cut> {
        self.cut_ready_held(size, self.hold())
    }

    /// [`cut_ready`](PoolRef::cut_ready), with the lock of the pool, if that is shared.
    #[inline(always)]
    fn cut_ready_held(self, size: usize, held: Option<Held<'static>>) -> Option<Cut> {
        // A member may have left the pool's domain.
        if held.is_some() && self.home.get().is_some() {
            return None;
        }
        let (at, tag) = self.announced.cut(room_for(size))?;
        self.tally.add(size);
        // SAFETY: room of a block is not at address 0.
        let at = unsafe { NonNull::new_unchecked(at as *mut u8) };
        Some(Cut { at, tag, _held: held })
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
        Block::of_live_member(suspect, 0).filter(|(_, member)| member.child.is_none())
    }

    /// The member that `suspect` is, if it is one without flags, with room for a child of `size` bytes from its pool, and
    /// that room's tag.
    #[inline]
    pub(in crate::tree) fn cut_below(suspect: Suspect, size: usize) -> Option<(Chunk, NonNull<u8>, u32)> {
        let (block, member) = Block::of_live_member(suspect, 0)?;
        let (at, tag) = Origin::of_block(block).cut(size)?;
        Some((member, at, tag))
    }

    /// [`cut_below`](PoolRef::cut_below), only if the room is at hand. `None` says nothing.
    #[inline(always)]
    pub(in crate::tree) fn cut_ready_below(suspect: Suspect, size: usize) -> Option<(Chunk, Cut)> {
        let (block, member) = Block::of_live_member(suspect, 0)?;
        let held = block.hold();
        Some((member, PoolRef(block.pool()).cut_ready_held(size, held)?))
    }

    /// Frees the member that `suspect` is, if it is one with nothing to act on and no children, in a list without a
    /// guard. If not, nothing has happened.
    #[inline(always)]
    pub(in crate::tree) fn release_quick(suspect: Suspect, location: *const c_char) -> bool {
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
    pub(in crate::tree) fn release_leaf(suspect: Suspect, location: *const c_char) -> Option<Option<Chunk>> {
        let (block, member) = PoolRef::plain_leaf(suspect)?;
        let next = member.next.get();
        PoolRef::put_back_into(block, member, location);
        Some(next)
    }
}
