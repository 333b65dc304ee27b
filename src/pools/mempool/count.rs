//! How many elements are out, counted without a word that all threads write to.
//!
//! A thread writes to a slot of its own, which it knows by its thread pointer: no two living threads have the
//! same, and one that has that of a dead thread goes on where that one was. It looks for one in two places; where both
//! are other threads', it shares two words with all others. What is given and what comes back are counted apart, and
//! both only grow: so two looks at all of them that find the same have found what was true in between.

use core::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};

use crate::mem::os;

const SLOTS: usize = 8;
/// How often [`Count::is_none_out`] looks, while others are at it.
const LOOKS: usize = 4;

/// The words of one thread, so far from those of the next, and from what comes behind, that no line of the processor's
/// caches holds two threads' words, wherever the slots begin.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Slot {
    /// Its thread pointer; 0 while it is nobody's.
    owner: AtomicUsize,
    given: AtomicUsize,
    returned: AtomicUsize,
    unused: [usize; 13],
}

const _: () =
    assert!(size_of::<Slot>() >= 64 + 3 * size_of::<usize>() && size_of::<Slot>().is_power_of_two());

/// See the module.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Count {
    slots: [Slot; SLOTS],
    shared: Slot,
}

/// The slot where a thread looks first. Stacks, and the thread pointers in them, are mostly an odd number of pages apart, with
/// the page between them that nobody may touch: so the threads of a program have slots side by side.
#[inline(always)]
fn first_slot(thread: usize) -> usize {
    (thread >> 12) % SLOTS
}

/// The slot where it looks next. The upper bits of the product depend on all bits of the number.
fn second_slot(thread: usize) -> usize {
    ((thread as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SLOTS.ilog2())) as usize
}

/// Words that the calling thread counts in: its own, or those that it shares.
#[derive(Clone, Copy)]
pub(super) enum Mine<'a> {
    Alone(&'a Slot),
    Shared(&'a Slot),
}

/// What the thread does whose slot it is.
impl Slot {
    /// An element goes out.
    #[inline(always)]
    pub(super) fn give(&self) {
        self.given.store(self.given.load(Relaxed).wrapping_add(1), Release);
    }

    /// An element has come back.
    #[inline(always)]
    pub(super) fn take_back(&self) {
        self.returned.store(self.returned.load(Relaxed).wrapping_add(1), Release);
    }

    /// Whether it is known that elements are out that the thread was given. Cheap; false says nothing.
    #[inline(always)]
    pub(super) fn has_some(&self) -> bool {
        self.given.load(Relaxed) > self.returned.load(Relaxed)
    }
}

impl Mine<'_> {
    /// An element goes out.
    #[inline(always)]
    pub(super) fn give(self) {
        match self {
            Mine::Alone(slot) => slot.give(),
            Mine::Shared(slot) => _ = slot.given.fetch_add(1, Release),
        }
    }

    /// An element has come back.
    #[inline(always)]
    pub(super) fn take_back(self) {
        match self {
            Mine::Alone(slot) => slot.take_back(),
            Mine::Shared(slot) => _ = slot.returned.fetch_add(1, Release),
        }
    }

    /// As [`Slot::has_some`].
    #[inline(always)]
    pub(super) fn has_some(self) -> bool {
        match self {
            Mine::Alone(slot) => slot.has_some(),
            Mine::Shared(_) => false,
        }
    }
}

impl Count {
    /// Nothing is out.
    pub(super) fn new() -> Count {
        Count::default()
    }

    /// The calling thread's words.
    #[inline(always)]
    pub(super) fn mine(&self) -> Mine<'_> {
        self.alone().map_or_else(|| self.find(), Mine::Alone)
    }

    /// The first of the slots that the calling thread may have, if that is known to be its own.
    #[inline(always)]
    pub(super) fn alone(&self) -> Option<&Slot> {
        let me = os::thread_pointer();
        let slot = &self.slots[first_slot(me)];
        (slot.owner.load(Relaxed) == me).then_some(slot)
    }

    /// An element goes out to the calling thread, whose words are not where they are looked for first.
    #[cold]
    #[inline(never)]
    pub(super) fn give(&self) {
        self.find().give();
    }

    /// The calling thread's words, wherever they are.
    #[cold]
    #[inline(never)]
    fn find(&self) -> Mine<'_> {
        let me = os::thread_pointer();
        let is_mine = |slot: &&Slot| {
            let owner = slot.owner.load(Relaxed);
            owner == me || owner == 0 && slot.owner.compare_exchange(0, me, Relaxed, Relaxed).is_ok()
        };
        let places = [first_slot(me), second_slot(me)];
        places.iter().map(|&i| &self.slots[i]).find(is_mine).map_or(Mine::Shared(&self.shared), Mine::Alone)
    }

    fn look(&self) -> [(usize, usize); SLOTS + 1] {
        core::array::from_fn(|i| {
            let slot = self.slots.get(i).unwrap_or(&self.shared);
            (slot.given.load(Acquire), slot.returned.load(Acquire))
        })
    }

    /// How many elements went out, and how many have come back.
    pub(super) fn totals(&self) -> (usize, usize) {
        let add = |sum: (usize, usize), one: &(usize, usize)| {
            (sum.0.wrapping_add(one.0), sum.1.wrapping_add(one.1))
        };
        self.look().iter().fold((0, 0), add)
    }

    fn sum(seen: &[(usize, usize)]) -> usize {
        let out = seen
            .iter()
            .fold(0usize, |out, (given, returned)| out.wrapping_add(*given).wrapping_sub(*returned));
        // While others are at it, the words are of different moments.
        if out > isize::MAX as usize { 0 } else { out }
    }

    /// How many elements are out.
    pub(super) fn out(&self) -> usize {
        Count::sum(&self.look())
    }

    /// Whether it is certain that nothing is out.
    #[cold]
    pub(super) fn is_none_out(&self) -> bool {
        let mut before = self.look();
        for _ in 0..LOOKS {
            if Count::sum(&before) > 0 {
                return false;
            }
            fence(SeqCst);
            let now = self.look();
            if now == before {
                return true;
            }
            before = now;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;
    use std::vec::Vec;

    /// More threads than slots; elements go out in one and come back in another.
    #[test]
    fn it_counts_right_and_never_says_none_to_who_has_one() {
        let count = Arc::new(Count::new());
        assert!(count.is_none_out());
        let (send, receive) = std::sync::mpsc::channel();
        let receive = Arc::new(std::sync::Mutex::new(receive));
        let threads: Vec<_> = (0..12)
            .map(|i| {
                let (count, send, receive) = (count.clone(), send.clone(), receive.clone());
                thread::spawn(move || {
                    for _ in 0..3000 {
                        if i % 2 == 0 {
                            count.mine().give();
                            assert!(!count.is_none_out());
                            send.send(()).unwrap();
                        } else {
                            receive.lock().unwrap().recv().unwrap();
                            assert!(!count.is_none_out());
                            count.mine().take_back();
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(count.is_none_out());
        assert_eq!(count.out(), 0);
        count.mine().give();
        assert_eq!(count.out(), 1);
        assert!(!count.is_none_out());
    }
}
