//! CPU time and memory of the same work on both libraries: shown at the end, never asserted, because
//! tests run beside each other and work this small says little. `make bench` is for measuring.

use std::sync::Mutex;
use std::time::Duration;

use crate::process::Cost;

static ROWS: Mutex<Vec<(String, Cost, Cost)>> = Mutex::new(Vec::new());

/// Keeps a row for the table.
pub fn note(name: &str, debian: Cost, ours: Cost) {
    ROWS.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((name.to_owned(), debian, ours));
}

/// Work that takes less than this on Debian's library shows only how long programs take to start.
const SHORTEST: Duration = Duration::from_millis(200);

/// The table of all rows that are long enough; empty when there are none.
pub fn table() -> String {
    let mut rows = ROWS.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
    rows.retain(|(_, debian, _)| debian.cpu >= SHORTEST);
    if rows.is_empty() {
        return String::new();
    }
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    let mut table = format!(
        "{:<40} {:>10} {:>10} {:>12} {:>12}\n",
        "", "CPU talloc", "CPU ours", "peak talloc", "peak ours"
    );
    for (name, debian, ours) in rows {
        table += &format!(
            "{name:<40} {:>8.2} s {:>8.2} s {:>8.1} MiB {:>8.1} MiB\n",
            debian.cpu.as_secs_f64(),
            ours.cpu.as_secs_f64(),
            debian.peak_kib as f64 / 1024.0,
            ours.peak_kib as f64 / 1024.0,
        );
    }
    table
}
