//! A zone: blocks of a pool whose room comes back together, when no member in them is alive.
//!
//! A pool has two: the room that it announced, and the overflow. Room is cut off the newest block;
//! freed room goes back to that block's end, or into bins by size, from which it is used again when
//! the block is used up.

use core::cell::Cell;
use core::ffi::c_char;
use core::ptr::{self, NonNull};

use super::block::{Block, Piece};
use crate::tree::chunk::{Chunk, HEADER};

const BINS: usize = 8;
/// How many pieces of a bin are looked at for one that fits.
const PROBES: usize = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct Zone {
    /// Members in it that are alive.
    pub(super) live: Cell<usize>,
    /// The newest block first: the one that is cut from.
    pub(super) blocks: Cell<Option<NonNull<Block>>>,
    bins: [Cell<Option<NonNull<Piece>>>; BINS],
    /// Something has been put into a bin since the zone was last empty.
    kept: Cell<bool>,
}

impl Zone {
    pub(super) fn new(first: Option<NonNull<Block>>) -> Zone {
        Zone {
            live: Cell::new(0),
            blocks: Cell::new(first),
            bins: [const { Cell::new(None) }; BINS],
            kept: Cell::new(false),
        }
    }

    fn newest(&self) -> Option<&Block> {
        // SAFETY: the blocks in the list are the zone's.
        self.blocks.get().map(|block| unsafe { block.as_ref() })
    }

    /// `room` bytes for a member.
    #[inline(always)]
    pub(super) fn cut(&self, room: usize) -> Option<usize> {
        let at = match self.newest()?.cut(room) {
            Some(at) => at,
            None => self.take_piece(room)?,
        };
        self.live.set(self.live.get() + 1);
        Some(at)
    }

    /// Puts a new block in front, and what is left of the one before into a bin.
    pub(super) fn add(&self, block: NonNull<Block>) {
        if let Some(used_up) = self.newest() {
            let rest = used_up.rest();
            if rest >= HEADER {
                self.keep(used_up.bump.get(), rest, ptr::null());
                used_up.bump.set(used_up.end.get());
            }
        }
        // SAFETY: the block was made just now for this zone.
        unsafe { block.as_ref() }.next.set(self.blocks.get());
        self.blocks.set(Some(block));
    }

    /// Takes back the `room` bytes of a freed member at `at`. Says whether it was the last alive.
    #[inline(always)]
    pub(super) fn put_back(&self, block: &Block, at: usize, room: usize, location: *const c_char) -> bool {
        if at + room == block.bump.get() {
            block.bump.set(at);
        } else {
            self.keep(at, room, location);
        }
        let live = self.live.get() - 1;
        self.live.set(live);
        live == 0
    }

    /// Whether it is as it would be after [`clear`](Zone::clear), given that nothing in it is alive.
    #[inline(always)]
    pub(super) fn is_tidy(&self) -> bool {
        !self.kept.get() && self.newest().is_some_and(|b| b.next.get().is_none() && !b.overflow.get())
    }

    /// Nothing in it is alive: one block remains, the oldest, with all its room. Returns the others.
    pub(super) fn clear(&self) -> Option<NonNull<Block>> {
        self.kept.set(false);
        for bin in &self.bins {
            bin.set(None);
        }
        let mut others = None;
        let mut next = self.blocks.get();
        while let Some(block) = next {
            // SAFETY: the blocks in the list are the zone's.
            let head = unsafe { block.as_ref() };
            next = head.next.get();
            if next.is_none() {
                head.clear();
                self.blocks.set(Some(block));
            } else {
                head.next.set(others);
                others = Some(block);
            }
        }
        others
    }

    /// Room that was freed: a piece that is large enough, its rest kept.
    #[cold]
    fn take_piece(&self, room: usize) -> Option<usize> {
        for bin in &self.bins[bin_of(room)..] {
            let mut link = bin;
            for _ in 0..PROBES {
                let Some(piece) = link.get() else { break };
                // SAFETY: pieces in bins are free room of this zone, and stay until they are taken.
                let head = unsafe { &*piece.as_ptr() };
                let has = head.room();
                if has >= room {
                    link.set(head.next.get());
                    let at = piece.addr().get();
                    self.keep(at + room, has - room, ptr::null());
                    return Some(at);
                }
                link = &head.next;
            }
        }
        None
    }

    /// Keeps free room for later, if it is enough for anything. It was freed at `location`, or is nobody's.
    fn keep(&self, at: usize, room: usize, location: *const c_char) {
        if room >= HEADER {
            self.kept.set(true);
            let bin = &self.bins[bin_of(room)];
            bin.set(Piece::mark(at, room, bin.get(), location));
        } else if room > 0 {
            Piece::pad(at, room);
        }
    }

    /// Changes the room of the member at `at` without moving it. Says whether it could.
    pub(super) fn resize(&self, block: &Block, at: usize, old: usize, new: usize) -> bool {
        if at + old == block.bump.get() && block.end.get() - at >= new {
            block.bump.set(at + new);
        } else if new > old {
            return false;
        } else {
            self.keep(at + new, old - new, ptr::null());
        }
        true
    }

    pub(super) fn for_each_member(&self, visit: &mut dyn FnMut(Chunk)) {
        let mut next = self.newest();
        while let Some(block) = next {
            block.for_each_member(visit);
            // SAFETY: as in `newest`.
            next = block.next.get().map(|block| unsafe { block.as_ref() });
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
