//! Tables of addresses that are known to lead to something that lives: one compare says so, without a look at the memory
//! there.
//!
//! An address has one place, which the address itself says; of two that want the same place, the last to be entered has
//! it. So what is not there may still live, and is looked at the long way. Entries are atomics, for they are of different
//! threads: an address is entered and taken out by who has the right to what it leads to, and whoever has the address
//! from there sees its entry.
//!
//! Whoever found an address may put a *mark* in its place for as long as it changes what is there: it is not found meanwhile,
//! and who comes the long way, in a signal handler that has interrupted that, sees why.

use core::sync::atomic::{
    AtomicUsize,
    Ordering::{Relaxed, SeqCst},
    compiler_fence,
};

/// How many places a table has, as a power of two.
const BITS: u32 = 10;

/// What stands in the place of `address` while what it leads to is being changed. No address that leads to something is the
/// complement of another.
#[inline(always)]
const fn marked(address: usize) -> usize {
    !address
}

/// Whether this is a mark, or what stands for nothing, not an address that leads to something: those are in the lower half of all.
const fn is_none(entry: usize) -> bool {
    entry.cast_signed() <= 0
}

/// See the module. No address in it is 0.
pub struct Known([AtomicUsize; 1 << BITS]);

/// The place of `address`.
#[inline(always)]
const fn place_of(address: usize) -> usize {
    // A multiplier that leaves bits of all of the address in the uppermost, and is an operand of one instruction.
    address.wrapping_mul(0x61c8_8647) >> (usize::BITS - BITS)
}

/// What stands in `place` if nothing does: an address that has its place elsewhere, so that it is not found there either.
const fn nothing(place: usize) -> usize {
    if place == 0 { usize::MAX } else { 0 }
}

const _: () = assert!(place_of(0) == 0 && place_of(usize::MAX) != 0);

impl Known {
    /// An empty table.
    #[allow(clippy::new_without_default, reason = "they are statics")]
    pub const fn new() -> Known {
        let mut places = [const { AtomicUsize::new(nothing(1)) }; 1 << BITS];
        places[0] = AtomicUsize::new(nothing(0));
        Known(places)
    }

    /// Whether `address` is in it; any number can be asked about. No says nothing.
    #[inline(always)]
    pub fn has(&self, address: usize) -> bool {
        self.0[place_of(address)].load(Relaxed) == address
    }

    /// Marks `address`, if it is in the table, until what this returns is dropped. `None` says nothing. Only who has the right
    /// to what it leads to may ask.
    #[inline(always)]
    pub fn mark(&self, address: usize) -> Option<Marked<'_>> {
        let place = &self.0[place_of(address)];
        if place.load(Relaxed) != address {
            return None;
        }
        place.store(marked(address), Relaxed);
        // What is done under the mark comes after it in the program, which is what a signal handler sees.
        compiler_fence(SeqCst);
        Some(Marked { place, address })
    }

    /// Whether `address` is marked, unless another has taken its place since.
    pub fn is_marked(&self, address: usize) -> bool {
        self.0[place_of(address)].load(Relaxed) == marked(address)
    }

    /// In the child of a fork: what threads that are no more have marked is not in the table any more.
    pub fn forget_marks(&self) {
        for (i, place) in self.0.iter().enumerate() {
            if is_none(place.load(Relaxed)) {
                place.store(nothing(i), Relaxed);
            }
        }
    }

    /// What `address` leads to lives, until it is taken out. What it leads to is as others may find it.
    #[inline]
    pub fn enter(&self, address: usize) {
        compiler_fence(SeqCst);
        self.0[place_of(address)].store(address, Relaxed);
    }

    /// What `address` leads to goes, from now on.
    #[inline]
    pub fn take_out(&self, address: usize) {
        if self.has(address) {
            let place = place_of(address);
            self.0[place].store(nothing(place), Relaxed);
        }
        compiler_fence(SeqCst);
    }
}

/// An address is marked until this is dropped.
#[must_use]
pub struct Marked<'a> {
    place: &'a AtomicUsize,
    address: usize,
}

impl Drop for Marked<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        compiler_fence(SeqCst);
        self.place.store(self.address, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_there_from_its_entry_until_it_is_taken_out_or_another_takes_its_place() {
        let known = Known::new();
        let at = 0x7f00_1234_5600;
        assert!(!known.has(at));
        known.enter(at);
        assert!(known.has(at) && !known.has(at + 16));
        known.take_out(at);
        assert!(!known.has(at));
        let rival = (1..).map(|i| at + 16 * i).find(|&other| place_of(other) == place_of(at)).unwrap();
        known.enter(at);
        known.enter(rival);
        assert!(known.has(rival) && !known.has(at));
        // It is not there any more, and takes nobody else out.
        known.take_out(at);
        assert!(known.has(rival));
    }

    #[test]
    fn a_marked_address_is_not_found_until_the_mark_goes() {
        let known = Known::new();
        let at = 0x7f00_1234_5600;
        assert!(known.mark(at).is_none() && !known.is_marked(at));
        known.enter(at);
        let marked = known.mark(at).unwrap();
        assert!(known.is_marked(at) && !known.has(at) && known.mark(at).is_none());
        drop(marked);
        assert!(known.has(at) && !known.is_marked(at));
        let other = (1..).map(|i| at + 16 * i).find(|&other| place_of(other) != place_of(at)).unwrap();
        known.enter(other);
        core::mem::forget(known.mark(at));
        known.forget_marks();
        assert!(!known.has(at) && !known.is_marked(at) && known.has(other));
    }

    #[test]
    fn an_empty_table_has_nothing() {
        let known = Known::new();
        for wild in -70_000..70_000_isize {
            assert!(!known.has(wild as usize) && known.mark(wild as usize).is_none(), "{wild:#x}");
        }
    }
}
