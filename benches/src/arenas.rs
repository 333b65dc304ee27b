//! The Rust API beside what Rust programs take otherwise: arenas (bumpalo, typed-arena), `Box`, and tables of
//! slots (slab, slotmap).
//!
//! All run in this process, one after the other in each round, so that whatever else the machine does meets
//! all of them. What is compared are medians.

use std::hint::black_box;

use comfy_table::{Cell, CellAlignment, Table};
use tmempool::{Cache, CacheBox, Context, CtxBox, CtxString};

use crate::statistics::Spread;

/// How often a context may be slower than bumpalo's bare arena where nothing needs dropping.
const NEAR: f64 = 1.3;

/// How often a way is run before it is timed.
const WARM_UP: usize = 3;

/// A way to do a workload: its name, and a function that does it once and says how many operations that was.
type Way = (&'static str, Box<dyn FnMut() -> usize>);

/// What is done, and in which ways; the first is ours.
struct Workload {
    name: &'static str,
    ways: Vec<Way>,
}

/// Runs the workloads whose name contains one of `only`, or all, and prints what they took. Adds to `failures` where
/// we are behind `Box`, or far behind bumpalo.
pub fn run(only: &[String], rounds: usize, failures: &mut Vec<String>) {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(["", "", "ns/op", "quartiles", "of ours"]);
    for mut workload in workloads() {
        if !only.is_empty() && !only.iter().any(|pattern| workload.name.contains(pattern)) {
            continue;
        }
        let spreads = measure(&mut workload, rounds);
        let ours = spreads[0].median;
        for ((way, _), spread) in workload.ways.iter().zip(&spreads) {
            table.add_row([
                Cell::new(workload.name),
                Cell::new(way),
                Cell::new(format!("{:.2}", spread.median)).set_alignment(CellAlignment::Right),
                Cell::new(format!("{:.2} … {:.2}", spread.low, spread.high)),
                Cell::new(format!("{:.2}", spread.median / ours)).set_alignment(CellAlignment::Right),
            ]);
            if *way == "Box" && ours > spread.median {
                failures.push(format!("{}: Box is faster", workload.name));
            }
            if way.starts_with("bumpalo") && ours > NEAR * spread.median {
                failures.push(format!("{}: {way} is more than {NEAR} times as fast", workload.name));
            }
        }
    }
    println!("{table}");
}

/// Nanoseconds an operation, each way in turn in every round. The first round is not counted.
fn measure(workload: &mut Workload, rounds: usize) -> Vec<Spread> {
    let mut times = vec![Vec::new(); workload.ways.len()];
    for round in 0..=rounds {
        for ((_, way), times) in workload.ways.iter_mut().zip(&mut times) {
            // Before that, so that each way has the memory that it keeps between two runs: what it is when a
            // program does the same again and again.
            for _ in 0..WARM_UP {
                way();
            }
            let begun = thread_time();
            let operations = way();
            if round > 0 {
                times.push((thread_time() - begun) / operations as f64);
            }
        }
    }
    times.into_iter().filter_map(Spread::of).collect()
}

/// The time that this thread has had a processor for, in nanoseconds: another's turn does not count.
fn thread_time() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a timespec to fill.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn workloads() -> Vec<Workload> {
    vec![
        Workload { name: "ast/1000", ways: ast_ways(9, 500) },
        Workload { name: "ast/1000000", ways: ast_ways(19, 1) },
        Workload { name: "request", ways: request_ways(2000) },
        Workload { name: "owned", ways: owned_ways(200) },
        Workload { name: "churn", ways: churn_ways(200_000) },
    ]
}

/// An expression whose nodes refer to each other.
enum Node<'a> {
    Number(u64),
    Sum(&'a Node<'a>, &'a Node<'a>),
}

impl Node<'_> {
    fn value(&self) -> u64 {
        match self {
            Node::Number(number) => *number,
            Node::Sum(a, b) => a.value() + b.value(),
        }
    }
}

