//! Bytes instead of nanoseconds: what an object costs beyond its payload, what
//! comes back after a peak, and what a process with one chunk weighs.

use crate::child;
use crate::program::Program;
use crate::progress;
use crate::statistics::Spread;
use crate::subject::{Subject, Variant};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::process::Stdio;

/// The payload sizes whose overhead is measured.
pub const SIZES: [usize; 9] = [16, 24, 32, 40, 48, 64, 96, 100, 128];

/// The memory section.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// Bytes beyond the payload: size, then one number a subject.
    pub overhead: Vec<(usize, Vec<(String, f64)>)>,
    /// What comes back.
    pub give_back: Vec<GiveBack>,
    /// What a process with one chunk costs.
    pub start: Vec<Start>,
}

/// Resident sizes around a peak of 1 GiB.
#[derive(Debug, Serialize, Deserialize)]
pub struct GiveBack {
    /// The largest chunk of the mix.
    pub largest: usize,
    /// Who.
    pub label: String,
    /// KiB before, at the peak, right after the free, and a second later.
    pub rss: Resident,
}

/// Resident sizes as the program prints them.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Resident {
    /// Before the peak.
    pub before: i64,
    /// At it.
    pub peak: i64,
    /// Right after the free.
    pub freed: i64,
    /// A second later, nothing asked.
    pub after: i64,
}

/// A process with one chunk.
#[derive(Debug, Serialize, Deserialize)]
pub struct Start {
    /// Who.
    pub label: String,
    /// CPU time of the whole process, microseconds.
    pub cpu_us: Spread,
    /// Resident size with the chunk alive.
    pub rss_kib: i64,
}

#[derive(Deserialize)]
struct Objects {
    before: i64,
    after: i64,
}

#[derive(Deserialize)]
struct One {
    after: i64,
}

/// Measures all of it; `quick` takes smaller peaks and fewer processes.
///
/// # Errors
/// When a check inside the program fails.
pub fn run(program: &Program, subjects: &[Subject], quick: bool) -> Result<Memory> {
    let bar = progress::bar("memory", SIZES.len() + 3);
    let mut memory = Memory::default();
    let talloc: Vec<&Subject> = subjects.iter().filter(|s| s.variant == Variant::Talloc).collect();
    for size in SIZES {
        bar.set_message(format!("objects of {size} bytes"));
        memory.overhead.push((size, overhead(program, subjects, size, quick)?));
        bar.inc(1);
    }
    let peak = if quick { 128 << 20 } else { 1 << 30 };
    for largest in [256, 65536] {
        bar.set_message(format!("a peak of chunks up to {largest}"));
        for subject in &talloc {
            // Sizes are even between half the largest and the largest.
            let count = peak / (largest * 3 / 4);
            let args = ["memory", "give-back", &largest.to_string(), &count.to_string()];
            let rss = program.measure(subject, &args)?;
            memory.give_back.push(GiveBack { largest, label: subject.label.clone(), rss });
        }
        bar.inc(1);
    }
    bar.set_message("starting");
    memory.start = start(program, &talloc, if quick { 20 } else { 100 })?;
    bar.finish_and_clear();
    Ok(memory)
}

fn overhead(program: &Program, subjects: &[Subject], size: usize, quick: bool) -> Result<Vec<(String, f64)>> {
    let count = if quick { 100_000 } else { 1_000_000 };
    subjects
        .iter()
        .map(|subject| {
            let what = if subject.variant == Variant::Bare { "bare" } else { "objects" };
            let args = ["memory", what, &size.to_string(), &count.to_string()];
            let rss: Objects = program.measure(subject, &args)?;
            let grown = (rss.after - rss.before) as f64 * 1024.0;
            Ok((subject.label.clone(), grown / f64::from(count) - size as f64))
        })
        .collect()
}

fn start(program: &Program, subjects: &[&Subject], processes: usize) -> Result<Vec<Start>> {
    let mut cpu = vec![Vec::new(); subjects.len()];
    for _ in 0..processes {
        for (subject, cpu) in subjects.iter().zip(&mut cpu) {
            let mut command = program.command(subject);
            command.args(["memory", "start", "0", "0"]).stdout(Stdio::null());
            cpu.push(child::run(&mut command)?.cpu.as_secs_f64() * 1e6);
        }
    }
    let mut all = Vec::new();
    for (subject, cpu) in subjects.iter().zip(cpu) {
        let one: One = program.measure(subject, &["memory", "start", "0", "0"])?;
        if let Some(cpu_us) = Spread::of(cpu) {
            all.push(Start { label: subject.label.clone(), cpu_us, rss_kib: one.after });
        }
    }
    Ok(all)
}
