//! Real programs on both libraries: CPU time and peak resident size.
//!
//! Each program first runs once untimed under the loader's own trace, which must
//! show that the subject's libtalloc was initialised.

use crate::child::{self, Usage};
use crate::program::Program;
use crate::progress;
use crate::statistics::Spread;
use crate::subject::{Subject, Variant};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

/// One real program on all subjects.
#[derive(Debug, Serialize, Deserialize)]
pub struct Real {
    /// What was run.
    pub name: String,
    /// Why it was not, if so.
    pub skipped: Option<String>,
    /// One entry a subject.
    pub columns: Vec<RealColumn>,
}

/// One real program on one subject.
#[derive(Debug, Serialize, Deserialize)]
pub struct RealColumn {
    /// The subject's label.
    pub label: String,
    /// CPU milliseconds, user and system.
    pub cpu_ms: Spread,
    /// Peak resident size.
    pub peak_rss_mib: Spread,
}

/// A program and how to make it do something worth measuring.
struct Job {
    name: &'static str,
    program: &'static str,
    package: &'static str,
    /// About the memory that it needs.
    needs_mib: usize,
    /// Makes the input, once.
    prepare: fn(&Path) -> Result<()>,
    /// Clears the output of the run before, and gives the arguments.
    arguments: fn(&Path) -> Result<Vec<String>>,
}

