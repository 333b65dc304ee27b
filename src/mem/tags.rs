//! The tags of slices by address: what a check of a pointer looks at first, with one compare and no look at the
//! memory there.
//!
//! A table with an entry for each value of the low bits of a slice's number. Two slices may want the same entry; then
//! the one that was covered last has it, and the other is looked up the long way, by the map of segments and its
//! descriptor. An entry names a slice only while that is part of a span, so its memory is mapped.
//!
//! Entries are written under the lock of the segments. They are atomics, and nobody needs a lock to read them: who has a
//! pointer into a slice has it from the thread that covered it, and with it sees the entry. While another slice takes the
//! entry, its number may be met with the wrong tag; then no header agrees with that, and the long way decides. Who asks only
//! whether the slice is in use has the right answer from the number alone.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use super::geometry::SLICE;

/// As many slices as lie side by side in 8 GiB.
const ENTRIES: usize = 1 << 17;

/// An entry without a slice has the number 0, which is no slice's.
struct Tags {
    numbers: [AtomicUsize; ENTRIES],
    tags: [AtomicU32; ENTRIES],
}

static TAGS: Tags =
    Tags { numbers: [const { AtomicUsize::new(0) }; ENTRIES], tags: [const { AtomicU32::new(0) }; ENTRIES] };

/// The number of the slice that `address` lies in, plus one, with the four lowest bits of the address above it, all of them
/// set if it is a multiple of 16: one compare finds the slice and the alignment right. Never 0.
#[inline(always)]
fn number(address: usize) -> usize {
    (address.wrapping_add(15).rotate_right(4) >> (SLICE.trailing_zeros() - 4)) + 1
}

/// The tag of the span that `address` lies in, if it is a multiple of 16 and the table knows its slice. `None` says
/// nothing.
#[inline(always)]
pub fn tag_at(address: usize) -> Option<u32> {
    let number = number(address);
    let entry = number % ENTRIES;
    if TAGS.numbers[entry].load(Relaxed) == number { Some(TAGS.tags[entry].load(Relaxed)) } else { None }
}

/// The slice at `address` is part of a span with this tag now. The caller holds the lock of the segments.
pub(super) fn set(address: usize, tag: u32) {
    let number = number(address);
    let entry = number % ENTRIES;
    TAGS.tags[entry].store(tag, Relaxed);
    TAGS.numbers[entry].store(number, Relaxed);
}

/// The slice at `address` is part of no span any more. The caller holds the lock of the segments.
pub(super) fn clear(address: usize) {
    let number = number(address);
    let entry = number % ENTRIES;
    if TAGS.numbers[entry].load(Relaxed) == number {
        TAGS.numbers[entry].store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where nothing is ever mapped.
    const HERE: usize = 0x7000_0000_0000;
    const RIVAL: usize = HERE + ENTRIES * SLICE;

    #[test]
    fn a_slice_is_found_by_the_aligned_addresses_in_it_and_by_no_others() {
        let at = HERE + 3 * SLICE;
        set(at, 0x1200);
        for inside in [0, 16, 48, SLICE - 16] {
            assert_eq!(tag_at(at + inside), Some(0x1200));
        }
        for wrong in [1, 8, 15, SLICE - 1, SLICE, usize::MAX - at + 1] {
            assert_eq!(tag_at(at.wrapping_add(wrong)), None);
        }
        assert_eq!(tag_at(at - 16), None);
        // Bits that no address has.
        for bit in 47..usize::BITS {
            assert_eq!(tag_at(at ^ 1 << bit), None);
        }
        clear(at);
        assert_eq!(tag_at(at), None);
    }

    #[test]
    fn low_addresses_and_those_around_0_are_in_no_slice() {
        for wild in -200..70_000_isize {
            assert_eq!(tag_at(wild as usize), None, "{wild:#x}");
        }
    }

    #[test]
    fn of_two_that_want_an_entry_the_last_has_it() {
        set(HERE, 0x100);
        set(RIVAL, 0x200);
        assert_eq!((tag_at(HERE), tag_at(RIVAL)), (None, Some(0x200)));
        clear(HERE);
        assert_eq!(tag_at(RIVAL), Some(0x200));
        clear(RIVAL);
        assert_eq!(tag_at(RIVAL), None);
    }
}
