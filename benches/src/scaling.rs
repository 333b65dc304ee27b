//! What should not depend on how many there are: lookups and removals among 10
//! to 1,000,000 siblings or references, and the free of a pool of as many
//! members. libtalloc walks, so it is asked only up to 10,000.

use crate::program::{Program, Workload};
use crate::progress;
use crate::results::{OURS, Timed};
use crate::subject::Subject;
use crate::timed::{Effort, compare};

/// The sizes that are tried.
pub const SIZES: [usize; 6] = [10, 100, 1_000, 10_000, 100_000, 1_000_000];

/// From here on a library that walks would take minutes.
const WALKABLE: usize = 10_000;

/// One workload over all sizes.
#[derive(Debug)]
pub struct Scaling {
    /// The workload's name.
    pub name: String,
    /// Whether the numbers are a whole free instead of one of the operations.
    pub whole: bool,
    /// One measurement a size.
    pub by_size: Vec<(usize, Timed)>,
}

/// Whether the workload's claim is to be flat.
pub fn claims_flatness(workload: &Workload) -> bool {
    workload.name.starts_with("lookup/") || frees_a_pool(workload)
}

/// The pool frees count members as operations, but claim a constant whole.
fn frees_a_pool(workload: &Workload) -> bool {
    workload.name.starts_with("pool/free")
}

/// Measures `workloads` over all sizes.
pub fn run(
    program: &Program,
    subjects: &[Subject],
    workloads: &[Workload],
    effort: Effort,
    failures: &mut Vec<String>,
) -> Vec<Scaling> {
    let bar = progress::bar("scaling", workloads.len() * SIZES.len());
    let mut all = Vec::new();
    for workload in workloads {
        let whole = frees_a_pool(workload);
        let mut by_size = Vec::new();
        for size in SIZES {
            bar.set_message(format!("{} {size}", workload.name));
            let can = |s: &&Subject| whole || size <= WALKABLE || s.label == OURS;
            let able: Vec<Subject> = subjects.iter().filter(can).cloned().collect();
            let sized = Workload { size, ..workload.clone() };
            let mut timed = compare(program, &able, &sized, effort, failures);
            for column in timed.columns.iter_mut().filter(|_| whole) {
                column.ns = column.ns.times(size as f64);
            }
            by_size.push((size, timed));
            bar.inc(1);
        }
        all.push(Scaling { name: workload.name.clone(), whole, by_size });
    }
    bar.finish_and_clear();
    all
}
