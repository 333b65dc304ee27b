//! Tables of addresses that are known to lead to something that lives: one compare says so, without a look at the memory
//! there.
//!
//! An address has one place, which the address itself says; of two that want the same place, the last to be entered has
//! it. So what is not there may still live, and is looked at the long way. Entries are atomics, for they are of different
//! threads: an address is entered and taken out by who has the right to what it leads to, and whoever has the address
//! from there sees its entry.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How many places a table has, as a power of two.
const BITS: u32 = 10;

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

    /// What `address` leads to lives, until it is taken out.
    #[inline]
    pub fn enter(&self, address: usize) {
        self.0[place_of(address)].store(address, Relaxed);
    }

    /// What `address` leads to goes.
    #[inline]
    pub fn take_out(&self, address: usize) {
        if self.has(address) {
            let place = place_of(address);
            self.0[place].store(nothing(place), Relaxed);
        }
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
    fn an_empty_table_has_nothing() {
        let known = Known::new();
        for wild in -70_000..70_000_isize {
            assert!(!known.has(wild as usize), "{wild:#x}");
        }
    }
}
