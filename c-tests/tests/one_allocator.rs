//! A program that uses libtevent, which needs talloc itself, ends up with one
//! allocator however it comes to ours: by the drop-in, by `libtmempool.so`, or
//! linked statically. The loader's own account of its bindings is the proof.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use tmempool_c_tests::compare::same;
use tmempool_c_tests::compiler::{self, Compiler};
use tmempool_c_tests::library::{self, Dist};
use tmempool_c_tests::program::{directory, scratch};
use tmempool_c_tests::run::{check_library, run, with_library};

const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");
const TEVENT: &str = "libtevent.so.0";

/// How the program is linked, and what it finds when it runs.
struct Way {
    name: &'static str,
    link: Vec<PathBuf>,
    path_to: Option<PathBuf>,
    /// Who must answer for talloc; none: the program itself.
    answers: Option<PathBuf>,
}

fn ways(dist: &Dist) -> Vec<Way> {
    let tevent = || PathBuf::from("-ltevent");
    let mut ways = vec![
        Way {
            name: "drop-in",
            link: vec![tevent(), dist.drop_in()],
            path_to: Some(dist.drop_in()),
            answers: Some(dist.drop_in()),
        },
        Way {
            name: "libtmempool.so",
            link: vec![dist.shared(), tevent()],
            path_to: Some(dist.shared()),
            answers: Some(dist.shared()),
        },
        Way {
            name: "libtmempool.so after libtevent",
            link: vec![tevent(), dist.shared()],
            path_to: Some(dist.shared()),
            answers: Some(dist.shared()),
        },
        Way {
            name: "libtmempool.a",
            link: vec![dist.archive(), tevent(), "-rdynamic".into()],
            path_to: None,
            answers: None,
        },
    ];
    if let Some(talloc) = library::system_talloc() {
        ways.push(Way {
            name: "talloc itself",
            link: vec![tevent(), talloc.clone()],
            path_to: Some(talloc.clone()),
            answers: Some(talloc),
        });
    }
    ways
}

/// Wants each binding of a talloc function by libtevent to lead to `answers`.
fn check_bindings(log: &str, answers: &Path) -> Result<(), String> {
    let expected = answers.canonicalize().map_err(|e| e.to_string())?;
    let mut bindings = 0;
    for line in log.lines().filter(|line| line.contains("talloc_")) {
        // 4711: binding file A [0] to B [0]: normal symbol `talloc_free' [TALLOC_2.0.2]
        let Some((from, to)) = line.split_once("binding file ").and_then(|(_, rest)| rest.split_once(" to "))
        else {
            continue;
        };
        let Some((to, _)) = to.split_once(" [") else { continue };
        if !from.contains(TEVENT) {
            continue;
        }
        bindings += 1;
        if Path::new(to).canonicalize().map_err(|e| e.to_string())? != expected {
            return Err(format!("libtevent is bound elsewhere: {line}"));
        }
    }
    if bindings < 10 {
        return Err(format!("only {bindings} bindings of libtevent were seen:\n{log}"));
    }
    Ok(())
}

fn check(way: &Way, compiler: Compiler, dist: &Dist, test: &str) -> Result<(), String> {
    let at = scratch(Path::new(SCRATCH), test)?;
    let (program, witness, log) = (at.join("program"), at.join("witness"), at.join("bindings"));
    let includes = [dist.include(), directory("programs")];
    compiler.build(&directory("tevent").join("loop.c"), &includes, &way.link, &program)?;
    let answers = way.answers.as_deref().unwrap_or(&program);

    let command = with_library(&program, way.path_to.as_deref(), &witness);
    let trace = run(command)?.clean()?;
    check_library(&witness, answers)?;
    let golden = fs::read_to_string(directory("golden").join("tevent.out")).map_err(|e| e.to_string())?;
    same(&golden, &trace)?;

    let mut command = with_library(&program, way.path_to.as_deref(), &witness);
    command.env("LD_DEBUG", "bindings").env("LD_DEBUG_OUTPUT", &log).env("LD_BIND_NOW", "1");
    run(command)?.clean()?;
    let mut account = String::new();
    for entry in fs::read_dir(&at).map_err(|e| e.to_string())?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("bindings.") {
            account.push_str(&fs::read_to_string(entry.path()).map_err(|e| e.to_string())?);
        }
    }
    check_bindings(&account, answers)?;
    fs::remove_dir_all(&at).map_err(|e| e.to_string())
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let dist = Dist::find_or_exit();
    let missing = if !Path::new("/usr/include/tevent.h").exists() || library::system_library(TEVENT).is_none()
    {
        Some("libtevent-dev is not installed")
    } else {
        None
    };
    if let Some(missing) = missing {
        eprintln!("note: {missing}: these tests are skipped");
    }
    let mut trials = Vec::new();
    for compiler in compiler::installed() {
        for way in ways(&dist) {
            let dist = dist.clone();
            let test = format!("tevent by {} ({})", way.name, compiler.name);
            let trial = Trial::test(test.clone(), move || Ok(check(&way, compiler, &dist, &test)?));
            trials.push(trial.with_ignored_flag(missing.is_some()));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
