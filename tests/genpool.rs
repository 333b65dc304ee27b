//! Managed ranges, as their users see them: random programs on several ranges against a naive model, every
//! misuse, and threads.
//!
//! Attacks: a range or an algorithm that is preferred in the wrong order, books that drift, frees of what was
//! never given out, addresses at the edges of the address space, an address that two threads get.

mod random;

use random::Rng;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use tmempool::ops;
use tmempool::pools::genpool::{AddError, Algo, GenPool, PlaceError, RangeInfo, ReleaseError};
use tmempool::pools::resident::ResidentRef;
use tmempool::tree::pool::Stats;

const ALGOS: [Algo; 7] = [
    Algo::FirstFit,
    Algo::BestFit,
    Algo::WorstFit,
    Algo::NextFit,
    Algo::FirstFitAlign,
    Algo::FirstFitOrderAlign,
    Algo::Buddy,
];

struct NaiveRange {
    start: usize,
    free: Vec<bool>,
}

#[derive(Clone, Copy)]
struct Allocation {
    address: usize,
    size: usize,
    range: usize,
    at: usize,
    held: usize,
}

/// The pool as its documentation says that it is, granule by granule.
#[derive(Default)]
struct Model {
    granule: usize,
    ranges: Vec<NaiveRange>,
    cursor: (usize, usize),
    live: Vec<Allocation>,
    /// Bytes given out in all, the most at a time, allocations, and those that were refused for want of room.
    total: usize,
    peak: usize,
    count: usize,
    failures: usize,
}

impl Model {
    fn check_stats(&self, stats: &Stats, size: usize) {
        let now = size - self.avail();
        assert_eq!((stats.total, stats.current, stats.peak), (self.total, now, self.peak));
        assert_eq!((stats.allocations, stats.failures), (self.count, self.failures));
        assert_eq!(stats.frees, self.count - self.live.len());
    }

    fn is_free(&self, range: usize, at: usize, n: usize) -> bool {
        let free = &self.ranges[range].free;
        at + n <= free.len() && free[at..at + n].iter().all(|&free| free)
    }

    /// All places: range, granule, and the length of the free run around it.
    fn places(&self, from: (usize, usize), n: usize, align: usize) -> Vec<(usize, usize, usize)> {
        let mut places = Vec::new();
        for (i, range) in self.ranges.iter().enumerate().skip(from.0) {
            let mut at = if i == from.0 { from.1 } else { 0 };
            while at < range.free.len() {
                let end = at + range.free[at..].iter().take_while(|&&free| free).count();
                let place = (at..end).find(|at| (range.start + at * self.granule).is_multiple_of(align));
                if let Some(place) = place.filter(|place| place + n <= end) {
                    places.push((i, place, end - at));
                }
                at = end + 1;
            }
        }
        places
    }

    fn buddy(&self, size: usize) -> Option<(usize, usize)> {
        for bytes in (0..40).map(|order| self.granule << order).filter(|&bytes| bytes >= size) {
            for (i, range) in self.ranges.iter().enumerate() {
                for at in 0..range.free.len() {
                    let address = range.start + at * self.granule;
                    let parent = address & !(2 * bytes - 1);
                    let n = bytes / self.granule;
                    let is_half = parent >= range.start
                        && self.is_free(i, (parent - range.start) / self.granule, 2 * n);
                    if address.is_multiple_of(bytes) && self.is_free(i, at, n) && !is_half {
                        return Some((i, at));
                    }
                }
            }
        }
        None
    }

    fn find(&self, algo: Algo, size: usize, align: usize) -> Option<(usize, usize)> {
        let n = size.div_ceil(self.granule);
        let rounded = (n * self.granule).next_power_of_two();
        let place = |&(range, at, _): &(usize, usize, usize)| (range, at);
        let all = self.places((0, 0), n, align);
        match algo {
            Algo::FirstFit | Algo::FirstFitAlign => all.first().map(place),
            Algo::FirstFitOrderAlign => self.places((0, 0), n, align.max(rounded)).first().map(place),
            Algo::NextFit => {
                let behind = self.places(self.cursor, n, align);
                behind.first().or(all.first()).map(place)
            }
            Algo::BestFit => all.iter().min_by_key(|place| place.2).map(place),
            Algo::WorstFit => all.iter().rev().max_by_key(|place| place.2).map(place),
            Algo::Buddy => self.buddy(align.max(rounded)),
        }
    }

