//! Emptying a pool: what it keeps for its next use, and how all its members go at once.

use core::ffi::c_char;
use core::ptr::NonNull;

use super::block::room_for;
use super::{BLOCK, Block, PoolRef, Stats, for_each_block};
use crate::tree::chunk::{Chunk, HEADER};

impl PoolRef {
    /// Forgets all members of a regular pool that threads do not share, but for `name`, if that is the first in its room. Says whether it
    /// could. They are out of the tree then.
    pub(crate) fn forget_members(self, name: Option<Chunk>, location: *const c_char) -> bool {
        debug_assert!(self.home.get().is_none());
        let first = self.first();
        if name.is_some_and(|name| name.address().addr().get() != first.first()) {
            return false;
        }
        let Some(heap) = self.heap() else { return false };
        let has_bare = self.bare.get().is_some();
        self.tally.remove_all();
        self.forget_bare();
        self.lay_by(self.announced.clear(), location);
        self.lay_by(self.overflow.clear_all(), location);
        // Pointers to members that were lead to a tag that is not theirs. Nobody else looks at the chunk meanwhile.
        self.chunk().retag(first.renew_tag(heap));
        if let Some(name) = name {
            let room = room_for(name.size());
            name.retag(first.tag());
            first.cut(room);
            self.announced.live.set(1);
            self.tally.keep(name.size());
        } else if has_bare {
            self.open_ahead();
        }
        true
    }

    /// After its children were freed one by one: if nothing is left of them, it is as it was when it was new.
    pub(crate) fn settle(self) {
        let _held = self.hold();
        if self.members() == 0 {
            self.irregular.set(false);
            self.has_beside.set(false);
            self.mark_shared(false);
        }
    }

    /// Members that are alive.
    fn members(self) -> usize {
        self.announced.members() + self.overflow.members()
    }

    /// What all its members weigh; the bytes of payload that it serves, bare ones included, and how many there are of
    /// both.
    pub(crate) fn contents(self) -> (usize, usize, usize) {
        let _held = self.hold();
        let mut weight = 0;
        for zone in [&self.announced, &self.overflow] {
            for_each_block(zone.blocks.get(), &mut |block| {
                // SAFETY: the pool's.
                let head = unsafe { block.as_ref() };
                if head.beyond.get() {
                    head.for_each_member(&mut |member| weight += HEADER + member.size());
                }
            });
        }
        (weight, self.tally.current(), self.members() + self.tally.bare().1)
    }

    /// What its members count for.
    pub fn stats(self) -> Stats {
        let _held = self.hold();
        self.tally.stats(self.members())
    }

    /// Sets how many bytes it keeps when it is emptied; the first block always stays.
    pub(crate) fn set_keep(self, bytes: usize) {
        let _held = self.hold();
        self.growth.set(super::Growth { keep: bytes, ..self.growth.get() });
        let spare = self.spare.take();
        self.spare_bytes.set(0);
        self.lay_by(spare, core::ptr::null());
    }

    /// Bytes of all blocks that it has, those that are laid by included; what is promised only, not.
    pub fn bytes_held(self) -> usize {
        let _held = self.hold();
        let held = [&self.announced, &self.overflow].map(|zone| {
            let mut bytes = 0;
            for_each_block(zone.blocks.get(), &mut |block| {
                // SAFETY: the pool's.
                bytes += BLOCK + unsafe { block.as_ref() }.capacity();
            });
            bytes
        });
        held[0] + held[1] + self.spare_bytes.get() + self.larges.weight()
    }

    /// Takes blocks that a zone has given up: keeps what the limit allows, and gives the others back.
    pub(super) fn lay_by(self, blocks: Option<NonNull<Block>>, location: *const c_char) {
        if blocks.is_none() {
            return;
        }
        let growth = self.growth.get();
        let first = BLOCK + self.first().capacity();
        let heap = self.heap();
        let mut kept: Option<(NonNull<Block>, &Block)> = None;
        for_each_block(blocks, &mut |block| {
            // SAFETY: the pool's, in no zone.
            let head = unsafe { block.as_ref() };
            let bytes = BLOCK + head.capacity();
            let spare = self.spare_bytes.get() + bytes;
            if !head.beyond.get() {
                self.promised.set(self.promised.get() + head.capacity() as u32);
                Block::give_back(block, location);
            } else if let Some(heap) = heap
                && first.saturating_add(spare) <= growth.keep
            {
                head.lay_by(heap, location);
                if let Some((_, last)) = kept {
                    last.next.set(Some(block));
                }
                kept = Some((kept.map_or(block, |(first, _)| first), head));
                self.spare_bytes.set(spare);
            } else {
                Block::give_back(block, location);
            }
        });
        if let Some((first, last)) = kept {
            last.next.set(self.spare.get());
            self.spare.set(Some(first));
        }
        if self.spare.get().is_none() {
            self.growth.set(super::Growth { next: growth.first, ..growth });
        }
    }

    /// The first block laid by that has `room`, ready for members.
    pub(super) fn take_spare(self, room: usize) -> Option<NonNull<Block>> {
        let mut before: Option<NonNull<Block>> = None;
        let mut next = self.spare.get();
        while let Some(block) = next {
            // SAFETY: what is laid by is the pool's.
            let head = unsafe { block.as_ref() };
            next = head.next.get();
            if head.capacity() >= room {
                match before {
                    // SAFETY: as above.
                    Some(before) => unsafe { before.as_ref() }.next.set(next),
                    None => self.spare.set(next),
                }
                self.spare_bytes.set(self.spare_bytes.get() - BLOCK - head.capacity());
                head.take_up(self.first());
                return Some(block);
            }
            before = Some(block);
        }
        None
    }
}