/// The same with owners.
enum Boxed {
    Number(u64),
    Sum(Box<Boxed>, Box<Boxed>),
}

impl Boxed {
    fn build(depth: u32) -> Box<Boxed> {
        Box::new(match depth {
            0 => Boxed::Number(1),
            _ => Boxed::Sum(Boxed::build(depth - 1), Boxed::build(depth - 1)),
        })
    }

    fn value(&self) -> u64 {
        match self {
            Boxed::Number(number) => *number,
            Boxed::Sum(a, b) => a.value() + b.value(),
        }
    }
}

/// A full tree of expressions, its nodes made by `alloc`.
fn build<'a>(alloc: &impl Fn(Node<'a>) -> &'a Node<'a>, depth: u32) -> &'a Node<'a> {
    match depth {
        0 => alloc(Node::Number(1)),
        _ => {
            let (a, b) = (build(alloc, depth - 1), build(alloc, depth - 1));
            alloc(Node::Sum(a, b))
        }
    }
}

/// Builds a tree, adds it up, and frees it, so many `times`.
fn ast_ways(depth: u32, times: usize) -> Vec<Way> {
    let operations = times << (depth + 1);
    vec![
        (
            "Context",
            Box::new(move || {
                for _ in 0..times {
                    let ctx = Context::new("ast");
                    black_box(build(&|node| ctx.alloc_no_drop(node), depth).value());
                }
                operations
            }),
        ),
        (
            "bumpalo",
            Box::new(move || {
                for _ in 0..times {
                    let bump = bumpalo::Bump::new();
                    black_box(build(&|node| bump.alloc(node), depth).value());
                }
                operations
            }),
        ),
        (
            "typed-arena",
            Box::new(move || {
                for _ in 0..times {
                    let arena = typed_arena::Arena::new();
                    black_box(build(&|node| arena.alloc(node), depth).value());
                }
                operations
            }),
        ),
        (
            "Box",
            Box::new(move || {
                for _ in 0..times {
                    black_box(Boxed::build(depth).value());
                }
                operations
            }),
        ),
    ]
}

/// A request: twenty headers are kept, an answer is put together, and all is freed.
fn request_ways(times: usize) -> Vec<Way> {
    fn headers() -> Vec<String> {
        (0..20).map(|i| format!("header-{i}: the value of header {i}")).collect()
    }
    let server = Box::leak(Box::new(Context::new("server")));
    let server: &'static Context = server;
    vec![
        (
            "Context",
            Box::new(move || {
                let headers = headers();
                for _ in 0..times {
                    let request = server.child("request");
                    let mut answer = CtxString::new_in(&request);
                    for header in &headers {
                        answer.push_str(black_box(request.alloc_str(header)));
                    }
                    black_box(&answer);
                }
                times
            }),
        ),
        (
            "Pool, reset",
            Box::new(move || {
                let headers = headers();
                let mut request = server.pool_named("request", 16 << 10);
                for _ in 0..times {
                    let mut answer = CtxString::new_in(&request);
                    for header in &headers {
                        answer.push_str(black_box(request.alloc_str(header)));
                    }
                    black_box(&answer);
                    drop(answer);
                    request.reset();
                }
                times
            }),
        ),
        (
            "bumpalo",
            Box::new(move || {
                let headers = headers();
                for _ in 0..times {
                    let request = bumpalo::Bump::new();
                    let mut answer = bumpalo::collections::String::new_in(&request);
                    for header in &headers {
                        answer.push_str(black_box(request.alloc_str(header)));
                    }
                    black_box(&answer);
                }
                times
            }),
        ),
        (
            "Box",
            Box::new(move || {
                let headers = headers();
                for _ in 0..times {
                    let mut answer = String::new();
                    let mut kept: Vec<Box<str>> = Vec::new();
                    for header in &headers {
                        kept.push(black_box(header.as_str().into()));
                        answer.push_str(&kept[kept.len() - 1]);
                    }
                    black_box((&answer, &kept));
                }
                times
            }),
        ),
    ]
}