    fn alloc(&mut self, algo: Option<Algo>, (range, at): (usize, usize), size: usize) -> Allocation {
        let asked = size.div_ceil(self.granule);
        let held = if algo == Some(Algo::Buddy) { asked.next_power_of_two() } else { asked };
        assert!(self.is_free(range, at, held));
        self.ranges[range].free[at..at + held].fill(false);
        if algo == Some(Algo::NextFit) {
            self.cursor = (range, at + held);
        }
        let address = self.ranges[range].start + at * self.granule;
        let allocation = Allocation { address, size, range, at, held };
        self.live.push(allocation);
        self.total += held * self.granule;
        self.peak = self.peak.max(self.live.iter().map(|live| live.held * self.granule).sum());
        self.count += 1;
        allocation
    }

    fn avail(&self) -> usize {
        let free = |range: &NaiveRange| range.free.iter().filter(|&&free| free).count();
        self.ranges.iter().map(free).sum::<usize>() * self.granule
    }
}

fn program(seed: u64, found: &mut [[usize; 2]; 7]) {
    let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let order = [0, 3, 4, 12][rng.below(4)];
    let granule = 1usize << order;
    let pool = GenPool::new(order as u32).unwrap();
    let mut model = Model { granule, ..Model::default() };
    let mut places: Vec<usize> = (1..6).map(|i| i * 1000 + rng.below(300)).collect();
    for _ in 0..1 + rng.below(4) {
        let start = places.swap_remove(rng.below(places.len())) * granule;
        let free = vec![true; 1 + rng.below(400)];
        pool.add(start, free.len() * granule).unwrap();
        assert_eq!(pool.add(start, free.len() * granule), Err(AddError::Overlaps));
        let last = start + (free.len() - 1) * granule;
        assert_eq!(pool.add(last, granule), Err(AddError::Overlaps));
        model.ranges.push(NaiveRange { start, free });
    }
    let size: usize = model.ranges.iter().map(|range| range.free.len() * granule).sum();
    assert_eq!(pool.size(), size);
    let largest = 1 + rng.below(60) * granule;
    let mut pool_algo = Algo::FirstFit;
    for step in 0..300 {
        match rng.below(12) {
            0..5 => {
                let size = 1 + rng.below(largest);
                let align = if rng.below(2) == 0 { 0 } else { 1 << rng.below(order + 7) };
                let algo = ALGOS[rng.below(7)];
                let by_pool = align == 0 && rng.below(3) == 0;
                let algo = if by_pool { pool_algo } else { algo };
                let wanted = model.find(algo, size, align.max(1));
                let got = if by_pool { pool.alloc(size) } else { pool.alloc_algo(size, algo, align) };
                found[algo as usize][usize::from(wanted.is_none())] += 1;
                match wanted {
                    Some(place) => {
                        let address = model.alloc(Some(algo), place, size).address;
                        assert_eq!(got, Ok(address), "seed {seed} step {step}: {algo:?} {size} {align}");
                    }
                    None => {
                        model.failures += 1;
                        assert_eq!(got, Err(PlaceError::NoRoom), "seed {seed}: {algo:?} {size} {align}")
                    }
                }
            }
            5 => {
                let range = rng.below(model.ranges.len());
                let at = rng.below(model.ranges[range].free.len());
                let size = 1 + rng.below(largest);
                let address = model.ranges[range].start + at * granule;
                let n = size.div_ceil(granule);
                let wanted = if at + n > model.ranges[range].free.len() {
                    Err(PlaceError::BadPlace)
                } else if model.is_free(range, at, n) {
                    model.alloc(None, (range, at), size);
                    Ok(())
                } else {
                    model.failures += 1;
                    Err(PlaceError::NoRoom)
                };
                assert_eq!(pool.alloc_fixed(address, size), wanted, "seed {seed} step {step}");
            }
            6 => {
                pool_algo = ALGOS[rng.below(7)];
                pool.set_algo(pool_algo);
            }
            7 => misuse(&pool, &model, &mut rng),
            _ if !model.live.is_empty() => {
                let it = model.live.swap_remove(rng.below(model.live.len()));
                assert_eq!(pool.release(it.address, it.size), Ok(()), "seed {seed} step {step}");
                assert_eq!(pool.release(it.address, it.size), Err(ReleaseError::Free));
                model.ranges[it.range].free[it.at..it.at + it.held].fill(true);
            }
            _ => {}
        }
        assert_eq!(pool.avail(), model.avail());
        assert_eq!(pool.in_use(), (model.live.len(), size - model.avail()));
        model.check_stats(&pool.stats(), size);
    }
    for (i, range) in model.ranges.iter().enumerate() {
        let info = pool.range(i).unwrap();
        assert_eq!((info.start, info.size), (range.start, range.free.len() * granule));
        assert_eq!(info.avail, range.free.iter().filter(|&&free| free).count() * granule);
    }
    assert_eq!(pool.range(model.ranges.len()), None);
}

