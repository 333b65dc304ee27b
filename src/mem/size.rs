//! Size classes: which slot a request is served from.
//!
//! Up to 1 KiB the classes are 16 bytes apart, from 48 (a bare header) on; above, eight for each
//! doubling, so that at most an eighth of a slot is waste; past 64 KiB a block has a span of its own.

use super::geometry::SLICE;

/// The alignment of every slot, and the step of the small classes.
pub const GRAIN: usize = 16;
/// The smallest slot.
pub const MIN_SLOT: usize = 48;
const _: () = assert!(MIN_SLOT > 32, "as `geometry::reciprocal` wants it");
/// The largest slot of the evenly spaced classes.
pub const SMALL_MAX: usize = 1024;
/// The largest slot of all.
pub const SLOT_MAX: usize = 64 << 10;

/// The largest slot that the next one follows at once, and of which a span has one slice.
const CLOSE_MAX: usize = SLICE / 8;
/// Bytes of a line of the cache.
pub const LINE: usize = 64;

const SMALL_CLASSES: usize = (SMALL_MAX - MIN_SLOT) / GRAIN + 1;
/// The number of classes.
pub const CLASSES: usize = SMALL_CLASSES + 8 * (SLOT_MAX / SMALL_MAX).ilog2() as usize;

/// The class that serves `bytes`, at most [`SLOT_MAX`].
#[inline]
pub const fn class_of(bytes: usize) -> usize {
    if bytes <= SMALL_MAX {
        bytes.saturating_sub(MIN_SLOT).div_ceil(GRAIN)
    } else {
        let last = bytes - 1;
        let top = last.ilog2() as usize;
        SMALL_CLASSES + (top - 10) * 8 + ((last >> (top - 3)) & 7)
    }
}

/// Bytes of a slot of `class`.
#[inline]
pub const fn slot_size(class: usize) -> usize {
    if class < SMALL_CLASSES {
        MIN_SLOT + class * GRAIN
    } else {
        let above = class - SMALL_CLASSES;
        (9 + above % 8) << (7 + above / 8)
    }
}

/// Bytes from one slot of `class` to the next. Large ones lie a line of the cache apart: else all would begin at one or two
/// places in their pages, and what a program touches there would have to share a few lines.
#[inline]
pub const fn stride(class: usize) -> usize {
    let slot = slot_size(class);
    if slot <= CLOSE_MAX { slot } else { slot + LINE }
}

/// Slices of a span of `class`: one for slots up to 8 KiB, else seven, of which nine fill a
/// segment.
#[inline]
pub const fn span_slices(class: usize) -> usize {
    if slot_size(class) <= CLOSE_MAX { 1 } else { 7 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_the_tightest_class() {
        for bytes in 1..=SLOT_MAX {
            let class = class_of(bytes);
            assert!(class < CLASSES);
            assert!(slot_size(class) >= bytes, "{bytes}");
            assert!(class == 0 || slot_size(class - 1) < bytes, "{bytes}");
        }
        assert_eq!(slot_size(CLASSES - 1), SLOT_MAX);
    }

    #[test]
    fn slots_are_aligned_and_waste_little() {
        for class in 0..CLASSES {
            assert!(stride(class) >= slot_size(class) && stride(class).is_multiple_of(GRAIN));
            assert_eq!(slot_size(class) % GRAIN, 0);
            if class > 0 {
                let gap = slot_size(class) - slot_size(class - 1);
                assert!(gap <= GRAIN.max(slot_size(class) / 8));
            }
        }
    }
}
