//! Who has what: where each allocation of a range starts and ends, in two bits a granule.
//!
//! The first granule of an allocation has a bit in `first`, the last one that was asked for has one in
//! `last`. A buddy block may be longer than what was asked for: the rest of it is taken in the map, and
//! belongs to no allocation. So a free knows what it frees: an address at which nothing starts, or a
//! length that is not the one asked for, is seen.

use super::bits::{self, WORD};
use super::map::Map;

/// See the module.
#[derive(Debug)]
pub(super) struct Ledger<'a> {
    first: &'a mut [u64],
    last: &'a mut [u64],
}

impl<'a> Ledger<'a> {
    /// The ledger that the two hold, each with as many words as the map of the range.
    pub(super) fn new(first: &'a mut [u64], last: &'a mut [u64]) -> Ledger<'a> {
        Ledger { first, last }
    }

    /// Enters an allocation of `granules` at bit `at`.
    pub(super) fn enter(&mut self, at: usize, granules: usize) {
        let last = at + granules - 1;
        bits::set(self.first, at..at + 1);
        bits::set(self.last, last..last + 1);
    }

    /// How many granules the allocation at bit `at` asked for, if one starts there.
    pub(super) fn asked(&self, at: usize) -> Option<usize> {
        if !bits::has(self.first, at) {
            return None;
        }
        bits::next_set(self.last, at..self.last.len() * WORD).map(|last| last + 1 - at)
    }

    /// How many granules of `map` an allocation at bit `at` holds that asked for `asked`: more only where
    /// it is a buddy block.
    pub(super) fn held(&self, map: &Map<'_>, at: usize, asked: usize) -> usize {
        let end = at + asked;
        let rest_of_block =
            end < map.shape().bits().end && !map.is_free_at(end) && !bits::has(self.first, end);
        if rest_of_block { asked.next_power_of_two() } else { asked }
    }

    /// Strikes the allocation of `granules` at bit `at`.
    pub(super) fn strike(&mut self, at: usize, granules: usize) {
        let last = at + granules - 1;
        bits::clear(self.first, at..at + 1);
        bits::clear(self.last, last..last + 1);
    }
}
