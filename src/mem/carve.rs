//! The slots of a span come to its free list: carved, a page's worth at a time, when the heap has no other.
//!
//! In the order of their addresses, which processors foresee. But of the first span of a class, which may well remain the only one, the
//! first page begins at another place than the next class's: what is in use of many sizes, and little of each, would lie at the
//! beginnings of pages else, and share a few lines of the nearest cache; and a processor takes what is read there for what was just
//! written at the same place in another page.
//!
//! Invariant: slots below `carved` are in use, handed back, or on the list; those from there on have never been handed out
//! since the span was made.

use core::ptr::NonNull;
use core::sync::atomic::{Ordering::Release, compiler_fence};

use super::os::{self, PAGE};
use super::remote::Slot;
use super::size::LINE;
use super::span::SpanRef;

/// How many slots are carved at once, and of a fresh span.
const MOST_AT_ONCE: usize = 32;
const MOST_AT_FIRST: usize = 64;

/// Bytes between the first slots of a class and the next, in their pages.
const CLASS_COLOUR: usize = 7 * LINE;

impl SpanRef {
    /// Moves the next few never-used slots, a page's worth, to the free list, lowest address first.
    #[inline(never)]
    pub(super) fn carve(self) -> bool {
        self.carve_from(0, MOST_AT_ONCE)
    }

    /// [`carve`](SpanRef::carve) of a fresh span, beginning with the class's [colour](CLASS_COLOUR).
    pub(super) fn carve_coloured(self) {
        self.carve_from(self.class() * CLASS_COLOUR % PAGE, MOST_AT_FIRST);
    }

    /// Carves a page's worth of slots, `most` at most. They come to the list in the order of their addresses, beginning as far
    /// behind the first as `colour`, in bytes, is in a page; then come those before that.
    #[inline]
    fn carve_from(self, colour: usize, most: usize) -> bool {
        let from = self.carved.get();
        let slot = self.stride();
        let batch = (PAGE / slot).clamp(1, most) as u32;
        let to = self.capacity().min(from + batch);
        let middle = from + (colour * (to - from) as usize / PAGE) as u32;
        let mut list = self.free.get();
        for i in (from..middle).rev().chain((middle..to).rev()) {
            let at = (self.start() + i as usize * slot) as *mut Slot;
            // SAFETY: the slot lies in the span and nobody has it; slots are 16-byte aligned.
            unsafe { (*at).next.set(list) };
            // The same slot of the next batch.
            os::prefetch(at.wrapping_byte_add(batch as usize * slot));
            list = NonNull::new(at);
        }
        // In this order: see `inherited`.
        compiler_fence(Release);
        self.carved.set(to);
        compiler_fence(Release);
        self.free.set(list);
        from < to
    }

    /// Counts the slots on the free list. Whoever has written to one may have made a ring of it.
    pub(super) fn count_free(self) -> u32 {
        // SAFETY: what is on the free list is free memory of the span.
        let next = |slot: &NonNull<Slot>| unsafe { slot.as_ref() }.next.get();
        core::iter::successors(self.free.get(), next).take(self.carved() as usize).count() as u32
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::super::{give, os};
    use super::*;
    use crate::mem::geometry::SLICE;
    use crate::mem::heap::HeapRef;
    use crate::mem::span::State;

    fn take(heap: HeapRef, class: usize) -> usize {
        heap.take(class).unwrap().0.as_ptr().expose_provenance()
    }

    fn give(at: usize) {
        let at = NonNull::new(core::ptr::with_exposed_provenance_mut(at)).unwrap();
        // SAFETY: taken by `take`, and given back once.
        unsafe { give::give(at) };
    }

    #[test]
    fn the_first_slots_of_classes_lie_apart_in_their_pages_and_none_is_left_out() {
        let heap = HeapRef::create(os::thread_pointer()).unwrap();
        let firsts: Vec<usize> = (0..8).map(|class| take(heap, class)).collect();
        let mut lines: Vec<usize> = firsts.iter().map(|at| at % PAGE / LINE).collect();
        lines.sort_unstable();
        assert!(lines.windows(2).all(|two| two[1] > two[0]), "{lines:?}");
        firsts.into_iter().for_each(give);
        // Slots of a line: those of the first page, then those behind it, each once.
        let slots: Vec<usize> = (0..SLICE / LINE).map(|_| take(heap, 1)).collect();
        let (first_page, others) = slots.split_at(PAGE / LINE);
        let start = slots.iter().copied().min().unwrap();
        let mut sorted = first_page.to_vec();
        sorted.sort_unstable();
        assert_ne!(first_page[0], start);
        assert!(sorted.into_iter().eq((0..PAGE / LINE).map(|i| start + i * LINE)));
        assert!(others.iter().copied().eq((PAGE / LINE..SLICE / LINE).map(|i| start + i * LINE)));
        // Where there is one already, nothing is known to be gained.
        let second: Vec<usize> = (0..PAGE / LINE).map(|_| take(heap, 1)).collect();
        assert!(second.windows(2).all(|two| two[1] == two[0] + LINE));
        slots.into_iter().chain(second).for_each(give);
        heap.retire_empty_spans();
        // SAFETY: all that was taken has been given back.
        unsafe { heap.destroy() };
    }

    #[test]
    fn what_is_in_use_is_known_again_when_the_heap_takes_from_another() {
        let heap = HeapRef::create(os::thread_pointer()).unwrap();
        let first = take(heap, 1);
        // SAFETY: it lies in a span in use.
        let span = unsafe { SpanRef::of(first) };
        for _ in 0..3 {
            let some: Vec<usize> = (0..10).map(|_| take(heap, 1)).collect();
            some.into_iter().for_each(give);
        }
        heap.retire_empty_spans();
        assert_eq!(span.state(), State::Current, "a slot of it is in use");
        heap.lay_down();
        assert_eq!((span.state(), span.used.get()), (State::Partial, 1));
        // It becomes current again, and is used up.
        let rest: Vec<usize> = (1..SLICE / LINE).map(|_| take(heap, 1)).collect();
        let other = take(heap, 1);
        assert_eq!((span.state(), span.used.get()), (State::Full, 1));
        rest.into_iter().chain([first]).for_each(give);
        assert_ne!(span.state(), State::Full);
        assert_eq!(span.used.get(), 0);
        give(other);
        heap.retire_empty_spans();
        // SAFETY: all that was taken has been given back.
        unsafe { heap.destroy() };
    }

    #[test]
    fn a_ring_of_free_slots_is_not_followed_for_ever() {
        let heap = HeapRef::create(os::thread_pointer()).unwrap();
        let at = take(heap, 1);
        // SAFETY: it lies in a span in use.
        let span = unsafe { SpanRef::of(at) };
        let free = span.free.get().unwrap();
        // SAFETY: a free slot.
        let next = unsafe { free.as_ref() }.next.replace(Some(free));
        assert_eq!(span.count_free(), span.carved());
        // SAFETY: as above.
        unsafe { free.as_ref() }.next.set(next);
        give(at);
        heap.retire_empty_spans();
        // SAFETY: all that was taken has been given back.
        unsafe { heap.destroy() };
    }
}
