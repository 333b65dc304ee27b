//! Generations: numbers that tell the uses of memory apart. Tags are made of them.
//!
//! A number comes back only after all others, of which there are some thousands, whoever draws it. Each user draws from a
//! few that are its own, so that users meet at what they share only now and then. Used by `segment`, for the spans that it
//! makes, and by `heap`, for what it uses anew by itself.

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::process;

/// How many a user gets at once.
const BATCH: u32 = 16;

/// The first that no user has got.
static NEXT: AtomicU32 = AtomicU32::new(0);

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
            generation = NEXT.fetch_add(BATCH, Relaxed);
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
        let (one, other) = (Generations::new(), Generations::new());
        let mut tags: std::vec::Vec<u32> =
            (0..3 * BATCH).flat_map(|_| [one.new_tag(), other.new_tag()]).collect();
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), 6 * BATCH as usize);
    }
}
