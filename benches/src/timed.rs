//! The timed workloads: every subject in turn, one process each, round by round.
//!
//! Alternating matters more than repeating: whatever else the machine does hits
//! all subjects alike.

use crate::program::{Program, Run, Workload};
use crate::progress;
use crate::results::{Column, Timed};
use crate::statistics::Spread;
use crate::subject::{Subject, Variant};

/// More than any cold workload touches.
const COLD_MIB: usize = 256;

/// How much to measure.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Processes per workload and subject.
    pub processes: usize,
    /// Rounds within one process.
    pub rounds: usize,
    /// A round goes on until this much is on the clock.
    pub enough_ms: usize,
}

/// Measures `workloads` on `subjects`; failed checks are put into `failures`.
pub fn run(
    program: &Program,
    subjects: &[Subject],
    workloads: &[Workload],
    effort: Effort,
    failures: &mut Vec<String>,
) -> Vec<Timed> {
    let bar = progress::bar("timed", workloads.len());
    let mut all = Vec::new();
    for workload in workloads {
        bar.set_message(workload.name.clone());
        all.push(compare(program, subjects, workload, effort, failures));
        bar.inc(1);
    }
    bar.finish_and_clear();
    all
}

/// One workload on all subjects.
pub fn compare(
    program: &Program,
    subjects: &[Subject],
    workload: &Workload,
    effort: Effort,
    failures: &mut Vec<String>,
) -> Timed {
    let runnable = |s: &&Subject| s.variant == Variant::Talloc || workload.bare;
    let subjects: Vec<&Subject> = subjects.iter().filter(runnable).collect();
    let mut samples = vec![(Vec::new(), 0, false); subjects.len()];
    let [size, rounds, enough] = [workload.size, effort.rounds, effort.enough_ms].map(|n| n.to_string());
    for _ in 0..effort.processes {
        for (subject, (ns, peak, grows)) in subjects.iter().zip(&mut samples) {
            let args = ["run", &workload.name, subject.variant.word(), &size, &rounds, &enough];
            let settled = if workload.cold { program.settle(COLD_MIB) } else { Ok(()) };
            match settled.and_then(|()| program.measure::<Run>(subject, &args)) {
                Ok(run) => {
                    ns.extend(run.rounds.iter().map(|r| r.ns / r.ops));
                    *peak = run.peak_rss_kib.max(*peak);
                    *grows |= run.grows;
                    if run.grows && subject.must_not_grow() {
                        let (label, name) = (&subject.label, &workload.name);
                        failures.push(format!("{name} on {label}: memory grows from pass to pass"));
                    }
                }
                Err(error) => failures.push(format!("{error:#}")),
            }
        }
    }
    failures.dedup();
    let column = |(subject, (ns, peak_rss_kib, grows)): (&&Subject, (Vec<f64>, u64, bool))| {
        Some(Column { label: subject.label.clone(), ns: Spread::of(ns)?, peak_rss_kib, grows })
    };
    Timed {
        name: workload.name.clone(),
        op: workload.op.clone(),
        columns: subjects.iter().zip(samples).filter_map(column).collect(),
    }
}
