//! Everything a run found out, as it is written to JSON.

use crate::machine::Machine;
use crate::memory::Memory;
use crate::real::Real;
use crate::statistics::{Spread, geometric_mean};
use serde::{Deserialize, Serialize};

/// The column that all others are compared with.
pub const OURS: &str = "tmempool";
/// The column that we replace.
pub const THEIRS: &str = "libtalloc";

/// One run of the benchmark.
#[derive(Debug, Serialize, Deserialize)]
pub struct Results {
    /// What it ran on.
    pub machine: Machine,
    /// Processes per workload and subject.
    pub rounds: usize,
    /// The timed workloads.
    pub timed: Vec<Timed>,
    /// The workloads of threads.
    #[serde(default)]
    pub threads: Vec<Threads>,
    /// The pools of `tmempool.h`; the labels are ways to get memory.
    #[serde(default)]
    pub pools: Vec<Timed>,
    /// The memory section.
    pub memory: Option<Memory>,
    /// The real programs.
    pub real: Vec<Real>,
    /// Checks that failed, as messages; a run with any is not a result.
    pub failures: Vec<String>,
}

/// One workload with ever more threads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Threads {
    /// The workload's name.
    pub name: String,
    /// One measurement a number of threads; its nanoseconds are of the wall's clock, over all threads.
    pub by_count: Vec<(usize, Timed)>,
}

/// One workload on all subjects.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Timed {
    /// `family/what`.
    pub name: String,
    /// What one operation is.
    pub op: String,
    /// One entry a subject that ran it.
    pub columns: Vec<Column>,
}

/// One workload on one subject.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Column {
    /// The subject's label.
    pub label: String,
    /// Nanoseconds an operation.
    pub ns: Spread,
    /// Peak resident size of the process.
    pub peak_rss_kib: u64,
    /// Whether that grew from pass to pass.
    #[serde(default)]
    pub grows: bool,
}

impl Timed {
    /// What comes before the slash.
    pub fn family(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// Whether libtalloc's time grows with the number of siblings or members, so
    /// that the ratio says more about the chosen size than about speed.
    pub fn is_a_walk(&self) -> bool {
        (self.family() == "lookup" && self.name != "lookup/type") || self.name.starts_with("pool/free")
    }

    /// The measurement of the subject `label`, if it ran this workload.
    pub fn column(&self, label: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.label == label)
    }

    /// How many times longer than ours the subject `label` takes.
    pub fn ratio(&self, label: &str) -> Option<f64> {
        Some(self.column(label)?.ns.median / self.column(OURS)?.ns.median)
    }

    /// Whether ours is slower than the subject `label` beyond noise: the middle
    /// halves of the two measurements do not meet, and 3 % lie between the medians.
    pub fn slower_than(&self, label: &str) -> bool {
        match (self.column(OURS), self.column(label)) {
            (Some(ours), Some(other)) => {
                ours.ns.low > other.ns.high && ours.ns.median > 1.03 * other.ns.median
            }
            _ => false,
        }
    }
}

impl Results {
    /// The labels of all subjects, in the order of the columns.
    pub fn labels(&self) -> Vec<&str> {
        let mut labels: Vec<&str> = Vec::new();
        for column in self.timed.iter().flat_map(|t| &t.columns) {
            if !labels.contains(&column.label.as_str()) {
                labels.push(&column.label);
            }
        }
        labels
    }

    /// The families, in order.
    pub fn families(&self) -> Vec<&str> {
        let mut families: Vec<&str> = self.timed.iter().map(Timed::family).collect();
        families.dedup();
        families
    }

    /// Geometric mean of the ratios to `label` over the workloads that `wanted` picks.
    pub fn mean_ratio(&self, label: &str, wanted: impl Fn(&Timed) -> bool) -> Option<f64> {
        geometric_mean(self.timed.iter().filter(|t| wanted(t)).filter_map(|t| t.ratio(label)))
    }
}
