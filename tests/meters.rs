//! Statistics, and the counts of limits, against a naive model: every context that counts is told of each allocation,
//! free, resize and move below it, and of nothing else.
//!
//! Attacks: counts that drift, that see a move within the subtree as a free, that miss what a pool forgets at once, peaks
//! that come too high or too late.

mod random;

use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::ptr;

use random::Rng;
use tmempool::error::AllocError;
use tmempool::ops;
use tmempool::tree::Chunk;
use tmempool::tree::chunk::HEADER;
use tmempool::tree::pool::Stats;

struct Node {
    chunk: Chunk,
    size: usize,
    parent: Option<u32>,
    /// What it must have counted, if it counts.
    stats: Option<Stats>,
    is_pool: bool,
}

#[derive(Default)]
struct Model {
    nodes: BTreeMap<u32, Node>,
    next: u32,
}

impl Model {
    fn above(&self, id: u32) -> Vec<u32> {
        let first = self.nodes[&id].parent;
        std::iter::successors(first, |id| self.nodes[id].parent).collect()
    }

    fn tree(&self, top: u32) -> Vec<u32> {
        let ids = self.nodes.keys().copied();
        ids.filter(|&id| id == top || self.above(id).contains(&top)).collect()
    }

    fn count(&mut self, on: &[u32], change: impl Fn(&mut Stats)) {
        for id in on {
            if let Some(stats) = &mut self.nodes.get_mut(id).unwrap().stats {
                change(stats);
                stats.peak = stats.peak.max(stats.current);
            }
        }
    }

    fn weight(&self, top: u32) -> (usize, usize) {
        let tree = self.tree(top);
        (tree.iter().map(|id| self.nodes[id].size).sum(), tree.len())
    }

    fn allocated(&mut self, on: &[u32], (bytes, blocks): (usize, usize)) {
        self.count(on, |s| {
            s.total += bytes;
            s.current += bytes;
            s.allocations += blocks;
        });
    }

    fn freed(&mut self, on: &[u32], (bytes, blocks): (usize, usize)) {
        self.count(on, |s| {
            s.current -= bytes;
            s.frees += blocks;
        });
    }

    fn add(&mut self, parent: Option<u32>, chunk: Chunk, size: usize, is_pool: bool) {
        let id = self.next;
        self.next += 1;
        self.nodes.insert(id, Node { chunk, size, parent, stats: None, is_pool });
        let above = self.above(id);
        self.allocated(&above, (size, 1));
    }

    fn remove(&mut self, top: u32) {
        let (above, what) = (self.above(top), self.weight(top));
        self.freed(&above, what);
        for id in self.tree(top) {
            // What counts inside goes with it.
            self.nodes.remove(&id);
        }
    }

    fn verify(&self) {
        for (id, node) in &self.nodes {
            if let Some(expected) = node.stats {
                // SAFETY: one thread, a live chunk.
                let counted = unsafe { ops::stats(node.chunk).unwrap() };
                assert_eq!(counted, expected, "node {id}");
            }
        }
    }
}

fn step(model: &mut Model, rng: &mut Rng, counting: bool) {
    let ids: Vec<u32> = model.nodes.keys().copied().collect();
    let pick = |rng: &mut Rng| ids[rng.below(ids.len())];
    let parent = if ids.is_empty() || rng.below(10) == 0 { None } else { Some(pick(rng)) };
    let p = parent.map(|id| model.nodes[&id].chunk);
    let sizes = [10, 200, 2000, 40_000];
    let most = sizes[rng.below(sizes.len())];
    let size = rng.below(most);
    // SAFETY: for the whole step: one thread; the model knows which chunks are alive.
    unsafe {
        match rng.below(if ids.len() > 80 { 9 } else { 18 }) {
            0..=1 if !ids.is_empty() => {
                let id = pick(rng);
                ops::free(model.nodes[&id].chunk, ptr::null()).unwrap();
                model.remove(id);
            }
            2 if !ids.is_empty() => {
                let id = pick(rng);
                let chunk = model.nodes[&id].chunk;
                match rng.below(2) {
                    0 => ops::reset(chunk, ptr::null()).unwrap(),
                    _ => ops::free_children(chunk, ptr::null()).unwrap(),
                }
                for child in ids {
                    if model.nodes.get(&child).is_some_and(|n| n.parent == Some(id)) {
                        model.remove(child);
                    }
                }
            }
            3..=4 if !ids.is_empty() => {
                let id = pick(rng);
                let (chunk, old) = (model.nodes[&id].chunk, model.nodes[&id].size);
                if model.nodes[&id].is_pool {
                    return;
                }
                let new = if rng.below(4) == 0 && ops::resize_in_place(chunk, size) {
                    chunk
                } else {
                    ops::realloc(chunk, size).unwrap().0
                };
                let node = model.nodes.get_mut(&id).unwrap();
                (node.chunk, node.size) = (new, size);
                let above = model.above(id);
                model.count(&above, |s| {
                    s.total += size.saturating_sub(old);
                    s.current = s.current + size - old;
                });
            }
            5..=7 if !ids.is_empty() => {
                let id = pick(rng);
                if parent.is_some_and(|p| p == id || model.above(p).contains(&id)) {
                    return;
                }
                ops::steal(p, model.nodes[&id].chunk).unwrap();
                let before = model.above(id);
                model.nodes.get_mut(&id).unwrap().parent = parent;
                let (after, what) = (model.above(id), model.weight(id));
                let left: Vec<u32> = before.iter().filter(|a| !after.contains(a)).copied().collect();
                let entered: Vec<u32> = after.iter().filter(|a| !before.contains(a)).copied().collect();
                model.freed(&left, what);
                model.allocated(&entered, what);
            }
            8 if !ids.is_empty() && counting => {
                let id = pick(rng);
                ops::enable_stats(model.nodes[&id].chunk).unwrap();
                let (bytes, blocks) = model.weight(id);
                let node = model.nodes.get_mut(&id).unwrap();
                let current = bytes - node.size;
                let (total, peak, allocations) = (current, current, blocks - 1);
                node.stats.get_or_insert(Stats { total, current, peak, allocations, ..Stats::default() });
                if rng.below(4) == 0 {
                    // A limit that nothing reaches changes nothing.
                    ops::set_limits(node.chunk, 1 << 40, 1 << 41, Some(never), ptr::null_mut()).unwrap();
                }
            }
            9..=10 => {
                let pool = match rng.below(3) {
                    0 => ops::pool(p, size).unwrap(),
                    _ => ops::growable_pool(p, size / 4, size * 2).unwrap(),
                };
                model.add(parent, pool, 0, true);
            }
            11 if parent.is_some() => {
                // Too large: a failure, for all that count, and nothing else.
                assert_eq!(ops::alloc(p, 1 << 28), Err(AllocError::TooLarge));
                let parent = parent.unwrap();
                let above = model.above(parent).into_iter().chain([parent]).collect::<Vec<_>>();
                model.count(&above, |s| s.failures += 1);
            }
            _ => {
                let chunk = ops::alloc(p, size).unwrap();
                model.add(parent, chunk, size, false);
            }
        }
    }
}

