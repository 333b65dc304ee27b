//! Changing the size of a member where it is, or at the start of its pool's room.

use core::ffi::c_char;
use core::ptr::{self, NonNull};

use super::PoolRef;
use super::block::{Block, room_for};
use crate::tree::chunk::{Chunk, HEADER};

impl PoolRef {
    /// Makes `member`, which lies in `block`, `size` bytes long without moving it, if it is the last of its block and there is
    /// room, or if it shrinks. What it no longer needs comes back.
    pub(super) fn resize_in_place(self, block: &Block, member: Chunk, size: usize) -> bool {
        let (old, new) = (room_for(member.size()), room_for(size));
        if new > old {
            self.close_window();
        }
        let done = new == old || self.zone_of(block).resize(block, member.address().addr().get(), old, new);
        if done {
            self.tally.resize(member.size(), size);
            member.size.set(size as u32);
        }
        done
    }

    /// Slides `member`, which lies in `block`, if it is the only one in the announced room and not at its start already, to
    /// the start, where it gets `size` bytes. The links still lead to the old place.
    pub(super) fn slide(
        self,
        block: &Block,
        member: Chunk,
        size: usize,
        location: *const c_char,
    ) -> Option<Chunk> {
        let first = self.first();
        let (from, to) = (member.address(), NonNull::new(first.first() as *mut u8)?);
        let fits = first.end.get() - first.first() >= room_for(size);
        if !ptr::eq(first, block) || self.announced.live.get() != 1 || from == to || !fits {
            return None;
        }
        let bytes = HEADER + member.size().min(size);
        // SAFETY: both places lie in the first block, which has the room; they may overlap.
        let slid = unsafe {
            ptr::copy(from.as_ptr(), to.as_ptr(), bytes);
            Chunk::from_header(to.cast())
        };
        if from.addr().get() >= to.addr().get() + bytes {
            // Nothing was copied over the old header: whoever still has it is told so.
            member.stamp_freed(location);
        }
        self.tally.resize(slid.size(), size);
        slid.size.set(size as u32);
        self.lay_by(self.announced.clear(), location);
        first.cut(room_for(size));
        self.announced.live.set(1);
        Some(slid)
    }
}
