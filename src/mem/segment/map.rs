//! Where segments lie: a bitmap over all addresses, so that any number, however wild, can be asked about
//! without touching the memory there.
//!
//! The bits are atomics; nobody needs a lock to read them. Who has a pointer to a chunk has it from the
//! thread that mapped the segment, and with it sees the bit.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::mem::geometry::{self, ADDRESS_BITS, SEGMENT};

/// How many segments fit into the address space.
pub(crate) const SEGMENT_NUMBERS: usize = 1 << (ADDRESS_BITS - SEGMENT.trailing_zeros());

pub(crate) type Map = [AtomicU64; SEGMENT_NUMBERS / 64];

/// A bit for each segment of the address space: set where one of ours lies.
pub(crate) static MAP: Map = [const { AtomicU64::new(0) }; SEGMENT_NUMBERS / 64];
/// The same for segments that are no more: set when one is unmapped, and never cleared.
static GONE: Map = [const { AtomicU64::new(0) }; SEGMENT_NUMBERS / 64];

/// Whether `address` lies in a segment, so that its descriptor may be looked at.
#[inline(always)]
pub fn covers(address: usize) -> bool {
    let number = geometry::segment_number(address);
    number < SEGMENT_NUMBERS && MAP[number / 64].load(Relaxed) & (1 << (number % 64)) != 0
}

/// Whether `address` lies in a segment, or has ever: what led there once is no stranger's pointer.
pub fn has_covered(address: usize) -> bool {
    let number = geometry::segment_number(address);
    let has_been = || GONE[number / 64].load(Relaxed) & (1 << (number % 64)) != 0;
    covers(address) || (number < SEGMENT_NUMBERS && has_been())
}

/// Notes that a segment has been mapped at `base`, or is about to be unmapped. The caller holds the lock of the
/// segments.
pub(super) fn set_covered(base: usize, covered: bool) {
    let number = geometry::segment_number(base);
    let bit = 1 << (number % 64);
    if covered {
        MAP[number / 64].fetch_or(bit, Relaxed);
    } else {
        GONE[number / 64].fetch_or(bit, Relaxed);
        MAP[number / 64].fetch_and(!bit, Relaxed);
    }
}