/// Frees that must be refused, of a pool in any state.
fn misuse(pool: &GenPool, model: &Model, rng: &mut Rng) {
    let range = &model.ranges[rng.below(model.ranges.len())];
    let address = range.start + rng.below(range.free.len() * model.granule);
    let at = (address - range.start) / model.granule;
    let size = 1 + rng.below(range.free.len() * model.granule);
    let wanted = match model.live.iter().find(|live| live.address == address) {
        Some(live) if live.size.div_ceil(model.granule) == size.div_ceil(model.granule) => return,
        Some(live) => {
            let allocated = live.size.div_ceil(model.granule) * model.granule;
            Err(ReleaseError::WrongSize { allocated })
        }
        None if range.free[at] => Err(ReleaseError::Free),
        None => Err(ReleaseError::Inside),
    };
    assert_eq!(pool.release(address, size), wanted);
    let end = range.start + range.free.len() * model.granule;
    for outside in [0, range.start - 1, end, usize::MAX] {
        assert_eq!(pool.release(outside, size), Err(ReleaseError::Outside));
        assert!(!pool.has_addr(outside, 1));
    }
    assert!(pool.has_addr(address, end - address));
    assert!(!pool.has_addr(address, end - address + 1));
    assert!(!pool.has_addr(address, usize::MAX));
}

#[test]
fn it_is_what_its_documentation_says() {
    let mut found = [[0; 2]; 7];
    for seed in 1..=400 {
        program(seed, &mut found);
    }
    assert!(found.iter().flatten().all(|&count| count > 100), "{found:?}");
}

#[test]
fn every_order_and_the_ends_of_the_address_space() {
    for order in 0..64 {
        let pool = GenPool::new(order).unwrap();
        let granule = 1usize << order;
        assert_eq!(pool.alloc(1), Err(PlaceError::NoRoom));
        assert_eq!(pool.alloc_fixed(granule, 1), Err(PlaceError::BadPlace));
        assert_eq!(pool.release(granule, 1), Err(ReleaseError::Outside));
        assert_eq!(pool.add(0, granule), Err(AddError::Misaligned));
        assert_eq!(pool.add(granule, 0), Err(AddError::TooSmall));
        if order > 0 {
            assert_eq!(pool.add(granule, granule - 1), Err(AddError::TooSmall));
            assert_eq!(pool.add(granule + 1, granule), Err(AddError::Misaligned));
            assert_eq!(pool.add(granule, granule | 1), Err(AddError::Misaligned));
        }
        // The last granule there is.
        let last = usize::MAX - (granule - 1);
        pool.add(last, granule).unwrap();
        assert_eq!(pool.add(last, granule), Err(AddError::Overlaps));
        assert!(pool.has_addr(usize::MAX, 1) && !pool.has_addr(usize::MAX, 2));
        for algo in ALGOS {
            assert_eq!(pool.alloc_algo(granule, algo, granule), Ok(last));
            assert_eq!(pool.alloc_algo(1, algo, 1), Err(PlaceError::NoRoom));
            assert_eq!(pool.release(last, 0), Err(ReleaseError::WrongSize { allocated: granule }));
            assert_eq!(pool.release(last, granule), Ok(()));
            for size in [usize::MAX, usize::MAX / 2 + 1, usize::MAX / 2 + 2, usize::MAX - granule + 1] {
                if size > granule {
                    assert_eq!(pool.alloc_algo(size, algo, 1), Err(PlaceError::NoRoom), "{order} {size}");
                }
            }
            assert_eq!(pool.alloc_algo(0, algo, 1), Err(PlaceError::ZeroSize));
            assert_eq!(pool.alloc_algo(1, algo, 3), Err(PlaceError::BadAlignment));
            assert_eq!(pool.alloc_algo(1, algo, usize::MAX), Err(PlaceError::BadAlignment));
        }
        assert_eq!(pool.alloc_fixed(last, 0), Err(PlaceError::ZeroSize));
        if order < 63 {
            assert_eq!(pool.add(last - granule, 3 * granule), Err(AddError::TooLarge));
            assert_eq!(pool.alloc_fixed(last, granule + 1), Err(PlaceError::BadPlace));
        }
        assert_eq!(pool.alloc_fixed(last, 1), Ok(()));
        assert_eq!(pool.in_use(), (1, granule));
    }
    assert!(GenPool::new(64).is_none() && GenPool::new(u32::MAX).is_none());
    assert_eq!(GenPool::new(0).unwrap().add(4096, (1 << 31) + 1), Err(AddError::TooLarge));
}

