//! How pools go on when the room that they announced is used up.

use core::ops::RangeInclusive;

/// The first overflow block is half as large as the announced room, within these bounds, in bytes.
const OVERFLOW_FIRST: RangeInclusive<usize> = GROWTH_MIN..=2 << 10;
/// The largest overflow block.
const OVERFLOW_LAST: usize = 1 << 20;
/// The largest room that a member gets in the overflow. What needs more comes from the heap.
const OVERFLOW_MEMBER_MAX: usize = 32 << 10;
/// The largest block of announced room. Larger pools have several.
pub(super) const ANNOUNCED_BLOCK_MAX: usize = 3 << 20;

/// The smallest block that a pool adds.
const GROWTH_MIN: usize = 256;

/// How a pool goes on when its announced room is used up, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    /// What the pool keeps when it is emptied, announced room included.
    pub(super) keep: usize,
    /// The first block beyond it; each is twice the one before.
    pub(super) first: u32,
    /// The next one.
    pub(super) next: u32,
    /// The largest.
    pub(super) last: u32,
    /// The blocks beyond are of the same zone as the announced room.
    pub(super) grows: bool,
}

impl Growth {
    /// A pool with `room` bytes, which are meant to be enough.
    pub(crate) fn overflow(room: usize) -> Growth {
        let first = (room / 2).clamp(*OVERFLOW_FIRST.start(), *OVERFLOW_FIRST.end()) as u32;
        Growth { keep: 0, first, next: first, last: OVERFLOW_LAST as u32, grows: false }
    }

    /// A growable pool, whose first block has `first` bytes and its largest `max`; 0 for the default. It keeps
    /// what it has.
    pub(crate) fn doubling(first: usize, max: usize) -> Growth {
        let last = if max == 0 { OVERFLOW_LAST } else { max.min(ANNOUNCED_BLOCK_MAX) };
        let last = last.max(first.clamp(GROWTH_MIN, ANNOUNCED_BLOCK_MAX));
        let first = first.saturating_mul(2).clamp(GROWTH_MIN, last) as u32;
        Growth { keep: usize::MAX, first, next: first, last: last as u32, grows: true }
    }

    /// The largest room that a member gets beyond the announced room. What needs more comes from the heap.
    pub(super) fn member_max(self) -> usize {
        if self.grows { self.last as usize / 4 } else { OVERFLOW_MEMBER_MAX }
    }
}