const JOBS: [Job; 4] = [
    Job {
        name: "smbtorture local.ldb",
        program: "smbtorture",
        package: "samba-testsuite",
        needs_mib: 1536,
        prepare: |_| Ok(()),
        arguments: |_| Ok(words("ncalrpc:localhost local.ldb")),
    },
    Job {
        name: "smbtorture local.ndr, …",
        program: "smbtorture",
        package: "samba-testsuite",
        needs_mib: 128,
        prepare: |_| Ok(()),
        arguments: |_| {
            Ok(words(
                "ncalrpc:localhost local.ndr local.tevent_req local.dsdb.dn local.pac local.str local.idtree",
            ))
        },
    },
    Job {
        name: "notmuch new, 5,000 mails",
        program: "notmuch",
        package: "notmuch",
        needs_mib: 256,
        prepare: prepare_mails,
        arguments: |at| {
            remove(fs::remove_dir_all(at.join("mail/.notmuch")))?;
            Ok(vec![format!("--config={}", at.join("notmuch.cfg").display()), "new".into()])
        },
    },
    Job {
        name: "ldbadd, 50,000 records",
        program: "ldbadd",
        package: "ldb-tools",
        needs_mib: 128,
        prepare: prepare_records,
        arguments: |at| {
            remove(fs::remove_file(at.join("records.ldb")))?;
            Ok(words("-H records.ldb records.ldif"))
        },
    },
];

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// It is fine when there was nothing to remove.
fn remove(result: std::io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn prepare_mails(at: &Path) -> Result<()> {
    for folder in ["cur", "new", "tmp"] {
        fs::create_dir_all(at.join("mail").join(folder))?;
    }
    for i in 0..5000 {
        let mut mail = format!(
            "From: Writer {w} <w{w}@example.org>\nTo: reader@example.org\nSubject: message {i}\n\
             Message-ID: <{i}@example.org>\nDate: Mon, 01 Jan 2024 {h:02}:{m:02}:00 +0000\n",
            w = i % 37,
            h = i / 60 % 24,
            m = i % 60,
        );
        if i % 5 > 0 {
            writeln!(mail, "In-Reply-To: <{}@example.org>", i - 1)?;
        }
        mail.push('\n');
        for word in 0..80 {
            write!(mail, "word{} ", (i * 7 + word * 13) % 1999)?;
        }
        mail.push('\n');
        fs::write(at.join(format!("mail/cur/{i}:2,S")), mail)?;
    }
    let config = format!(
        "[database]\npath={}\n[user]\nname=Reader\nprimary_email=reader@example.org\n[new]\ntags=inbox\n",
        at.join("mail").display()
    );
    Ok(fs::write(at.join("notmuch.cfg"), config)?)
}

fn prepare_records(at: &Path) -> Result<()> {
    let mut ldif = String::from("dn: dc=test\ndc: test\n\n");
    for i in 0..50_000 {
        write!(
            ldif,
            "dn: cn=user{i},dc=test\ncn: user{i}\nobjectClass: person\nmail: user{i}@example.org\n\
             description: the {i}th person of a large directory\n\n"
        )?;
    }
    Ok(fs::write(at.join("records.ldif"), ldif)?)
}

/// Runs every job on the talloc subjects that have no other malloc under them;
/// what fails is put into `failures`.
pub fn run(program: &Program, subjects: &[Subject], rounds: usize, failures: &mut Vec<String>) -> Vec<Real> {
    let plain = |s: &&Subject| s.variant == Variant::Talloc && s.preload.is_none();
    let subjects: Vec<&Subject> = subjects.iter().filter(plain).collect();
    let bar = progress::bar("real", JOBS.len() * (rounds + 1));
    let mut all = Vec::new();
    for job in JOBS {
        bar.set_message(job.name);
        match run_job(program, &job, &subjects, rounds, &bar) {
            Ok(real) => all.push(real),
            Err(error) => failures.push(format!("{}: {error:#}", job.name)),
        }
    }
    bar.finish_and_clear();
    all
}

fn run_job(
    program: &Program,
    job: &Job,
    subjects: &[&Subject],
    rounds: usize,
    bar: &indicatif::ProgressBar,
) -> Result<Real> {
    let mut real = Real { name: job.name.into(), skipped: None, columns: Vec::new() };
    if !installed(job.program) {
        real.skipped = Some(format!("{} is not installed (package {})", job.program, job.package));
        bar.inc(rounds as u64 + 1);
        return Ok(real);
    }
    let directory = tempfile::tempdir()?;
    (job.prepare)(directory.path())?;
    for subject in subjects {
        insist_on_library(job, subject, directory.path())?;
    }
    bar.inc(1);
    let mut usage = vec![Vec::new(); subjects.len()];
    for _ in 0..rounds {
        for (subject, usage) in subjects.iter().zip(&mut usage) {
            program.settle(job.needs_mib)?;
            usage.push(child::run(&mut command(job, subject, directory.path())?)?);
        }
        bar.inc(1);
    }
    for (subject, usage) in subjects.iter().zip(usage) {
        let spread = |of: fn(&Usage) -> f64| Spread::of(usage.iter().map(of).collect());
        if let (Some(cpu_ms), Some(peak_rss_mib)) =
            (spread(|u| u.cpu.as_secs_f64() * 1e3), spread(|u| u.peak_rss_kib as f64 / 1024.0))
        {
            real.columns.push(RealColumn { label: subject.label.clone(), cpu_ms, peak_rss_mib });
        }
    }
    Ok(real)
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

fn command(job: &Job, subject: &Subject, directory: &Path) -> Result<Command> {
    let mut command = Command::new(job.program);
    subject.apply(&mut command);
    command
        .args((job.arguments)(directory)?)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(directory.join("stderr"))?);
    Ok(command)
}

/// One untimed run in which the loader tells which libraries it initialises.
fn insist_on_library(job: &Job, subject: &Subject, directory: &Path) -> Result<()> {
    let traces = tempfile::tempdir()?;
    let mut traced = command(job, subject, directory)?;
    traced.env("LD_DEBUG", "files").env("LD_DEBUG_OUTPUT", traces.path().join("trace"));
    if let Err(error) = child::run(&mut traced) {
        let told = fs::read_to_string(directory.join("stderr")).unwrap_or_default();
        bail!("{error:#} on {}: {}", subject.label, told.trim());
    }
    for entry in fs::read_dir(traces.path())? {
        let trace = fs::read_to_string(entry?.path())?;
        let mut initialised = trace.lines().filter_map(|l| l.split("calling init: ").nth(1));
        if initialised.any(|file| Path::new(file).canonicalize().is_ok_and(|f| f == subject.talloc)) {
            return Ok(());
        }
    }
    bail!("{} did not load {}", job.program, subject.talloc.display())
}
