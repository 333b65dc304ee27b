//! The Rust API beside what Rust programs take otherwise: arenas (bumpalo, typed-arena), `Box`, and tables of
//! slots (slab, slotmap).
//!
//! All run in this process, one after the other in each round, so that whatever else the machine does meets
//! all of them. What is compared are medians.

mod ast;
mod graph;
mod request;
mod values;

use comfy_table::{Cell, CellAlignment, Table};

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
        Workload { name: "ast/1000", ways: ast::ways(9, 500) },
        Workload { name: "ast/1000000", ways: ast::ways(19, 1) },
        Workload { name: "request", ways: request::ways(2000) },
        Workload { name: "request/reset", ways: request::reset_ways(2000) },
        Workload { name: "pool", ways: values::pool_ways(500) },
        Workload { name: "owned", ways: values::owned_ways(200) },
        Workload { name: "churn", ways: graph::ways(200_000) },
    ]
}
