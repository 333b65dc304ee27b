//! The bins of a zone: free pieces of its blocks, by size.
//!
//! ```text
//! bin   0    1    2   …  31   │ 32        33         34          …
//! room  48   64   80  …  544  │ 560–767   768–1023   1024–1535   …   two for each doubling
//! ```
//! Up to 544 bytes a bin holds pieces of one size, so that what a freed member left serves the next one of its
//! size at once. A bitmap says which bins are not empty. A zone gets its bins when it is used up for the first time:
//! most pools never are.

use core::cell::Cell;
use core::ptr::NonNull;

use super::block::Piece;
use crate::tree::chunk::HEADER;

/// Bins of one size each.
const EXACT: usize = 32;
/// All bins: enough for pieces of 4 MiB, more than a block has.
const BINS: usize = EXACT + 2 * (22 - 9 + 1);
/// How many pieces of a bin of several sizes are looked at for one that fits.
const PROBES: usize = 8;

/// See the module. The first word is 0, so that nobody who walks over slots takes it for a chunk.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Bins {
    not_a_tag: u32,
    /// A bit for each bin that is not empty; the heads of the others mean nothing.
    filled: Cell<u64>,
    heads: [Cell<Option<NonNull<Piece>>>; BINS],
}

/// Bytes of the record.
pub(super) const SIZE: usize = size_of::<Bins>();

const _: () = assert!(BINS <= 64);

impl Bins {
    /// Empty bins at `at`.
    ///
    /// # Safety
    /// Memory for a record of [`SIZE`] bytes, nobody else's.
    pub(super) unsafe fn create(at: NonNull<u8>) -> NonNull<Bins> {
        let bins = Bins { not_a_tag: 0, filled: Cell::new(0), heads: [const { Cell::new(None) }; BINS] };
        let at = at.cast::<Bins>();
        // SAFETY: the caller's.
        unsafe { at.write(bins) };
        at
    }

    /// Forgets all pieces.
    pub(super) fn clear(&self) {
        self.filled.set(0);
    }

    fn head(&self, bin: usize) -> Option<NonNull<Piece>> {
        if self.filled.get() & (1 << bin) != 0 { self.heads[bin].get() } else { None }
    }

    fn set_head(&self, bin: usize, head: Option<NonNull<Piece>>) {
        self.heads[bin].set(head);
        let bit = 1 << bin;
        self.filled.set(if head.is_some() { self.filled.get() | bit } else { self.filled.get() & !bit });
    }

    /// Keeps a piece for later.
    pub(super) fn put(&self, piece: NonNull<Piece>) {
        // SAFETY: free room of the zone, marked as such.
        let head = unsafe { piece.as_ref() };
        let bin = bin_of(head.room());
        head.next.set(self.head(bin));
        self.set_head(bin, Some(piece));
    }

    /// Takes out a piece of at least `room` bytes: one of that size if there is one, else one of the smallest
    /// bin that has any.
    pub(super) fn take(&self, room: usize) -> Option<NonNull<Piece>> {
        let own = bin_of(room);
        if let Some(piece) = self.probe(own, room) {
            return Some(piece);
        }
        // What lies in a bin above is large enough.
        let above = self.filled.get() & !((2 << own) - 1);
        if above == 0 {
            return None;
        }
        let bin = above.trailing_zeros() as usize;
        let piece = self.head(bin)?;
        // SAFETY: pieces in bins are free room of the zone, and stay until they are taken.
        self.set_head(bin, unsafe { piece.as_ref() }.next.get());
        Some(piece)
    }

    /// The first of a few pieces of `bin` that is large enough, taken out.
    fn probe(&self, bin: usize, room: usize) -> Option<NonNull<Piece>> {
        let mut before: Option<NonNull<Piece>> = None;
        let mut next = self.head(bin);
        for _ in 0..PROBES {
            let piece = next?;
            // SAFETY: as in `take`.
            let head = unsafe { piece.as_ref() };
            next = head.next.get();
            if head.room() >= room {
                match before {
                    // SAFETY: as in `take`.
                    Some(before) => unsafe { before.as_ref() }.next.set(next),
                    None => self.set_head(bin, next),
                }
                return Some(piece);
            }
            before = Some(piece);
        }
        None
    }
}

/// The bin that a piece of `room` bytes goes into.
fn bin_of(room: usize) -> usize {
    let step = (room - HEADER) / 16;
    if step < EXACT {
        return step;
    }
    let doubling = room.ilog2() as usize;
    let half = (room >> (doubling - 1)) & 1;
    (EXACT + (doubling - 9) * 2 + half).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_grow_with_the_room() {
        assert_eq!(bin_of(48), 0);
        assert_eq!(bin_of(64), 1);
        assert_eq!(bin_of(544), 31);
        assert_eq!(bin_of(560), 32);
        assert_eq!(bin_of(768), 33);
        assert_eq!(bin_of(1024), 34);
        let mut last = 0;
        for room in (48..=4 << 20).step_by(16) {
            assert!(bin_of(room) >= last);
            last = bin_of(room);
        }
        assert_eq!(last, BINS - 2);
    }
}