/// A thousand values that have a `drop` to be run.
fn owned_ways(times: usize) -> Vec<Way> {
    const VALUES: usize = 1000;
    thread_local!(static DROPPED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });
    struct Value(#[allow(dead_code, reason = "weight")] [usize; 3]);
    impl Drop for Value {
        fn drop(&mut self) {
            DROPPED.set(DROPPED.get() + 1);
        }
    }
    vec![
        (
            "Context",
            Box::new(move || {
                for _ in 0..times {
                    let ctx = Context::new("values");
                    for i in 0..VALUES {
                        black_box(ctx.alloc(Value([i; 3])));
                    }
                }
                times * VALUES
            }),
        ),
        (
            "typed-arena",
            Box::new(move || {
                for _ in 0..times {
                    let arena = typed_arena::Arena::new();
                    for i in 0..VALUES {
                        black_box(arena.alloc(Value([i; 3])));
                    }
                }
                times * VALUES
            }),
        ),
        (
            "Box",
            Box::new(move || {
                for _ in 0..times {
                    let mut kept = Vec::new();
                    for i in 0..VALUES {
                        kept.push(black_box(Box::new(Value([i; 3]))));
                    }
                }
                times * VALUES
            }),
        ),
    ]
}

/// A graph of a thousand nodes in which one after the other is replaced.
fn churn_ways(steps: usize) -> Vec<Way> {
    const NODES: usize = 1000;
    type Edges = [u64; 6];
    /// Replaces `steps` nodes at random, by what `replace` does with a place and a new node.
    fn churn(steps: usize, mut replace: impl FnMut(usize, Edges)) -> usize {
        let mut random = 1_u64;
        for _ in 0..steps {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            replace((random >> 33) as usize % NODES, [random; 6]);
        }
        steps
    }
    vec![
        (
            "CtxBox",
            Box::new(move || {
                let ctx = Context::new("graph");
                let mut nodes: Vec<CtxBox<'_, Edges>> = (0..NODES).map(|_| ctx.boxed([0; 6])).collect();
                black_box(churn(steps, |at, node| nodes[at] = ctx.boxed(node)))
            }),
        ),
        (
            "Cache",
            Box::new(move || {
                let ctx = Context::new("graph");
                let cache: Cache<'_, Edges> = ctx.cache("nodes");
                let mut nodes: Vec<CacheBox<'_, Edges>> = (0..NODES).map(|_| cache.alloc([0; 6])).collect();
                black_box(churn(steps, |at, node| nodes[at] = cache.alloc(node)))
            }),
        ),
        (
            "Box",
            Box::new(move || {
                let mut nodes: Vec<Box<Edges>> = (0..NODES).map(|_| Box::new([0; 6])).collect();
                black_box(churn(steps, |at, node| drop(std::mem::replace(&mut nodes[at], Box::new(node)))))
            }),
        ),
        (
            "slab",
            Box::new(move || {
                let mut slab = slab::Slab::new();
                let mut nodes: Vec<usize> = (0..NODES).map(|_| slab.insert([0; 6])).collect();
                black_box(churn(steps, |at, node| {
                    let new = slab.insert(node);
                    slab.remove(std::mem::replace(&mut nodes[at], new));
                }))
            }),
        ),
        (
            "slotmap",
            Box::new(move || {
                let mut map = slotmap::SlotMap::new();
                let mut nodes: Vec<slotmap::DefaultKey> = (0..NODES).map(|_| map.insert([0; 6])).collect();
                black_box(churn(steps, |at, node| {
                    let new = map.insert(node);
                    map.remove(std::mem::replace(&mut nodes[at], new));
                }))
            }),
        ),
    ]
}