#[test]
fn ranges_are_asked_in_the_order_in_which_they_came() {
    let pool = GenPool::new(4).unwrap();
    for start in [0x9000, 0x1000, 0x5000] {
        pool.add(start, 0x100).unwrap();
    }
    let got: Vec<_> = (0..3).map(|_| pool.alloc(0x100).unwrap()).collect();
    assert_eq!(got, [0x9000, 0x1000, 0x5000]);
    // Side by side, and still two.
    pool.add(0x9100, 0x100).unwrap();
    assert_eq!(pool.alloc(0x200), Err(PlaceError::NoRoom));
    assert!(!pool.has_addr(0x9000, 0x200));
    assert_eq!(pool.range(3), Some(RangeInfo { start: 0x9100, size: 0x100, avail: 0x100 }));
}

#[test]
fn a_thousand_ranges() {
    let pool = GenPool::new(0).unwrap();
    let mut rng = Rng(5);
    let mut starts: Vec<usize> = (1..=1000).collect();
    for i in (1..1000).rev() {
        starts.swap(i, rng.below(i + 1));
    }
    for &start in &starts {
        pool.add(start * 100, 60).unwrap();
        assert_eq!(pool.add(start * 100 - 1, 2), Err(AddError::Overlaps));
        assert_eq!(pool.add(start * 100 + 59, 2), Err(AddError::Overlaps));
        assert_eq!(pool.add(start * 100 - 1, 100), Err(AddError::Overlaps));
    }
    for &start in &starts {
        assert_eq!(pool.alloc_algo(60, Algo::BestFit, 1), Ok(start * 100));
    }
    for &start in starts.iter().rev() {
        assert!(pool.has_addr(start * 100 + 59, 1) && !pool.has_addr(start * 100 + 60, 1));
        assert_eq!(pool.release(start * 100, 60), Ok(()));
    }
    assert_eq!(pool.avail(), 60_000);
}

#[test]
fn no_address_has_two_owners() {
    const GRANULES: usize = 3000;
    static OWNED: [AtomicU8; GRANULES] = [const { AtomicU8::new(0) }; GRANULES];
    // SAFETY: one thread makes the tree and frees it.
    let parent = unsafe { ops::alloc(None, 0) }.unwrap();
    // SAFETY: as above.
    let pool = unsafe { ResidentRef::create(Some(parent), c"ranges", GenPool::new(6).unwrap()) }.unwrap();
    pool.add(64, GRANULES * 64).unwrap();
    let address = pool.ptr().expose_provenance();
    let threads: Vec<_> = (0..4)
        .map(|thread: u64| {
            std::thread::spawn(move || {
                let at = std::ptr::with_exposed_provenance(address);
                // SAFETY: it lives until all threads have ended.
                let pool = unsafe { ResidentRef::<GenPool>::check(at) }.unwrap();
                let mut rng = Rng(thread * 77 + 1);
                let mut mine: Vec<(usize, usize)> = Vec::new();
                for step in 0.. {
                    let size = 1 + rng.below(1500);
                    if step < 20_000
                        && rng.below(2) == 0
                        && let Ok(address) = pool.alloc_algo(size, ALGOS[rng.below(7)], 1)
                    {
                        let first = address / 64 - 1;
                        for granule in &OWNED[first..first + size.div_ceil(64)] {
                            assert_eq!(granule.swap(1, SeqCst), 0);
                        }
                        mine.push((address, size));
                    } else if !mine.is_empty() {
                        let (address, size) = mine.swap_remove(rng.below(mine.len()));
                        let first = address / 64 - 1;
                        for granule in &OWNED[first..first + size.div_ceil(64)] {
                            assert_eq!(granule.swap(0, SeqCst), 1);
                        }
                        pool.release(address, size).unwrap();
                    } else if step >= 20_000 {
                        break;
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!((pool.avail(), pool.in_use()), (GRANULES * 64, (0, 0)));
    // SAFETY: all threads have ended.
    unsafe { ops::free(parent, std::ptr::null()).unwrap() };
    // SAFETY: as above.
    assert!(unsafe { ResidentRef::<GenPool>::check(std::ptr::with_exposed_provenance(address)) }.is_err());
}
