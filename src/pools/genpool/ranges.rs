//! The ranges of a pool: which one it is to be, for an allocation and for a free, and how much there is in
//! all. Used under the pool's lock.

use super::fit::{Place, Request};
use super::range::Range;
use super::{AddError, Algo, PlaceError, RangeInfo, ReleaseError};
use crate::error::AllocError;
use crate::pools::table::Table;
use crate::tree::pool::Stats;

/// See the module.
#[derive(Debug)]
pub(super) struct Ranges {
    /// A granule is `1 << order` bytes.
    order: u32,
    /// What an allocation does that names no algorithm.
    algo: Algo,
    /// In the order in which they were added.
    all: Table<Range>,
    /// Their numbers, in the order of their addresses.
    by_address: Table<u32>,
    /// Where the last allocation by next fit ended: the range, and the bit.
    cursor: (usize, usize),
    /// Bytes.
    pub(super) size: usize,
    /// Bytes that are free.
    pub(super) avail: usize,
    /// What was allocated and given back, in bytes of whole granules.
    pub(super) stats: Stats,
}

impl Ranges {
    /// None yet.
    pub(super) fn new(order: u32) -> Ranges {
        Ranges {
            order,
            algo: Algo::default(),
            all: Table::new(),
            by_address: Table::new(),
            cursor: (0, 0),
            size: 0,
            avail: 0,
            stats: Stats::default(),
        }
    }

    /// Sets what an allocation does that names no algorithm.
    pub(super) fn set_algo(&mut self, algo: Algo) {
        self.algo = algo;
        if algo != Algo::BestFit {
            self.all.iter_mut().for_each(Range::drop_lengths);
        }
    }

    /// Adds a range, if the pool has nothing of it yet.
    pub(super) fn add(&mut self, range: Range) -> Result<(), AddError> {
        let start_of = |i: &u32| self.all[*i as usize].start();
        let index = self.by_address.partition_point(|i| start_of(i) < range.start());
        let (before, behind) = self.by_address.split_at(index);
        if before.last().is_some_and(|&i| self.all[i as usize].last() >= range.start())
            || behind.first().is_some_and(|i| start_of(i) <= range.last())
        {
            return Err(AddError::Overlaps);
        }
        let number = u32::try_from(self.all.len()).map_err(|_| AddError::Memory(AllocError::TooLarge))?;
        self.all.grow_for_one().map_err(AddError::Memory)?;
        self.by_address.grow_for_one().map_err(AddError::Memory)?;
        self.size += range.size();
        self.avail += range.avail();
        self.by_address.insert(index, number);
        self.all.push(range);
        Ok(())
    }

    /// The number of the range that `address` lies in.
    fn at(&self, address: usize) -> Option<usize> {
        let behind = self.by_address.partition_point(|&i| self.all[i as usize].start() <= address);
        let number = self.by_address[behind.checked_sub(1)?] as usize;
        self.all[number].has(address, 0).then_some(number)
    }

    /// Whether `size` bytes at `address` lie in one range; 0 asks for the address alone.
    pub(super) fn has(&self, address: usize, size: usize) -> bool {
        self.at(address).is_some_and(|i| self.all[i].has(address, size))
    }

    /// What there is to tell of the range that was added after `index` others.
    pub(super) fn info(&self, index: usize) -> Option<RangeInfo> {
        let range = self.all.get(index)?;
        Some(RangeInfo { start: range.start(), size: range.size(), avail: range.avail() })
    }

    /// Takes what is asked for, by `algo` or by the pool's own: its address.
    pub(super) fn alloc(&mut self, algo: Option<Algo>, request: Request) -> Option<usize> {
        let found = self.place(algo.unwrap_or(self.algo), request);
        let Some((number, at, held)) = found else {
            self.stats.failures += 1;
            return None;
        };
        self.took(held);
        Some(self.all[number].take(at, request.granules, held))
    }

    /// How many allocations are out.
    pub(super) fn out(&self) -> usize {
        self.stats.allocations - self.stats.frees
    }

    fn took(&mut self, granules: usize) {
        let bytes = granules << self.order;
        self.avail -= bytes;
        self.stats.allocations += 1;
        self.stats.total = self.stats.total.wrapping_add(bytes);
        self.stats.current += bytes;
        self.stats.peak = self.stats.peak.max(self.stats.current);
    }

    /// Where an allocation goes: the range, the bit, and how many granules it holds.
    fn place(&mut self, algo: Algo, request: Request) -> Option<(usize, usize, usize)> {
        let mut held = request.granules;
        let (number, at) = match algo {
            Algo::FirstFit | Algo::FirstFitAlign => self.first(request),
            Algo::FirstFitOrderAlign => {
                let size = request.granules.checked_next_power_of_two()?;
                self.first(Request { align: request.align.max(size), ..request })
            }
            Algo::NextFit => self.next(request),
            Algo::BestFit => self.least(request, Range::best, |place| place.from),
            Algo::WorstFit => self.least(request, Range::worst, |place| usize::MAX - place.from),
            Algo::Buddy => {
                held = request.granules.checked_next_power_of_two()?;
                self.least(request, Range::buddy, |place| place.from)
            }
        }?;
        if algo == Algo::NextFit {
            self.cursor = (number, at + held);
        }
        Some((number, at, held))
    }

    /// The ranges that may have room, with their numbers.
    fn candidates(&mut self, request: Request) -> impl Iterator<Item = (usize, &mut Range)> {
        self.all.iter_mut().enumerate().filter(move |(_, range)| range.may_hold(request.granules))
    }

    fn first(&mut self, request: Request) -> Option<(usize, usize)> {
        self.candidates(request).find_map(|(i, range)| Some((i, range.first(0, request)?)))
    }

    fn next(&mut self, request: Request) -> Option<(usize, usize)> {
        let (number, bit) = self.cursor;
        if let Some(at) = self.all.get_mut(number)?.first(bit, request) {
            return Some((number, at));
        }
        let count = self.all.len();
        // Around, and last of all the range where it began, from its start.
        (1..=count)
            .map(|step| (number + step) % count)
            .find_map(|i| Some((i, self.all[i].first(0, request)?)))
    }

    /// The place of the least rank among those that `find` finds; in the first range of several.
    fn least(
        &mut self,
        request: Request,
        find: impl Fn(&mut Range, Request) -> Option<Place>,
        rank: impl Fn(&Place) -> usize,
    ) -> Option<(usize, usize)> {
        self.candidates(request)
            .filter_map(|(i, range)| Some((i, find(range, request)?)))
            .min_by_key(|(_, place)| rank(place))
            .map(|(i, place)| (i, place.at))
    }

    /// Takes `size` bytes, which are so many granules, at the granule `at`.
    pub(super) fn alloc_fixed(&mut self, at: usize, size: usize, granules: usize) -> Result<(), PlaceError> {
        let range = self.at(at).map(|number| &mut self.all[number]);
        let range = range.filter(|range| range.has(at, size)).ok_or(PlaceError::BadPlace)?;
        if !range.take_at(at, granules) {
            self.stats.failures += 1;
            return Err(PlaceError::NoRoom);
        }
        self.took(granules);
        Ok(())
    }

    /// Gives back the allocation of so many granules at `address`.
    pub(super) fn release(&mut self, address: usize, granules: usize) -> Result<(), ReleaseError> {
        let number = self.at(address).ok_or(ReleaseError::Outside)?;
        let held = self.all[number].give(address, granules)?;
        self.avail += held << self.order;
        self.stats.current -= held << self.order;
        self.stats.frees += 1;
        Ok(())
    }
}
