//! Random programs against a vector of granules: each algorithm must choose the very place that a search
//! by its definition chooses, and the summaries must stay true.
//!
//! Attacks: runs across words and nodes, runs of one length at the ends of nodes and in them, maps that start in the middle of a word or of a node, places
//! that are long enough but not aligned, blocks at the ends of the range, places that overlap.

use std::vec;
use std::vec::Vec;

use super::bits::WORD;
use super::fit::{self, Place, Request};
use super::ledger::Ledger;
use super::map::{Map, Shape};
use super::summary::Summary;
use super::testing::Rng;

/// The granules of a range, naively.
struct Naive {
    /// The number of the first one in the address space.
    first: usize,
    free: Vec<bool>,
}

impl Naive {
    fn is_free(&self, at: usize, n: usize) -> bool {
        at + n <= self.free.len() && self.free[at..at + n].iter().all(|&free| free)
    }

    /// The maximal free runs from `from` on: start and end.
    fn runs(&self, from: usize) -> Vec<(usize, usize)> {
        let mut runs = Vec::new();
        let mut at = from;
        while at < self.free.len() {
            let end = (at..self.free.len()).find(|&i| !self.free[i]).unwrap_or(self.free.len());
            if end > at {
                runs.push((at, end));
            }
            at = end + 1;
        }
        runs
    }

    /// The aligned place in a run, if it has one.
    fn place(&self, (start, end): (usize, usize), request: Request) -> Option<usize> {
        (start..end)
            .find(|at| (self.first + at).is_multiple_of(request.align))
            .filter(|at| at + request.granules <= end)
    }

    fn first(&self, from: usize, request: Request) -> Option<usize> {
        self.runs(from).into_iter().find_map(|run| self.place(run, request))
    }

    /// The longest or shortest run with a place, the first of these.
    fn extreme(&self, request: Request, longest: bool) -> Option<(usize, usize)> {
        let fitting =
            self.runs(0).into_iter().filter_map(|run| Some((run.1 - run.0, self.place(run, request)?)));
        fitting.min_by_key(|&(length, at)| (if longest { usize::MAX - length } else { length }, at))
    }

    /// The first of the smallest blocks of the order or more that are free, and not half of a free one.
    fn buddy(&self, request: Request) -> Option<(usize, usize)> {
        let needed = request.granules.next_power_of_two().max(request.align).trailing_zeros();
        for order in needed..25 {
            let size = 1usize << order;
            for number in self.first / size..=(self.first + self.free.len()) / size {
                let Some(at) = (number * size).checked_sub(self.first) else { continue };
                let parent = (number / 2 * 2 * size).checked_sub(self.first);
                if self.is_free(at, size) && !parent.is_some_and(|parent| self.is_free(parent, 2 * size)) {
                    return Some((order as usize, at));
                }
            }
        }
        None
    }
}

/// The memory of a map and a ledger.
struct Store {
    shape: Shape,
    taken: Vec<u64>,
    nodes: Vec<Summary>,
    lengths: Vec<u64>,
    first: Vec<u64>,
    last: Vec<u64>,
}

impl Store {
    /// With sets of lengths, or without.
    fn new(first: usize, granules: usize, with_lengths: bool) -> Store {
        let shape = Shape::new(first, granules);
        let words = || vec![0; shape.words()];
        let (taken, starts, ends) = (words(), words(), words());
        let nodes = vec![Summary::USED; shape.nodes()];
        let lengths = vec![0; if with_lengths { shape.nodes() } else { 0 }];
        let mut store = Store { shape, taken, nodes, lengths, first: starts, last: ends };
        let mut map = store.parts().0;
        map.start();
        if with_lengths {
            map.start_lengths();
        }
        store
    }

    fn parts(&mut self) -> (Map<'_>, Ledger<'_>) {
        let map = Map::new(&self.shape, &mut self.taken, &mut self.nodes, &mut self.lengths);
        (map, Ledger::new(&mut self.first, &mut self.last))
    }
}

const ALGORITHMS: usize = 6;

struct Program {
    rng: Rng,
    store: Store,
    naive: Naive,
    /// Start, asked, held.
    live: Vec<(usize, usize, usize)>,
    largest: usize,
    /// Places found, and not found, by each algorithm.
    found: [[usize; 2]; ALGORITHMS],
}

impl Program {
    fn new(seed: u64) -> Program {
        let mut rng = Rng::new(seed);
        let about = rng.below(7);
        let granules = [1, 63, 64, 65, 200, 700, 3000][about] + rng.below(70);
        let first = match rng.below(4) {
            0 => 0,
            1 => rng.below(300),
            2 => (1 << 20) - rng.below(granules + 1),
            _ => rng.below(1 << 40),
        };
        let kind = rng.below(4);
        let largest = 1 + rng.below([4, 20, 100, granules][kind]);
        let store = Store::new(first, granules, rng.below(4) > 0);
        let naive = Naive { first, free: vec![true; granules] };
        Program { rng, store, naive, live: Vec::new(), largest, found: Default::default() }
    }

    fn request(&mut self) -> Request {
        let granules = 1 + self.rng.below(self.largest);
        let align = if self.rng.below(2) == 0 { 1 } else { 1 << self.rng.below(9) };
        Request { granules, align }
    }

