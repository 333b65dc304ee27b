//! Statistics and limits against a naive model: every context that counts is told of each allocation, free, resize and
//! move below it, and of nothing else; and hostile functions that have their say in the middle of an allocation.
//!
//! Attacks: counts that drift, that see a move within the subtree as a free, that miss what a pool forgets at once, peaks
//! that come too high or too late; limits that are passed or refuse too early; a say that frees what the allocation
//! is for, resets its pool, allocates itself, raises or removes the limit, or frees the tree above.

mod random;

use std::cell::Cell;
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

/// What a say sees and does.
struct Script {
    calls: Cell<usize>,
    soft_calls: Cell<usize>,
    soft: usize,
    act: Box<dyn Fn(Chunk, usize) -> c_int>,
}

unsafe extern "C" fn say(
    ctx: *mut c_void,
    used: usize,
    wanted: usize,
    limit: usize,
    data: *mut c_void,
) -> c_int {
    // SAFETY: set with this data, in this thread.
    let (script, chunk) = unsafe { (&*data.cast::<Script>(), Chunk::check(ctx).unwrap()) };
    assert!(used + wanted > limit);
    assert_eq!(chunk.limit().unwrap().current, used);
    if limit == script.soft {
        script.soft_calls.set(script.soft_calls.get() + 1);
        return 0;
    }
    script.calls.set(script.calls.get() + 1);
    (script.act)(chunk, wanted)
}

/// A context of 10,000 bytes at most, told from 5,000 on, whose say does `act`.
fn limited(parent: Option<Chunk>, act: impl Fn(Chunk, usize) -> c_int + 'static) -> (Chunk, &'static Script) {
    let script = Box::leak(Box::new(Script {
        calls: Cell::new(0),
        soft_calls: Cell::new(0),
        soft: 5000,
        act: Box::new(act),
    }));
    // SAFETY: one thread; the script lives for ever.
    unsafe {
        let ctx = ops::alloc(parent, 0).unwrap();
        ops::set_limits(ctx, 5000, 10_000, Some(say), ptr::from_ref(script).cast_mut().cast()).unwrap();
        (ctx, script)
    }
}

fn alloc(parent: Chunk, size: usize) -> Result<Chunk, AllocError> {
    // SAFETY: one thread, a live parent.
    unsafe { ops::alloc(Some(parent), size) }
}

fn free(chunk: Chunk) {
    // SAFETY: one thread, a live chunk.
    unsafe { ops::free(chunk, ptr::null()).unwrap() };
}

#[test]
fn the_soft_limit_is_told_once_for_each_crossing() {
    let (ctx, script) = limited(None, |_, _| -1);
    let first = alloc(ctx, 4000).unwrap();
    assert_eq!(script.soft_calls.get(), 0);
    let second = alloc(ctx, 2000).unwrap();
    let third = alloc(ctx, 500).unwrap();
    assert_eq!((script.soft_calls.get(), script.calls.get()), (1, 0));
    free(second);
    assert_eq!(alloc(ctx, 100).map(|_| script.soft_calls.get()), Ok(1));
    free(third);
    let _ = alloc(ctx, 4000).unwrap();
    assert_eq!(script.soft_calls.get(), 2);
    assert_eq!(alloc(ctx, 4000), Err(AllocError::LimitReached));
    assert_eq!(script.calls.get(), 1);
    free(first);
    free(ctx);
}

#[test]
fn a_say_frees_what_it_can_spare_one_by_one() {
    // The oldest child goes with each call: a cache that is trimmed.
    let (ctx, script) = limited(None, |ctx, _| {
        let children: Vec<Chunk> = ctx.children().collect();
        // SAFETY: one thread, live chunks.
        let freed = children.iter().rev().any(|&oldest| unsafe { ops::free(oldest, ptr::null()).is_ok() });
        if freed { 0 } else { -1 }
    });
    for i in 0..1000 {
        let _ = alloc(ctx, 300).unwrap_or_else(|e| panic!("{e:?} at {i}"));
        assert!(ctx.limit().unwrap().current <= 10_000);
    }
    let calls = script.calls.get();
    assert!(calls > 900 && calls < 1000, "{calls}");
    // One that is larger than all together: everything goes, and it is refused.
    assert_eq!(alloc(ctx, 10_000), Err(AllocError::LimitReached));
    assert!(ctx.children().next().is_none());
    // A chunk that grows is asked for, too, and what it holds is kept.
    let chunk = alloc(ctx, 4000).unwrap();
    let _ = alloc(ctx, 3000).unwrap();
    let grown = alloc(chunk, 1000).unwrap();
    // SAFETY: one thread, a live chunk.
    unsafe {
        assert_eq!(ops::realloc(chunk, 9000).err(), Some(AllocError::LimitReached));
        assert_eq!(chunk.size(), 4000);
        assert!(Chunk::check(grown.ptr()).is_ok(), "what is being resized cannot be freed");
        let moved = ops::realloc(chunk, 6000).unwrap().0;
        assert_eq!((moved.size(), grown.parent()), (6000, Some(moved)));
    }
    free(ctx);
}

