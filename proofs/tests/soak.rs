//! What shows only after long: bounded memory, no hang, nothing left behind by threads that are gone.
//!
//! `make check` runs it for a minute, `make soak SECONDS=…` for as long as you like, with the full numbers of threads
//! and forks. Each program says what it did.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use libtest_mimic::{Arguments, Trial};
use tmempool_c_tests::compiler::succeed;
use tmempool_c_tests::library::Dist;

const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// How long, or how often: `name` in the environment, or `otherwise`.
fn number(name: &str, otherwise: u64) -> Result<u64, String> {
    match env::var(name) {
        Ok(said) => said.parse().map_err(|_| format!("{name}={said} is no number")),
        Err(_) => Ok(otherwise),
    }
}

fn build(source: &str, dist: &Dist) -> Result<PathBuf, String> {
    fs::create_dir_all(SCRATCH).map_err(|e| format!("{SCRATCH}: {e}"))?;
    let name = Path::new(source).file_stem().ok_or("a source has a name")?;
    let program = Path::new(SCRATCH).join(name).with_extension("soak");
    let mut compile = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compile.current_dir(ROOT).args(["-O2", "-g", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-I"]);
    compile.arg(dist.include()).args(["-Ic-tests/programs", source, "-o"]).arg(&program);
    compile.arg(dist.shared()).arg("-lpthread");
    succeed(compile)?;
    Ok(program)
}

/// Runs a program and shows what it says. It must end well, and within `patience`.
fn run(mut command: Command, dist: &Dist, patience: Duration) -> Result<(), String> {
    command.env("LD_LIBRARY_PATH", dist.shared().with_file_name("")).env_remove("TMEMPOOL_OPTIONS");
    let mut child = command.stdin(Stdio::null()).spawn().map_err(|e| format!("{command:?}: {e}"))?;
    let end = Instant::now() + patience;
    loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("{command:?}: {status}")),
            None if Instant::now() > end => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{command:?}: hung for {patience:?}"));
            }
            None => thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn soak(dist: &Dist) -> Result<(), String> {
    let seconds = number("SOAK_SECONDS", 60)?;
    let mut command = Command::new(build("proofs/programs/soak.c", dist)?);
    command.arg(seconds.to_string());
    run(command, dist, Duration::from_secs(seconds * 2 + 120))
}

fn thread_churn(dist: &Dist) -> Result<(), String> {
    let threads = number("SOAK_THREADS", 50_000)?;
    let mut command = Command::new(build("proofs/programs/thread_churn.c", dist)?);
    command.arg(threads.to_string());
    run(command, dist, Duration::from_secs(120 + threads / 500))
}

fn forks(dist: &Dist) -> Result<(), String> {
    let forks = number("SOAK_FORKS", 2_000)?;
    let mut command = Command::new(build("c-tests/ours/fork_under_load.c", dist)?);
    // Twice as many as it is told: with null tracking, too.
    command.env("FORKS", (forks / 2).to_string());
    run(command, dist, Duration::from_secs(120 + forks / 5))
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One after the other: each wants to see its own memory, and to be under its own load.
    arguments.test_threads = Some(1);
    let dist = Dist::find_or_exit();
    let trial = |name: &str, body: fn(&Dist) -> Result<(), String>| {
        let dist = dist.clone();
        Trial::test(name, move || Ok(body(&dist)?))
    };
    let trials = vec![
        trial("threads come and go and leave nothing behind", thread_churn),
        trial("forks under load", forks),
        trial("soak", soak),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}
