//! The heads of spans by address: what a check of a pointer looks at first, with one compare and no look at the memory
//! there.
//!
//! A table with an entry for each value of the low bits of a slice's number. An entry names a slice only while that is part
//! of a span, so its memory is mapped, and the descriptor of its span's head, too. Two slices may want the same entry; then
//! the one that was covered first has it, and the other is looked up the long way, by the map of segments and its
//! descriptor.
//!
//! Entries are written under the lock of the segments. They are atomics, and nobody needs a lock to read them: who has a
//! pointer into a slice has it from the thread that covered it, and with it sees the entry, which stays what it is while the
//! slice is in use. Who asks with a pointer into a slice that is in use no more may meet its start with another's head;
//! then no header agrees with that one's tag.

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::geometry::{SLICE, SLICES};
use super::span::Span;

/// As many slices as lie side by side in 4 GiB: 32 bits of an address say which entry is its.
const ENTRIES: usize = 1 << 16;

/// Entries are two words: where the slice starts, less than 0 by as much, and where the descriptor of the head lies. An
/// entry without a slice has 0 for a start, which is right for no slice but those of entry 0.
#[repr(align(64))]
struct Heads([AtomicUsize; 2 * ENTRIES]);

static HEADS: Heads = Heads([const { AtomicUsize::new(0) }; 2 * ENTRIES]);

/// Where the entry of the slice that `address` lies in begins. Entry 0 is for no span: slices there are the first of a
/// segment.
#[inline(always)]
const fn entry(address: usize) -> usize {
    ((address as u32 / (SLICE / 2) as u32) & !1) as usize
}

const _: () = assert!(ENTRIES * SLICE == 1 << u32::BITS && ENTRIES >= SLICES);

/// The head of the span that `address` lies in, if it is a multiple of 16 and the table knows its slice. `None` says
/// nothing.
#[inline(always)]
pub(super) fn head_at(address: usize) -> Option<NonNull<Span>> {
    if !knows(address) {
        return None;
    }
    let head = HEADS.0[entry(address) + 1].load(Relaxed);
    // SAFETY: an entry with a slice has a head, whose address is not 0.
    Some(unsafe { NonNull::new_unchecked(ptr::with_exposed_provenance_mut(head)) })
}

/// Whether `address` is a multiple of 16 in a slice that the table knows. No says nothing.
#[inline(always)]
pub fn knows(address: usize) -> bool {
    let entry = entry(address);
    entry != 0 && address.wrapping_add(HEADS.0[entry].load(Relaxed)) & !(SLICE - 16) == 0
}

/// The slice at `address` is part of the span with this head now. The caller holds the lock of the segments.
pub(super) fn set(address: usize, head: NonNull<Span>) {
    let entry = entry(address);
    let known = HEADS.0[entry].load(Relaxed);
    if known == 0 || known == address.wrapping_neg() {
        HEADS.0[entry + 1].store(head.as_ptr().expose_provenance(), Relaxed);
        HEADS.0[entry].store(address.wrapping_neg(), Relaxed);
    }
}

/// The slice at `address` is part of no span any more. The caller holds the lock of the segments.
pub(super) fn clear(address: usize) {
    let entry = entry(address);
    if HEADS.0[entry].load(Relaxed) == address.wrapping_neg() {
        HEADS.0[entry].store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::geometry::SEGMENT;
    use super::*;

    /// Where nothing is ever mapped.
    const HERE: usize = 0x7000_0000_0000 + SEGMENT;
    const RIVAL: usize = HERE + ENTRIES * SLICE;
    // Both are the first slices of segments, so that their entries are no span's of other tests.

    /// No head, but the address of one.
    fn head(number: usize) -> NonNull<Span> {
        NonNull::new(ptr::without_provenance_mut(number * size_of::<Span>())).unwrap()
    }

    #[test]
    fn a_slice_is_found_by_the_aligned_addresses_in_it_and_by_no_others() {
        let at = HERE + SEGMENT;
        set(at, head(9));
        for inside in [0, 16, 48, SLICE - 16] {
            assert_eq!(head_at(at + inside), Some(head(9)));
            assert!(knows(at + inside));
        }
        for wrong in [1, 8, 15, SLICE - 1, SLICE, usize::MAX - at + 1] {
            assert_eq!(head_at(at.wrapping_add(wrong)), None);
            assert!(!knows(at.wrapping_add(wrong)));
        }
        assert_eq!(head_at(at - 16), None);
        // Bits that no address has.
        for bit in 47..usize::BITS {
            assert_eq!(head_at(at ^ 1 << bit), None);
        }
        clear(at);
        assert_eq!(head_at(at), None);
    }

    #[test]
    fn low_addresses_and_those_around_0_are_in_no_slice() {
        for wild in -200..70_000_isize {
            assert_eq!(head_at(wild as usize), None, "{wild:#x}");
        }
    }

    #[test]
    fn of_two_that_want_an_entry_the_first_has_it() {
        set(HERE, head(1));
        set(RIVAL, head(2));
        assert_eq!((head_at(HERE), head_at(RIVAL)), (Some(head(1)), None));
        clear(RIVAL);
        assert_eq!(head_at(HERE), Some(head(1)));
        // It is part of another span.
        set(HERE, head(3));
        assert_eq!(head_at(HERE), Some(head(3)));
        clear(HERE);
        set(RIVAL, head(2));
        assert_eq!((head_at(HERE), head_at(RIVAL)), (None, Some(head(2))));
        clear(RIVAL);
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