#[test]
fn a_say_may_raise_the_limit_or_take_it_away() {
    let (ctx, script) = limited(None, |ctx, wanted| {
        // SAFETY: one thread, a live chunk.
        unsafe {
            let limit = ctx.limit().unwrap();
            ops::set_limit(ctx, limit.max + wanted).unwrap();
        }
        0
    });
    for _ in 0..100 {
        alloc(ctx, 1000).unwrap();
    }
    assert!(script.calls.get() > 80);
    free(ctx);
    let (ctx, script) = limited(None, |ctx, _| {
        // SAFETY: one thread, a live chunk.
        unsafe { ops::set_limits(ctx, 0, 0, None, ptr::null_mut()).unwrap() };
        0
    });
    alloc(ctx, 100_000).unwrap();
    alloc(ctx, 100_000).unwrap();
    assert_eq!(script.calls.get(), 1);
    free(ctx);
}

#[test]
fn a_say_that_promises_and_does_not_keep_it_is_asked_once() {
    let (ctx, script) = limited(None, |_, _| 0);
    assert_eq!(alloc(ctx, 20_000), Err(AllocError::LimitReached));
    assert_eq!(script.calls.get(), 1);
    free(ctx);
}

#[test]
fn a_say_is_not_asked_from_within_itself() {
    let (ctx, script) = limited(None, |ctx, _| {
        assert_eq!(alloc(ctx, 20_000), Err(AllocError::LimitReached));
        alloc(ctx, 10).map_or(-1, |_| -1)
    });
    assert_eq!(alloc(ctx, 20_000), Err(AllocError::LimitReached));
    assert_eq!(script.calls.get(), 1);
    free(ctx);
}

#[test]
fn two_says_that_hinder_each_other_come_to_an_end() {
    // Each frees what lies below itself, and allocates below the other.
    let inner = Box::leak(Box::new(Cell::new(None::<Chunk>)));
    let inner: &'static Cell<Option<Chunk>> = inner;
    let (outer, _) = limited(None, |ctx, _| {
        // SAFETY: one thread, a live chunk.
        unsafe { ops::free_children(ctx, ptr::null()).unwrap() };
        0
    });
    let (ctx, script) = limited(Some(outer), move |ctx, _| {
        // SAFETY: one thread, live chunks.
        unsafe { ops::free_children(ctx, ptr::null()).unwrap() };
        let _ = inner.get().map(|other| alloc(other, 3000));
        0
    });
    inner.set(Some(outer));
    for _ in 0..100 {
        let _ = alloc(ctx, 3000);
    }
    assert!(script.calls.get() < 200_000);
    free(ctx);
    free(outer);
}

#[test]
fn what_an_allocation_is_for_outlives_its_say() {
    // SAFETY: for all of it: one thread; live chunks, and addresses that may be asked about.
    unsafe {
        // The whole tree above is freed: the parent and the chunk with the limit live on.
        let top = ops::alloc(None, 0).unwrap();
        let (ctx, script) = limited(Some(top), move |_, _| ops::free(top, ptr::null()).map_or(-1, |()| 0));
        let parent = alloc(ctx, 100).unwrap();
        let sibling = alloc(ctx, 9000).unwrap();
        assert_eq!(alloc(parent, 5000), Err(AllocError::LimitReached), "nothing below it was freed");
        assert_eq!(script.calls.get(), 1);
        assert!(Chunk::check(top.ptr()).is_err());
        assert!(Chunk::check(parent.ptr()).is_ok() && Chunk::check(ctx.ptr()).is_ok());
        assert_eq!((ctx.parent(), parent.parent(), sibling.parent()), (None, Some(ctx), Some(ctx)));
        free(ctx);

        // Everything below the limit is freed, the pool that the parent lies in is reset, in one go.
        let (ctx, _) = limited(None, |ctx, _| {
            for pool in ctx.children().collect::<Vec<_>>() {
                ops::reset(pool, ptr::null()).unwrap();
            }
            0
        });
        let pool = ops::growable_pool(Some(ctx), 1000, 2000).unwrap();
        for i in 0..500 {
            alloc(pool, 100 + i % 300).unwrap();
        }
        let parent = alloc(pool, 8).unwrap();
        for i in 0..500 {
            let child = alloc(parent, 100 + i % 300).unwrap();
            assert_eq!(child.parent(), Some(parent));
            if Chunk::check(parent.ptr()).is_err() {
                panic!("the parent was freed under an allocation");
            }
            if parent.parent() != Some(pool) {
                break;
            }
        }
        free(ctx);

        // The parent is moved away, out of the limit: then nothing is in the way.
        let away = ops::alloc(None, 0).unwrap();
        let (ctx, script) = limited(None, move |ctx, _| {
            ops::steal(Some(away), ctx.children().next().unwrap()).map_or(-1, |()| -1)
        });
        let parent = alloc(ctx, 100).unwrap();
        assert_eq!(alloc(parent, 20_000), Err(AllocError::LimitReached));
        assert_eq!(parent.parent(), Some(away));
        alloc(parent, 20_000).unwrap();
        assert_eq!(script.calls.get(), 1);
        free(ctx);
        free(away);
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
                free(top);
            }
            for node in model.nodes.values().filter(|n| n.parent.is_none()) {
                free(node.chunk);
            }
        }
    }
}
