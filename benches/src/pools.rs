//! The pools of `tmempool.h` against what a user would take instead: the C++ program of `pools/` does each
//! workload in several ways, one process each, alternating.

use crate::place;
use crate::progress;
use crate::results::{Column, Timed};
use crate::statistics::Spread;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A workload in one way, as the program names it.
#[derive(Debug, Deserialize)]
struct Case {
    workload: String,
    way: String,
}

/// What one process measured.
#[derive(Debug, Deserialize)]
struct Measured {
    ns: f64,
}

/// A column: a way, and the malloc under it.
#[derive(Debug)]
struct Subject {
    label: String,
    way: String,
    preload: Option<PathBuf>,
}

/// Compiles the program, with Boost and APR where they are installed.
fn build() -> Result<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("pools");
    let directory = place::build_directory();
    fs::create_dir_all(&directory)?;
    let path = directory.join("pools-bench");
    let library = place::dist().join("lib");
    let apr = Path::new("/usr/include/apr-1.0");
    let mut command = Command::new(std::env::var("CXX").unwrap_or_else(|_| "c++".into()));
    command
        .args(["-std=c++17", "-O2", "-g", "-Wall", "-Wextra", "-pthread", "-D_GNU_SOURCE"])
        // What is named is called.
        .args(["-fno-builtin-malloc", "-fno-builtin-free"])
        .arg("-I")
        .arg(place::workspace().join("include/tmempool"));
    for (header, what, package) in [
        ("/usr/include/boost/pool/pool.hpp", "Boost.Pool", "libboost-dev"),
        ("/usr/include/apr-1.0/apr_pools.h", "APR's pools", "libapr1-dev"),
    ] {
        if !Path::new(header).exists() {
            eprintln!("skipped: {what} (Debian package {package} is not installed)");
        }
    }
    let mut files: Vec<PathBuf> =
        fs::read_dir(&sources)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    command.args(files.iter().filter(|file| file.extension().is_some_and(|e| e == "cpp")));
    command.arg("-o").arg(&path).arg("-L").arg(&library).arg("-ltmempool");
    command.arg(format!("-Wl,-rpath,{}", library.display()));
    if apr.join("apr_pools.h").exists() {
        command.arg("-I").arg(apr).arg("-lapr-1");
    }
    let output = command.output().context("a C++ compiler is needed")?;
    if !output.status.success() {
        bail!("compiling the pools' benchmark failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(path)
}

fn cases(program: &Path) -> Result<Vec<Case>> {
    let output = Command::new(program).arg("list").output()?;
    if !output.status.success() {
        bail!("listing the pools' workloads: {}", String::from_utf8_lossy(&output.stderr));
    }
    serde_json::Deserializer::from_slice(&output.stdout).into_iter().map(|case| Ok(case?)).collect()
}

/// The columns of a way: malloc is that of the C library, and each that is preloaded.
fn subjects(way: &str) -> Result<Vec<Subject>> {
    let mut all = vec![Subject { label: way.into(), way: way.into(), preload: None }];
    if way == "malloc" {
        for (label, library) in [("jemalloc", "libjemalloc.so.2"), ("mimalloc", "libmimalloc.so.2")] {
            match place::system_library(library)? {
                None => eprintln!("skipped: {label} ({library} is not installed)"),
                preload => all.push(Subject { label: label.into(), way: way.into(), preload }),
            }
        }
    }
    Ok(all)
}

fn measure(program: &Path, workload: &str, subject: &Subject, enough_ms: u32) -> Result<f64> {
    let mut command = Command::new(program);
    command.args(["run", workload, &subject.way, &enough_ms.to_string()]);
    if let Some(library) = &subject.preload {
        command.env("LD_PRELOAD", library);
    }
    let output = command.output()?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        bail!("{workload} with {}: {}: {}", subject.label, output.status, told.trim());
    }
    Ok(serde_json::from_slice::<Measured>(&output.stdout)?.ns)
}

/// Runs the workloads whose name contains one of `only`, or all. What fails is told in `failures`.
///
/// # Errors
/// When the program cannot be built or does not run at all.
pub fn run(only: &[String], rounds: usize, enough_ms: u32, failures: &mut Vec<String>) -> Result<Vec<Timed>> {
    let program = build()?;
    let mut workloads: Vec<(String, Vec<Subject>)> = Vec::new();
    for case in cases(&program)? {
        if !only.is_empty() && !only.iter().any(|pattern| case.workload.contains(pattern)) {
            continue;
        }
        let columns = subjects(&case.way)?;
        match workloads.iter_mut().find(|(name, _)| *name == case.workload) {
            Some((_, all)) => all.extend(columns),
            None => workloads.push((case.workload, columns)),
        }
    }
    let bar = progress::bar("pools", workloads.iter().map(|(_, all)| all.len() * rounds).sum());
    let mut results = Vec::new();
    for (name, subjects) in workloads {
        bar.set_message(name.clone());
        let mut ns = vec![Vec::new(); subjects.len()];
        for _ in 0..rounds {
            for (subject, ns) in subjects.iter().zip(&mut ns) {
                match measure(&program, &name, subject, enough_ms) {
                    Ok(value) => ns.push(value),
                    Err(error) => failures.push(format!("{error:#}")),
                }
                bar.inc(1);
            }
        }
        let columns = subjects.into_iter().zip(ns).filter_map(|(subject, ns)| {
            Some(Column { label: subject.label, ns: Spread::of(ns)?, peak_rss_kib: 0, grows: false })
        });
        results.push(Timed { name, op: "object".into(), columns: columns.collect() });
    }
    bar.finish_and_clear();
    Ok(results)
}
