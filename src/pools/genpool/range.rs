//! A range of addresses that the user has brought, with its books: the map of what is taken, and the
//! ledger of who has it. The addresses are numbers; nothing is read or written there.

use super::fit::{self, Place, Request};
use super::ledger::Ledger;
use super::map::{MAX_GRANULES, Map, Shape};
use super::summary::Summary;
use super::{AddError, ReleaseError};
use crate::pools::table::Table;

/// See the module. It is made of whole granules, each at a multiple of its size.
#[derive(Debug)]
pub(super) struct Range {
    /// The first address.
    start: usize,
    /// The last address.
    last: usize,
    /// A granule is `1 << order` bytes.
    order: u32,
    /// Free granules.
    free: usize,
    shape: Shape,
    /// The map, and behind it the two halves of the ledger, each of as many words.
    words: Table<u64>,
    nodes: Table<Summary>,
    /// The sets of lengths, a word for each node; none until best fit asks for them.
    lengths: Table<u64>,
}

impl Range {
    /// `size` bytes from `start` on, all free, in granules of `1 << order`.
    pub(super) fn new(start: usize, size: usize, order: u32) -> Result<Range, AddError> {
        let granule = 1usize << order;
        if size < granule {
            return Err(AddError::TooSmall);
        }
        if start == 0 || (start | size) & (granule - 1) != 0 {
            return Err(AddError::Misaligned);
        }
        let last = start.checked_add(size - 1).ok_or(AddError::TooLarge)?;
        let granules = size >> order;
        if granules > MAX_GRANULES {
            return Err(AddError::TooLarge);
        }
        let shape = Shape::new(start >> order, granules);
        let words = Table::filled(3 * shape.words(), 0).map_err(AddError::Memory)?;
        let nodes = Table::filled(shape.nodes(), Summary::USED).map_err(AddError::Memory)?;
        let mut range =
            Range { start, last, order, free: granules, shape, words, nodes, lengths: Table::new() };
        range.books().0.start();
        Ok(range)
    }

    /// The first address.
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// The last address.
    pub(super) fn last(&self) -> usize {
        self.last
    }

    /// Bytes in all.
    pub(super) fn size(&self) -> usize {
        self.granules() << self.order
    }

    /// Free bytes.
    pub(super) fn avail(&self) -> usize {
        self.free << self.order
    }

    /// Whether `size` bytes at `address` lie in it, where 0 is the address alone.
    pub(super) fn has(&self, address: usize, size: usize) -> bool {
        self.start <= address && address <= self.last && size.saturating_sub(1) <= self.last - address
    }

    fn granules(&self) -> usize {
        self.shape.bits().len()
    }

    /// Whether so many granules may be free in a row, as far as can be seen quickly.
    pub(super) fn may_hold(&self, granules: usize) -> bool {
        granules <= self.free
    }

    fn books(&mut self) -> (Map<'_>, Ledger<'_>) {
        let words = self.shape.words();
        let (taken, ledger) = self.words.split_at_mut(words);
        let (first, last) = ledger.split_at_mut(words);
        (Map::new(&self.shape, taken, &mut self.nodes, &mut self.lengths), Ledger::new(first, last))
    }

    /// What a search in the map finds. Nothing changes.
    pub(super) fn find<R>(&mut self, search: impl FnOnce(&Map<'_>) -> R) -> R {
        search(&self.books().0)
    }

    /// The first place at bit `from` or behind it.
    pub(super) fn first(&mut self, from: usize, request: Request) -> Option<usize> {
        self.find(|map| fit::first(map, from, request))
    }

    /// The place in the shortest run that will do. Without memory for the sets of lengths, it is found all the same.
    pub(super) fn best(&mut self, request: Request) -> Option<Place> {
        if self.lengths.is_empty()
            && let Ok(lengths) = Table::filled(self.shape.nodes(), 0)
        {
            self.lengths = lengths;
            self.books().0.start_lengths();
        }
        self.find(|map| fit::best(map, request))
    }

    /// Best fit is not expected any more: nobody pays for its books.
    pub(super) fn drop_lengths(&mut self) {
        self.lengths = Table::new();
    }

    /// The place in the longest run.
    pub(super) fn worst(&mut self, request: Request) -> Option<Place> {
        self.find(|map| fit::worst(map, request))
    }

    /// The place of the smallest block that will do.
    pub(super) fn buddy(&mut self, request: Request) -> Option<Place> {
        self.find(|map| fit::buddy(map, request))
    }

    /// The bit of the granule at `address`, which lies in the range.
    pub(super) fn bit_of(&self, address: usize) -> usize {
        self.shape.bits().start + ((address - self.start) >> self.order)
    }

    /// Takes `held` free granules at bit `at` for an allocation that asks for `asked` of them. Its address.
    pub(super) fn take(&mut self, at: usize, asked: usize, held: usize) -> usize {
        let (mut map, mut ledger) = self.books();
        map.take(at..at + held);
        ledger.enter(at, asked);
        self.free -= held;
        self.start + ((at - self.shape.bits().start) << self.order)
    }

    /// [`take`](Range::take) at an address from which on so many granules lie in the range, if all of them
    /// are free.
    pub(super) fn take_at(&mut self, address: usize, granules: usize) -> bool {
        let at = self.bit_of(address);
        let (map, _) = self.books();
        if !map.is_free(at..at + granules) {
            return false;
        }
        self.take(at, granules, granules);
        true
    }

    /// Gives back the allocation at `address`, which asked for `granules`. How many it held.
    pub(super) fn give(&mut self, address: usize, granules: usize) -> Result<usize, ReleaseError> {
        let (order, at) = (self.order, self.bit_of(address));
        let is_granule = address.trailing_zeros() >= order;
        let (mut map, mut ledger) = self.books();
        let Some(asked) = ledger.asked(at).filter(|_| is_granule) else {
            return Err(if map.is_free_at(at) { ReleaseError::Free } else { ReleaseError::Inside });
        };
        if asked != granules {
            return Err(ReleaseError::WrongSize { allocated: asked << order });
        }
        let held = ledger.held(&map, at, asked);
        ledger.strike(at, asked);
        map.give(at..at + held);
        self.free += held;
        Ok(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_are_four_bits_a_granule() {
        let range = Range::new(1 << 40, 1 << 32, 12).unwrap();
        let bytes = size_of_val(&*range.words) + size_of_val(&*range.nodes);
        assert!(bytes * 8 <= (1 << 20) * 4 + (1 << 12), "{bytes}");
    }
}
