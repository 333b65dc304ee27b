//! Generations: numbers that tell the uses of memory apart. Tags are made of them.
//!
//! A number comes back only after all others, of which there are some thousands, whoever draws it. Each user draws from a
//! few that are its own, so that users meet at what they share only now and then. Used by `segment`, for the spans that it
//! makes, and by `heap`, for what it uses anew by itself and for the pools in it.
//!
//! What was not drawn yet is no tag of anything: so a pointer that leads to no chunk is seldom taken for one to a chunk that
//! was freed.

use core::cell::Cell;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::process;

/// How many a user gets at once.
const BATCH: u32 = 16;

/// The first that no user has got.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Whether `tag`, which is not the one expected, is one that this process gave out at some time, or
/// one that it was forked from.
pub fn is_stale(tag: u32) -> bool {
    // The first is that of all blocks of malloc's, which nobody draws.
    process::is_tag_of_first(NEXT.load(Relaxed).max(1), tag)
}

/// Those of one user.
#[derive(Debug)]
pub(super) struct Generations {
    /// The next, or the end of a batch.
    next: Cell<u32>,
}

impl Generations {
    pub(super) const fn new() -> Generations {
        Generations { next: Cell::new(0) }
    }

    /// A tag that what is tagged with it had not of late.
    pub(super) fn new_tag(&self) -> u32 {
        let mut generation = self.next.get();
        if generation.is_multiple_of(BATCH) {
            generation = NEXT.fetch_add(BATCH as usize, Relaxed) as u32;
        }
        self.next.set(generation.wrapping_add(1));
        process::tag_of_generation(generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_different_ones() {
        process::setup();
        let (one, other) = (Generations::new(), Generations::new());
        let mut tags: std::vec::Vec<u32> =
            (0..3 * BATCH).flat_map(|_| [one.new_tag(), other.new_tag()]).collect();
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), 6 * BATCH as usize);
        assert!(tags.iter().all(|&tag| is_stale(tag)));
    }
}
