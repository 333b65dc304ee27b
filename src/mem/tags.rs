//! The tags of slices by address: what a check of a pointer looks at first, with one compare and no look at the
//! memory there.
//!
//! A table with an entry for each value of the low bits of a slice's number. Two slices may want the same entry; then
//! the one that was covered last has it, and the other is looked up the long way, by the map of segments and its
//! descriptor. An entry names a slice only while that is part of a span, so its memory is mapped.
//!
//! Entries are written under the lock of the segments. They are atomics, and nobody needs a lock to read them: who has a
//! pointer into a slice has it from the thread that covered it, and with it sees the entry. While another slice takes the
//! entry, its start may be met with the wrong tag; then no header agrees with that, and the long way decides. Who asks only
//! whether the slice is in use has the right answer from the start alone.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::geometry::{SLICE, SLICES};

/// As many slices as lie side by side in 8 GiB.
const ENTRIES: usize = 1 << 17;

/// Entries are two words: where the slice starts, less than 0 by as much, and the tag. An entry without a slice has 0 for
/// a start, which is right for no slice but those of entry 0.
#[repr(align(64))]
struct Tags([AtomicUsize; 2 * ENTRIES]);

static TAGS: Tags = Tags([const { AtomicUsize::new(0) }; 2 * ENTRIES]);

/// Where the entry of the slice that `address` lies in begins. Entry 0 is for no span: slices there are the first of a
/// segment.
#[inline(always)]
const fn entry(address: usize) -> usize {
    (address / (SLICE / 2) % (2 * ENTRIES)) & !1
}

const _: () = assert!(ENTRIES.is_power_of_two() && ENTRIES >= SLICES);

/// The tag of the span that `address` lies in, if it is a multiple of 16 and the table knows its slice. `None` says
/// nothing.
#[inline(always)]
pub fn tag_at(address: usize) -> Option<u32> {
    if knows(address) { Some(TAGS.0[entry(address) + 1].load(Relaxed) as u32) } else { None }
}

/// Whether `address` is a multiple of 16 in a slice that the table knows. No says nothing.
#[inline(always)]
pub fn knows(address: usize) -> bool {
    in_slice(address, SLICE - 16)
}

/// Whether `address`, of any alignment, lies in a slice that the table knows. No says nothing.
#[inline(always)]
pub fn knows_around(address: usize) -> bool {
    in_slice(address, SLICE - 1)
}

/// Whether `address` lies as far as any bits of `distances` say behind the start of a slice that the table knows.
#[inline(always)]
fn in_slice(address: usize, distances: usize) -> bool {
    let entry = entry(address);
    entry != 0 && address.wrapping_add(TAGS.0[entry].load(Relaxed)) & !distances == 0
}

/// The slice at `address` is part of a span with this tag now. The caller holds the lock of the segments.
pub(super) fn set(address: usize, tag: u32) {
    let entry = entry(address);
    TAGS.0[entry + 1].store(tag as usize, Relaxed);
    TAGS.0[entry].store(address.wrapping_neg(), Relaxed);
}

/// The slice at `address` is part of no span any more. The caller holds the lock of the segments.
pub(super) fn clear(address: usize) {
    let entry = entry(address);
    if TAGS.0[entry].load(Relaxed) == address.wrapping_neg() {
        TAGS.0[entry].store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::geometry::SEGMENT;
    use super::*;

    /// Where nothing is ever mapped.
    const HERE: usize = 0x7000_0000_0000 + SEGMENT;
    const RIVAL: usize = HERE + ENTRIES * SLICE;

    #[test]
    fn a_slice_is_found_by_the_aligned_addresses_in_it_and_by_no_others() {
        let at = HERE + 3 * SLICE;
        set(at, 0x1200);
        for inside in [0, 16, 48, SLICE - 16] {
            assert_eq!(tag_at(at + inside), Some(0x1200));
            assert!(knows(at + inside) && knows_around(at + inside) && knows_around(at + inside + 9));
        }
        for wrong in [1, 8, 15, SLICE - 1, SLICE, usize::MAX - at + 1] {
            assert_eq!(tag_at(at.wrapping_add(wrong)), None);
            assert!(!knows(at.wrapping_add(wrong)));
        }
        assert!(!knows_around(at - 1) && !knows_around(at + SLICE));
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
            assert!(!knows_around(wild as usize), "{wild:#x}");
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

    #[test]
    fn the_entry_of_low_addresses_is_no_spans() {
        for segment in (SEGMENT..4 * ENTRIES * SLICE).step_by(SEGMENT) {
            for slice in [1, SEGMENT / SLICE - 1] {
                assert_ne!(entry(segment + slice * SLICE), entry(0));
            }
        }
    }
}
