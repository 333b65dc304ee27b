//! Generations: numbers that tell the uses of memory apart. Tags are made of them.
//!
//! A number comes back only after all others, of which there are some thousands, whoever draws it. Each user draws from a
//! few that are its own, so that users meet at what they share only now and then. Used by `segment`, for the spans that it
//! makes, and by `heap`, for what it uses anew by itself. The pools of a heap that share a span with others have numbers of
//! their own ([`Uses`]), of which no tag is a span's.
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

/// The first that no heap has used for its pools, or some more.
static NEXT_USE: AtomicUsize = AtomicUsize::new(BATCH as usize);

/// Whether `tag`, which is not the one expected, is one that this process gave out at some time, or
/// one that it was forked from.
pub fn is_stale(tag: u32) -> bool {
    process::is_tag_of_first(NEXT.load(Relaxed), NEXT_USE.load(Relaxed), tag)
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

/// Those that a heap uses for its pools, one after the other: the memory of a pool comes back to the same heap, most often.
#[derive(Debug)]
pub(super) struct Uses {
    last: Cell<u32>,
}

impl Uses {
    pub(super) const fn new() -> Uses {
        Uses { last: Cell::new(0) }
    }

    /// A tag that no pool of the heap has had for as long as there were others, some thousands.
    pub(super) fn new_tag(&self) -> u32 {
        let generation = self.last.get().wrapping_add(1);
        self.last.set(generation);
        if generation.is_multiple_of(BATCH) {
            let next = generation as usize + BATCH as usize;
            if NEXT_USE.load(Relaxed) < next {
                NEXT_USE.fetch_max(next, Relaxed);
            }
        }
        process::tag_of_use(generation)
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

    #[test]
    fn what_a_heap_has_used_is_known() {
        process::setup();
        let uses = Uses::new();
        let mut tags: std::vec::Vec<u32> = (0..4000).map(|_| uses.new_tag()).collect();
        assert!(tags.iter().all(|&tag| is_stale(tag)));
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), 4000);
    }
}