unsafe extern "C" fn never(_: *mut c_void, _: usize, _: usize, _: usize, _: *mut c_void) -> c_int {
    panic!("nothing reaches this limit")
}

#[test]
fn all_who_count_agree_with_the_model() {
    for seed in 1..=if cfg!(miri) { 1 } else { 150u64 } {
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut model = Model::default();
        for _ in 0..if cfg!(miri) { 80 } else { 600 } {
            step(&mut model, &mut rng, true);
            model.verify();
        }
        while let Some((&id, node)) = model.nodes.iter().find(|(_, n)| n.parent.is_none()) {
            // SAFETY: one thread, a live chunk.
            unsafe { ops::free(node.chunk, ptr::null()).unwrap() };
            model.remove(id);
        }
        assert!(model.nodes.is_empty());
    }
}

#[test]
fn a_pool_that_was_not_asked_knows_what_it_served() {
    // SAFETY: one thread, live chunks.
    unsafe {
        let pool = ops::growable_pool(None, 1 << 10, 0).unwrap();
        let mut rng = Rng(5);
        let (mut members, mut expected) = (Vec::new(), Stats::default());
        for round in 0..10 {
            for _ in 0..if cfg!(miri) { 50 } else { 5000 } {
                if rng.below(3) > 0 || members.is_empty() {
                    let size = rng.below(300);
                    members.push(ops::alloc(Some(pool), size).unwrap());
                    expected.total += size;
                    expected.current += size;
                    expected.allocations += 1;
                } else {
                    let member: Chunk = members.swap_remove(rng.below(members.len()));
                    expected.current -= member.size();
                    expected.frees += 1;
                    ops::free(member, ptr::null()).unwrap();
                }
                expected.peak = expected.peak.max(expected.current);
                if rng.below(100) == 0 {
                    assert_eq!(ops::stats(pool), Some(expected));
                }
            }
            assert_eq!(ops::stats(pool), Some(expected));
            if round % 2 == 0 {
                ops::reset(pool, ptr::null()).unwrap();
                expected.frees += members.len();
                expected.current = 0;
                members.clear();
            }
        }
        assert_eq!(ops::alloc(Some(pool), 1 << 28), Err(AllocError::TooLarge));
        expected.failures += 1;
        assert_eq!(ops::stats(pool), Some(expected));
        let plain = ops::alloc(None, 0).unwrap();
        assert_eq!(ops::stats(plain), None);
        ops::free(plain, ptr::null()).unwrap();
        ops::free(pool, ptr::null()).unwrap();
    }
}

#[test]
fn counts_come_back_to_where_they_began() {
    for seed in 1..=if cfg!(miri) { 1 } else { 100u64 } {
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        // SAFETY: one thread, live chunks.
        unsafe {
            let top = ops::alloc(None, 0).unwrap();
            ops::set_limit(top, 1 << 30).unwrap();
            let mut model = Model::default();
            model.add(None, top, 0, true);
            for _ in 0..200 {
                step(&mut model, &mut rng, false);
                if !model.nodes.contains_key(&0) {
                    break;
                }
                let limit = top.limit().unwrap();
                let (bytes, _) = model.weight(0);
                assert!(limit.current >= HEADER && limit.current < bytes + (1 << 20));
            }
            if model.nodes.contains_key(&0) {
                ops::reset(top, ptr::null()).unwrap();
                assert_eq!(top.limit().unwrap().current, HEADER, "seed {seed}");
                model.remove(0);
                ops::free(top, ptr::null()).unwrap();
            }
            for node in model.nodes.values().filter(|n| n.parent.is_none()) {
                ops::free(node.chunk, ptr::null()).unwrap();
            }
        }
    }
}
