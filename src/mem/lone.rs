//! Lone blocks: those that would fit into a slot, and have a slice to themselves. All that lies in one may have the tag of
//! its span, so that a pointer is checked by one compare.
//!
//! That takes address space, and memory only where it comes in huge pages; but many blocks that begin where slices do are in
//! each other's way in the caches. So a heap has few of them at a time. Used by `heap` and `give`.

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// How many a heap has at a time.
const FEW: i32 = 16;

/// How many lone blocks a heap has.
#[derive(Debug)]
pub(super) struct Lone {
    /// Those that were taken, but for those that the owner of the heap has given back: the owner's alone.
    taken: Cell<u32>,
    /// Those that others have given back.
    returned: AtomicU32,
}

impl Lone {
    pub(super) const fn new() -> Lone {
        Lone { taken: Cell::new(0), returned: AtomicU32::new(0) }
    }

    /// Whether there may be one more.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.taken.get().wrapping_sub(self.returned.load(Relaxed)).cast_signed() < FEW
    }

    /// The owner takes one.
    #[inline]
    pub(super) fn take(&self) {
        self.taken.set(self.taken.get().wrapping_add(1));
    }

    /// The owner has given one back.
    #[inline]
    pub(super) fn give(&self) {
        self.taken.set(self.taken.get().wrapping_sub(1));
    }

    /// Somebody else has.
    pub(super) fn give_from_elsewhere(&self) {
        self.returned.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_few_whoever_gives_them_back() {
        let lone = Lone::new();
        for _ in 0..FEW {
            assert!(lone.has_room());
            lone.take();
        }
        assert!(!lone.has_room());
        lone.give();
        lone.take();
        assert!(!lone.has_room());
        lone.give_from_elsewhere();
        assert!(lone.has_room());
        lone.take();
        assert!(!lone.has_room());
    }
}
