//! Pauses: who has left a shared heap to come back.
//!
//! The heap stays shared until all have, or have ended. In the child of a fork only one thread will, so it is known whose
//! the pauses are. There are some places for that in the heap itself, and pages with more once they are needed; without memory for
//! one, a pause is only counted, and waited for in a child, too.
//!
//! Places are on no thread's stack: foreign code runs during a pause, and may end its thread there, or jump out.
//!
//! Used by `shared`, under the lock of the heap.

use core::cell::Cell;
use core::ptr::NonNull;

use super::os;

/// How often a thread has paused; a place with no pauses is nobody's.
#[derive(Debug)]
struct Place {
    thread: Cell<usize>,
    count: Cell<u32>,
}

impl Place {
    /// One that is nobody's.
    const fn free() -> Place {
        Place { thread: Cell::new(0), count: Cell::new(0) }
    }
}

/// How many threads have a place without a page.
const AT_HAND: usize = 8;
/// Places in a page.
const MORE: usize = (os::PAGE - size_of::<usize>()) / size_of::<Place>();

/// Places for many threads. Pages live as long as the heap.
struct Page {
    places: [Place; MORE],
    next: Cell<Option<NonNull<Page>>>,
}

const _: () = assert!(size_of::<Page>() <= os::PAGE);

/// See the module.
#[derive(Debug)]
pub(super) struct Pauses {
    at_hand: [Place; AT_HAND],
    pages: Cell<Option<NonNull<Page>>>,
    /// Pauses of threads that had no place.
    others: Cell<u32>,
}

impl Pauses {
    pub(super) const fn new() -> Pauses {
        Pauses { at_hand: [const { Place::free() }; AT_HAND], pages: Cell::new(None), others: Cell::new(0) }
    }

    /// Gives back its pages. Nobody uses the heap any more.
    pub(super) fn release(&self) {
        while let Some(page) = self.pages.take() {
            // SAFETY: a page in the list was mapped by `add_page`, and is used through the list alone.
            unsafe {
                self.pages.set(page.as_ref().next.get());
                os::unmap(page.cast(), os::PAGE);
            }
        }
    }

    /// Whether all have come back.
    pub(super) fn are_over(&self) -> bool {
        self.others.get() == 0 && self.places().all(|place| place.count.get() == 0)
    }

    /// `thread` pauses.
    pub(super) fn begin(&self, thread: usize) {
        let count = match self.place_of(thread).or_else(|| self.free_place()) {
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

    /// `thread` will not come back.
    pub(super) fn forget(&self, thread: usize) {
        if let Some(place) = self.place_of(thread) {
            place.count.set(0);
        }
    }

    /// No thread but `thread` will come back; of those without a place nothing is known.
    pub(super) fn forget_all_but(&self, thread: usize) {
        for place in self.places().filter(|place| place.thread.get() != thread) {
            place.count.set(0);
        }
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        // SAFETY: pages live as long as the heap, and are cells.
        let page = |at: &Cell<Option<NonNull<Page>>>| at.get().map(|page| unsafe { page.as_ref() });
        let pages = core::iter::successors(page(&self.pages), move |last| page(&last.next));
        self.at_hand.iter().chain(pages.flat_map(|page| &page.places))
    }

    fn place_of(&self, thread: usize) -> Option<&Place> {
        self.places().find(|place| place.count.get() > 0 && place.thread.get() == thread)
    }

    fn free_place(&self) -> Option<&Place> {
        let free = || self.places().find(|place| place.count.get() == 0);
        free().or_else(|| self.add_page().and_then(|()| free()))
    }

    #[cold]
    fn add_page(&self) -> Option<()> {
        let page: NonNull<Page> = os::map(os::PAGE, os::PAGE)?.cast();
        // SAFETY: mapped just now, aligned, and large enough.
        unsafe { page.write(Page { places: [const { Place::free() }; MORE], next: self.pages.clone() }) };
        self.pages.set(Some(page));
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_those_who_have_paused_the_others_can_be_forgotten() {
        for threads in [1, AT_HAND, AT_HAND + 1, AT_HAND + 2 * MORE] {
            for kept in [1, threads.div_ceil(2), threads] {
                let pauses = Pauses::new();
                for one in 1..=threads {
                    pauses.begin(one);
                    pauses.begin(one);
                }
                pauses.forget_all_but(kept);
                pauses.end(kept);
                assert!(!pauses.are_over());
                pauses.end(kept);
                assert!(pauses.are_over());
                (1..=threads).for_each(|one| pauses.begin(one));
                (1..=threads).rev().for_each(|one| {
                    assert!(!pauses.are_over());
                    pauses.forget(one);
                });
                pauses.forget(kept);
                assert!(pauses.are_over());
                pauses.release();
            }
        }
    }

    #[test]
    fn places_are_used_again() {
        let pauses = Pauses::new();
        for round in 0..10 * MORE {
            (0..=AT_HAND).for_each(|i| pauses.begin(1 + round + i));
            (0..=AT_HAND).for_each(|i| pauses.end(1 + round + i));
        }
        assert!(pauses.are_over());
        assert_eq!(pauses.places().count(), AT_HAND + MORE);
        pauses.release();
        assert_eq!(pauses.places().count(), AT_HAND);
    }

    #[test]
    fn a_thread_without_a_place_is_waited_for() {
        let pauses = Pauses::new();
        pauses.others.set(1);
        // Takes a place for its second pause alone.
        pauses.begin(2);
        pauses.end(2);
        pauses.forget_all_but(1);
        assert!(!pauses.are_over());
        pauses.end(2);
        assert!(pauses.are_over());
    }
}
