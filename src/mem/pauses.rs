//! Pauses: who has left a shared heap to come back.
//!
//! The heap stays shared until all have. In the child of a fork only one thread will, so it is known whose the pauses
//! are: of as many threads as there are places. What comes on top is only counted, and waited for in a child, too.
//!
//! Used by `shared`, under the lock of the heap.

use core::cell::Cell;

/// Of how many threads at once it is known how often they have paused.
const PLACES: usize = 8;

/// How often a thread has paused; a place with no pauses is nobody's.
#[derive(Debug)]
struct Place {
    thread: Cell<usize>,
    count: Cell<u32>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pauses {
    places: [Place; PLACES],
    /// Pauses of threads that had no place.
    others: Cell<u32>,
}

impl Pauses {
    pub(super) const fn new() -> Pauses {
        Pauses {
            places: [const { Place { thread: Cell::new(0), count: Cell::new(0) } }; PLACES],
            others: Cell::new(0),
        }
    }

    /// Whether all have come back.
    pub(super) fn are_over(&self) -> bool {
        self.others.get() == 0 && self.places.iter().all(|place| place.count.get() == 0)
    }

    /// `thread` pauses.
    pub(super) fn begin(&self, thread: usize) {
        let count = match self.place_of(thread).or_else(|| self.places.iter().find(|p| p.count.get() == 0)) {
            Some(place) => {
                place.thread.set(thread);
                &place.count
            }
            None => &self.others,
        };
        count.set(count.get() + 1);
    }

    /// `thread` has come back.
    pub(super) fn end(&self, thread: usize) {
        let count = self.place_of(thread).map_or(&self.others, |place| &place.count);
        count.set(count.get() - 1);
    }

    /// No thread but `thread` will come back; of those without a place nothing is known.
    pub(super) fn forget_all_but(&self, thread: usize) {
        for place in self.places.iter().filter(|place| place.thread.get() != thread) {
            place.count.set(0);
        }
    }

    fn place_of(&self, thread: usize) -> Option<&Place> {
        self.places.iter().find(|place| place.count.get() > 0 && place.thread.get() == thread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_those_who_have_paused_the_others_can_be_forgotten() {
        let pauses = Pauses::new();
        for thread in 1..=PLACES {
            pauses.begin(thread);
            pauses.begin(thread);
        }
        pauses.forget_all_but(3);
        assert!(!pauses.are_over());
        pauses.end(3);
        pauses.end(3);
        assert!(pauses.are_over());
    }

    #[test]
    fn a_thread_without_a_place_is_waited_for() {
        let pauses = Pauses::new();
        (1..=PLACES + 1).for_each(|thread| pauses.begin(thread));
        pauses.end(1);
        // Takes the place that is free now, and keeps it for its second pause alone.
        pauses.begin(PLACES + 1);
        pauses.end(PLACES + 1);
        pauses.forget_all_but(1);
        assert!(!pauses.are_over());
        pauses.end(PLACES + 1);
        assert!(pauses.are_over());
    }
}
