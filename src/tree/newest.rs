//! The word in a header that leads to the newest child. A chunk without children keeps hints in it instead: where three
//! of its older siblings lie, so that who walks down a list of children can ask for memory before the links lead there.
//! Else each link is a wait of its own, and where a list is strewn over memory that is most of the time a walk takes.
//!
//! ```text
//! bit 0 clear    the address of the newest child
//! bit 0 set      no child; then, 21 bits each, the lowest first: where the sibling after the next lies, the one after
//!                that, and the one after that
//! ```
//!
//! In a heap that is larger than the nearer caches, a chunk that comes to the head of a list takes over the hints of the one that was there, shifted on. Nobody mends them:
//! what they name may have gone long ago, and is asked for, never read. A hint is the number of a line of the cache. What is
//! above its 21 bits has run into the hint above, by xor; it is taken to be what stands there in the address of the
//! chunk that has the hints, so they are of use within 128 MiB.
//!
//! The hints of a shared context are its threads' own, and a sibling of it may be made meanwhile: hence an atomic.

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use super::chunk::{Chunk, Header};
use crate::mem::os;

/// No child; without more, no hints.
const NONE: usize = 1;
/// Bits of a hint.
const BITS: u32 = 21;
/// Bits of an address within a line of the cache.
const LINE: u32 = 6;
/// The bits of an address that a hint has.
const LINES: usize = ((1 << BITS) - 1) << LINE;
/// The one of them that the mark of a chunk without children has run into.
const MARKED: usize = 1 << (BITS + LINE - 1);

/// See the module.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct Newest(AtomicPtr<Header>);

impl Newest {
    /// No child.
    pub(super) const fn none() -> Newest {
        Newest(AtomicPtr::new(ptr::without_provenance_mut(NONE)))
    }

    /// No child, in the header of a chunk that comes before `first`, the head of a list so far.
    #[inline(always)]
    pub(super) fn none_before(first: Chunk) -> Newest {
        let second = first.next.get().map_or(0, |second| second.address().addr().get());
        let word = hints_before(first.child.0.load(Relaxed).addr(), second);
        Newest(AtomicPtr::new(ptr::without_provenance_mut(word)))
    }

    /// What stands in the header.
    #[allow(dead_code, reason = "where headers are written word by word")]
    #[inline(always)]
    pub(super) fn into_word(self) -> *mut Header {
        self.0.into_inner()
    }

    /// The newest child.
    #[inline(always)]
    pub(crate) fn get(&self) -> Option<Chunk> {
        let word = self.0.load(Relaxed);
        if word.addr() & NONE != 0 {
            return None;
        }
        // SAFETY: an even word is the address of a header, of a child that lives.
        Some(unsafe { Chunk::from_header(NonNull::new_unchecked(word)) })
    }

    /// Whether there is no child.
    #[inline(always)]
    pub(crate) fn is_none(&self) -> bool {
        self.0.load(Relaxed).addr() & NONE != 0
    }

    /// Whether there is a child.
    #[inline(always)]
    pub(crate) fn is_some(&self) -> bool {
        !self.is_none()
    }

    #[inline(always)]
    pub(crate) fn set(&self, child: Option<Chunk>) {
        let word = child.map_or(ptr::without_provenance_mut(NONE), |chunk| chunk.address().cast().as_ptr());
        self.0.store(word, Relaxed);
    }

    /// Asks for the memory of the fourth sibling after the chunk at `header`, which has no children and whose word this is,
    /// if there are hints.
    #[inline(always)]
    pub(super) fn fetch_ahead(&self, header: NonNull<u8>) {
        let word = self.0.load(Relaxed).addr();
        if word == NONE {
            return;
        }
        let line = header.as_ptr().map_addr(|at| fourth_after(at, word));
        // Half of all headers lie in two lines.
        os::prefetch(line);
        os::prefetch(line.wrapping_add(1 << LINE));
    }
}

/// The word of a chunk without children that comes before one with the word `first`, the next of which is at `second`.
#[inline(always)]
const fn hints_before(first: usize, second: usize) -> usize {
    (first << BITS ^ second >> (LINE - 1)) | NONE
}

/// Where the fourth sibling after the chunk at `at` lies, by the `word` of that: an address in its line.
#[inline(always)]
const fn fourth_after(at: usize, word: usize) -> usize {
    at & !LINES | (word >> (2 * BITS + 1 - LINE) ^ at >> BITS ^ MARKED) & LINES
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;

    /// The words of the chunks at `list`, which were made from the last to the first.
    fn words(list: &[usize]) -> Vec<usize> {
        let mut words = vec![NONE; list.len()];
        for made in (0..list.len() - 1).rev() {
            let second = list.get(made + 2).copied().unwrap_or(0);
            words[made] = hints_before(words[made + 1], second);
        }
        words
    }

    #[test]
    fn the_fourth_after_each_is_found_anywhere_in_128_mib() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for base in [0x7f12_3000_0000_usize, 0x7fff_f800_0000, 0x5555_5800_0000, 0x800_0000] {
            let list: Vec<usize> = (0..1000)
                .map(|_| {
                    random = random.wrapping_mul(0xd129_42f1_3ac5_d1a5).wrapping_add(1);
                    base + (random >> 37) as usize / 16 * 16
                })
                .collect();
            let words = words(&list);
            for (four, word) in list.windows(5).zip(words) {
                assert_eq!(fourth_after(four[0], word) >> LINE, four[4] >> LINE, "{four:x?}");
                assert_ne!(word & NONE, 0);
            }
        }
    }

    #[test]
    fn without_so_many_siblings_there_is_still_a_word() {
        assert_eq!(words(&[0x7000_0000_0000]), [NONE]);
        assert!(words(&[0x7000_0000_0000, 0x7000_0000_0030]).iter().all(|word| word & NONE != 0));
    }
}
