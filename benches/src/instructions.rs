//! Instruction counts of the hottest calls, by callgrind.
//!
//! Two runs with different repetition counts; the difference divided by the
//! difference of the counts is one call, with start-up and set-up cancelled out.
//! Counts depend on the code alone, so they can be compared with a snapshot
//! where timings cannot.

use crate::program::Program;
use crate::subject::Subject;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// What the snapshot may be exceeded by, in parts of it.
pub const TOLERANCE: f64 = 0.05;

const FEW: u64 = 1_000;
const MANY: u64 = 6_000;

/// Instructions a call.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// By the name of the call.
    pub calls: BTreeMap<String, u64>,
}

/// How a call's count compares with the snapshot.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Within the tolerance.
    Same,
    /// Fewer instructions than before: worth accepting.
    Better,
    /// More than the tolerance allows.
    Worse,
    /// Not in the snapshot.
    New,
}

impl Counts {
    /// The file that holds the accepted counts.
    pub fn snapshot_file() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/instructions.toml")
    }

    /// The accepted counts.
    pub fn snapshot() -> Result<Counts> {
        let file = Counts::snapshot_file();
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        Ok(toml::from_str(&text)?)
    }

    /// Makes these the accepted counts.
    pub fn accept(&self) -> Result<()> {
        let text = format!(
            "# Instructions a call, counted by callgrind on x86-64.\n\
             # Written by: cargo run --release -p tmempool-bench -- instructions --accept\n\n{}",
            toml::to_string(self)?
        );
        Ok(std::fs::write(Counts::snapshot_file(), text)?)
    }

    /// Compares one call's `count` with the accepted one.
    pub fn judge(&self, call: &str, count: u64) -> Verdict {
        let Some(&accepted) = self.calls.get(call) else {
            return Verdict::New;
        };
        let (accepted, count) = (accepted as f64, count as f64);
        if count > accepted * (1.0 + TOLERANCE) {
            Verdict::Worse
        } else if count < accepted * (1.0 - TOLERANCE) {
            Verdict::Better
        } else {
            Verdict::Same
        }
    }
}

/// Why counting is not possible here, if it is not.
pub fn obstacle() -> Option<String> {
    if !cfg!(target_arch = "x86_64") {
        return Some("the accepted counts are for x86-64".into());
    }
    match Command::new("valgrind").arg("--version").output() {
        Ok(output) if output.status.success() => None,
        _ => Some("valgrind is not installed".into()),
    }
}

/// The calls that the program can repeat.
pub fn calls(program: &Program, subject: &Subject) -> Result<Vec<String>> {
    let output = program.command(subject).arg("hot").output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

/// Counts the instructions of one `call` on `subject`.
pub fn count(program: &Program, subject: &Subject, call: &str) -> Result<u64> {
    let few = collect(program, subject, call, FEW)?;
    let many = collect(program, subject, call, MANY)?;
    Ok((many.saturating_sub(few) as f64 / (MANY - FEW) as f64).round() as u64)
}

fn collect(program: &Program, subject: &Subject, call: &str, count: u64) -> Result<u64> {
    // The program as the subject wants it, with valgrind in front.
    let plain = program.command(subject);
    let mut command = Command::new("valgrind");
    for (variable, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(variable, value),
            None => command.env_remove(variable),
        };
    }
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program.path()).args([
        "hot",
        call,
        &count.to_string(),
    ]);
    let output = command.output().context("cannot start valgrind")?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{call}: {}", told.trim());
    }
    // "==PID== Collected : 123456"
    told.lines()
        .find_map(|line| line.split("Collected :").nth(1)?.trim().parse().ok())
        .with_context(|| format!("{call}: callgrind gave no count:\n{told}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_percent_are_tolerated_and_no_more() {
        let mut counts = Counts::default();
        counts.calls.insert("call".into(), 100);
        assert_eq!(counts.judge("call", 105), Verdict::Same);
        assert_eq!(counts.judge("call", 106), Verdict::Worse);
        assert_eq!(counts.judge("call", 94), Verdict::Better);
        assert_eq!(counts.judge("other", 1), Verdict::New);
    }
}
