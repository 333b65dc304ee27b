//! The workloads of threads, at 1, 2, 4 and 8 threads, against libtalloc and against malloc, the C library's and
//! those that an informed user would try.
//!
//! At one context shared by all, libtalloc is used behind a mutex, as a program must; tmempool with a shared
//! context, by the library of its own name, since the drop-in has only talloc's functions.

use crate::place;
use crate::program::{Program, Workload};
use crate::progress;
use crate::results::{Threads, Timed};
use crate::subject::Subject;
use crate::timed::{Effort, compare};
use anyhow::Result;

/// The numbers of threads that are tried.
pub const COUNTS: [usize; 4] = [1, 2, 4, 8];

/// The workload of one context that all threads share.
const SHARED: &str = "threads/shared";

/// Whether the workload belongs here: its size is a number of threads.
pub fn is_threaded(workload: &Workload) -> bool {
    workload.name.starts_with("threads/")
}

/// Whether the timed section, which runs the drop-in alone, can show the workload, too.
pub fn is_for_one_library(workload: &Workload) -> bool {
    workload.name != SHARED
}

/// The libraries to compare: what of the others is not installed is left out, and said so.
fn subjects(ours: &Subject, shared: bool) -> Result<Vec<Subject>> {
    let ours = if shared { Subject::tmempool_by_name()? } else { ours.clone() };
    let mut all = vec![Subject::libtalloc()?, ours, Subject::bare()?];
    for (label, library, package) in
        [("mimalloc", "libmimalloc.so.2", "libmimalloc2.0"), ("jemalloc", "libjemalloc.so.2", "libjemalloc2")]
    {
        match place::system_library(library)? {
            Some(_) => all.push(Subject::bare_preloaded(label, library, package)?),
            None => eprintln!("skipped: {label}: {library} is not installed (Debian package {package})"),
        }
    }
    Ok(all)
}

/// Measures `workloads` with every number of threads.
///
/// # Errors
/// A library that must be there is not.
pub fn run(
    program: &Program,
    ours: &Subject,
    workloads: &[Workload],
    effort: Effort,
    failures: &mut Vec<String>,
) -> Result<Vec<Threads>> {
    let wanted: Vec<&Workload> = workloads.iter().filter(|w| is_threaded(w)).collect();
    let bar = progress::bar("threads", wanted.len() * COUNTS.len());
    let mut all = Vec::new();
    for workload in wanted {
        let subjects = subjects(ours, workload.name == SHARED)?;
        let mut measure = |threads: usize| -> (usize, Timed) {
            bar.set_message(format!("{} {threads}", workload.name));
            let sized = Workload { size: threads, ..workload.clone() };
            let timed = compare(program, &subjects, &sized, effort, failures);
            bar.inc(1);
            (threads, timed)
        };
        all.push(Threads { name: workload.name.clone(), by_count: COUNTS.map(&mut measure).into() });
    }
    bar.finish_and_clear();
    Ok(all)
}
