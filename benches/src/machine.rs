//! What the numbers were measured on.

use serde::{Deserialize, Serialize};
use std::fs;

/// The machine and its load, as far as they matter for the numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's own name.
    pub processor: String,
    /// How many of them.
    pub cores: usize,
    /// Linux's release.
    pub kernel: String,
    /// When transparent huge pages are used: `always`, `madvise` or `never`.
    pub huge_pages: String,
    /// Runnable processes over the last minute, at the start.
    pub load: String,
}

impl Machine {
    /// This one, now. What the kernel does not tell is shown as `unknown`.
    pub fn this() -> Machine {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let known = |text: Option<&str>| text.unwrap_or("unknown").trim().to_owned();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|l| l.strip_prefix("model name"));
        let huge = read("/sys/kernel/mm/transparent_hugepage/enabled");
        Machine {
            processor: known(model.map(|m| m.trim_start().trim_start_matches(':'))),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: known(read("/proc/sys/kernel/osrelease").lines().next()),
            huge_pages: known(huge.split(['[', ']']).nth(1)),
            load: known(read("/proc/loadavg").split_whitespace().next()),
        }
    }
}