    /// What the algorithm answers, held against the model: the place, and how much is taken.
    fn place(&mut self, algorithm: usize) -> Option<(usize, usize, usize)> {
        let request = self.request();
        let lead = self.store.shape.bits().start;
        let from = self.rng.below(self.naive.free.len() + 1);
        let (map, _) = self.store.parts();
        let here = |at: usize| at - lead;
        let pair = |place: Place| (place.from, here(place.at));
        let naive = &self.naive;
        let plain = Request { align: 1, ..request };
        let order = Request { align: request.granules.next_power_of_two(), ..request };
        let mut held = request.granules;
        let at = match algorithm {
            0 => (fit::first(&map, 0, plain).map(here), naive.first(0, plain)),
            1 => (fit::first(&map, lead + from, request).map(here), naive.first(from, request)),
            2 => (fit::first(&map, 0, order).map(here), naive.first(0, order)),
            3 | 4 => {
                let found = if algorithm == 3 { fit::best(&map, request) } else { fit::worst(&map, request) };
                let wanted = naive.extreme(request, algorithm == 4);
                assert_eq!(found.map(pair), wanted, "{algorithm} {request:?}");
                (found.map(|place| here(place.at)), wanted.map(|(_, at)| at))
            }
            _ => {
                held = request.granules.next_power_of_two();
                let (found, wanted) = (fit::buddy(&map, request), naive.buddy(request));
                assert_eq!(found.map(pair), wanted, "{algorithm} {request:?}");
                (found.map(|place| here(place.at)), wanted.map(|(_, at)| at))
            }
        };
        assert_eq!(at.0, at.1, "{algorithm} {request:?} from {from}");
        self.found[algorithm][usize::from(at.0.is_none())] += 1;
        at.0.map(|at| (at, request.granules, held))
    }

    fn alloc(&mut self, at: usize, asked: usize, held: usize) {
        assert!(self.naive.is_free(at, held));
        self.naive.free[at..at + held].fill(false);
        let bit = self.store.shape.bits().start + at;
        let (mut map, mut ledger) = self.store.parts();
        assert!(map.is_free(bit..bit + held));
        map.take(bit..bit + held);
        ledger.enter(bit, asked);
        self.live.push((at, asked, held));
    }

    fn free(&mut self, index: usize) {
        let (at, asked, held) = self.live.swap_remove(index);
        let bit = self.store.shape.bits().start + at;
        let (mut map, mut ledger) = self.store.parts();
        assert_eq!(ledger.asked(bit), Some(asked));
        assert_eq!(ledger.held(&map, bit, asked), held);
        ledger.strike(bit, asked);
        map.give(bit..bit + held);
        assert_eq!(ledger.asked(bit), None);
        self.naive.free[at..at + held].fill(true);
    }

    fn run(&mut self, steps: usize) {
        // Fills up, empties, and stays at half in turn.
        let mut leaning = 5;
        for step in 0..steps {
            if step % 40 == 0 {
                leaning = 2 + self.rng.below(7);
            }
            if self.rng.below(10) < leaning || self.live.is_empty() {
                let algorithm = self.rng.below(ALGORITHMS);
                if let Some((at, asked, held)) = self.place(algorithm) {
                    self.alloc(at, asked, held);
                }
            } else {
                let index = self.rng.below(self.live.len());
                self.free(index);
            }
        }
        let lead = self.store.shape.bits().start;
        let starts: Vec<_> = self.live.iter().map(|&(at, ..)| at).collect();
        let (map, ledger) = self.store.parts();
        map.assert_consistent();
        for at in 0..self.naive.free.len() {
            assert_eq!(map.is_free_at(lead + at), self.naive.free[at]);
            assert_eq!(ledger.asked(lead + at).is_some(), starts.contains(&at));
        }
        while !self.live.is_empty() {
            self.free(0);
        }
        let (map, _) = self.store.parts();
        assert_eq!(map.longest(), self.naive.free.len());
    }
}

#[test]
fn each_algorithm_chooses_what_its_definition_says() {
    let mut found = [[0; 2]; ALGORITHMS];
    for seed in 1..=1500 {
        let mut program = Program::new(seed);
        program.run(250);
        for (sum, of_program) in found.iter_mut().flatten().zip(program.found.iter().flatten()) {
            *sum += of_program;
        }
    }
    // The test has seen all of it, and often.
    assert!(found.iter().flatten().all(|&count| count > 2000), "{found:?}");
}

#[test]
fn free_neighbours_are_one_block_again() {
    for first in [0, 1, 77, 1000] {
        let mut store = Store::new(first, 1000, true);
        let (mut map, _) = store.parts();
        let whole = map.smallest_block(0);
        let all: Vec<_> = (0..1000)
            .map(|_| {
                let place = fit::buddy(&map, Request { granules: 1, align: 1 }).unwrap();
                map.take(place.at..place.at + 1);
                place.at
            })
            .collect();
        assert_eq!(fit::buddy(&map, Request { granules: 1, align: 1 }), None);
        all.into_iter().rev().for_each(|at| map.give(at..at + 1));
        assert_eq!(map.smallest_block(0), whole);
        // A thousand granules hold a block of 256, wherever they start.
        assert!(map.smallest_block(8).is_some());
    }
}

#[test]
fn the_longest_map_has_a_shape() {
    for first in [0, 1, 63, usize::MAX - (1 << 31), (1 << 31) - 1] {
        let shape = Shape::new(first, 1 << 31);
        assert!(shape.words() - (1 << 31) / WORD <= 1);
        assert!(shape.nodes() < shape.words());
    }
}
