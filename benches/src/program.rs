//! The C program: compiled once, run once per workload, variant and library.

use crate::place;
use crate::subject::Subject;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A workload as the program describes it.
#[derive(Debug, Clone, Deserialize)]
pub struct Workload {
    /// `family/what`.
    pub name: String,
    /// What one operation is.
    pub op: String,
    /// Its default structural size.
    pub size: usize,
    /// Whether bare malloc can do the same work.
    pub bare: bool,
    /// Whether it is one pass in a fresh process, first touch of the memory included.
    pub cold: bool,
}

/// What one process measured.
#[derive(Debug, Deserialize)]
pub struct Run {
    /// One entry a round.
    pub rounds: Vec<Round>,
    /// The process's peak resident size.
    pub peak_rss_kib: u64,
    /// Whether that grows from pass to pass, though each frees what it made.
    pub grows: bool,
}

/// Nanoseconds on the clock and the operations that they paid for.
#[derive(Debug, Deserialize)]
pub struct Round {
    /// Nanoseconds.
    pub ns: f64,
    /// Operations.
    pub ops: f64,
}

/// The compiled benchmark program.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
}

impl Program {
    /// Compiles the program, linked with `library` (any libtalloc will do: all
    /// carry the same names and versions).
    ///
    /// # Errors
    /// When there is no C compiler, or it refuses.
    pub fn build(library: &Path) -> Result<Program> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("program");
        let directory = place::build_directory();
        fs::create_dir_all(&directory)?;
        let path = directory.join("talloc-bench");
        let mut command = Command::new(place::compiler());
        command
            .args(["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-g", "-Wall", "-Wextra", "-pthread"])
            // The bare variants must call what they name.
            .args(
                ["malloc", "calloc", "realloc", "free", "strdup", "strndup"]
                    .map(|f| format!("-fno-builtin-{f}")),
            )
            .arg("-I")
            .arg(place::workspace().join("include/tmempool"));
        for entry in fs::read_dir(&sources)? {
            let file = entry?.path();
            if file.extension().is_some_and(|e| e == "c") {
                command.arg(file);
            }
        }
        command.arg("-o").arg(&path).arg(library);
        let output = command.output().context("a C compiler is needed")?;
        if !output.status.success() {
            bail!("compiling the benchmark failed:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(Program { path })
    }

    /// The executable.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command that runs the program on `subject` and insists on its libraries.
    pub fn command(&self, subject: &Subject) -> Command {
        let mut command = Command::new(&self.path);
        subject.apply(&mut command);
        command.env("BENCH_EXPECT_TALLOC", &subject.talloc);
        if let Some(malloc) = &subject.malloc {
            command.env("BENCH_EXPECT_MALLOC", malloc);
        }
        command
    }

    /// Runs the program and reads the one line of JSON that it prints.
    ///
    /// # Errors
    /// When a check inside the program failed or the wrong library was loaded.
    pub fn measure<T: DeserializeOwned>(&self, subject: &Subject, args: &[&str]) -> Result<T> {
        let output = self.command(subject).args(args).output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("{} on {}: {}: {}", args.join(" "), subject.label, output.status, told.trim());
        }
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{} on {}: unreadable result", args.join(" "), subject.label))
    }

    /// Makes the machine own `mib` MiB of free memory; see `settle` in the C program.
    pub fn settle(&self, mib: usize) -> Result<()> {
        let status = Command::new(&self.path).args(["settle", &mib.to_string()]).status()?;
        if !status.success() {
            bail!("settling the machine: {status}");
        }
        Ok(())
    }

    /// All workloads, in the order in which they are reported.
    pub fn workloads(&self, subject: &Subject) -> Result<Vec<Workload>> {
        let output = self.command(subject).arg("list").output()?;
        if !output.status.success() {
            bail!("listing the workloads: {}", String::from_utf8_lossy(&output.stderr));
        }
        serde_json::Deserializer::from_slice(&output.stdout)
            .into_iter()
            .map(|workload| Ok(workload?))
            .collect()
    }
}
