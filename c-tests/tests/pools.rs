//! What `tmempool.h` offers: the programs of `pools/` check themselves, and those of
//! the project's `examples/` must run to their end, with `libtmempool.so` and with
//! `libtmempool.a`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};
use tmempool_c_tests::compiler::{self, Compiler};
use tmempool_c_tests::library::Dist;
use tmempool_c_tests::program::{directory, name, scratch, sources};
use tmempool_c_tests::run::{run, with_library};

const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");

/// Builds a program with `library`, and wants it to end well.
fn runs(source: &Path, library: &Path, compiler: Compiler, dist: &Dist, test: &str) -> Result<(), String> {
    let at = scratch(Path::new(SCRATCH), test)?;
    let program = at.join("program");
    let includes = [dist.include(), directory("programs"), directory("ours")];
    compiler.build(source, &includes, &[library.to_path_buf()], &program)?;
    run(with_library(&program, Some(library), &at.join("witness")))?.clean()?;
    fs::remove_dir_all(&at).map_err(|e| e.to_string())
}

/// Runs a program of `pools/` under Valgrind, with tmempool's own memory, and without what its limits on memory would do
/// to Valgrind.
fn under_valgrind(program: &str, compiler: Compiler, dist: &Dist, test: &str) -> Result<(), String> {
    let at = scratch(Path::new(SCRATCH), test)?;
    let binary = at.join("program");
    let source = directory("pools").join(program).with_extension("c");
    let includes = [dist.include(), directory("programs"), directory("ours")];
    compiler.build(&source, &includes, &[dist.shared()], &binary)?;
    let mut command = with_library(Path::new("valgrind"), Some(&dist.shared()), &at.join("witness"));
    // In turns: a thread that waits for Valgrind's lock may else wait for minutes.
    command.args(["--quiet", "--error-exitcode=9", "--fair-sched=try"]).arg(&binary).env("NO_LIMITS", "1");
    command.env("TMEMPOOL_OPTIONS", "backend=slots");
    run(command)?.clean()?;
    fs::remove_dir_all(&at).map_err(|e| e.to_string())
}

/// Runs a program of `pools/`, given `arguments`, with each chunk a block of malloc's.
fn on_malloc(
    program: &str,
    arguments: &[&str],
    compiler: Compiler,
    dist: &Dist,
    test: &str,
) -> Result<(), String> {
    let at = scratch(Path::new(SCRATCH), test)?;
    let binary = at.join("program");
    let source = directory("pools").join(program).with_extension("c");
    let includes = [dist.include(), directory("programs"), directory("ours")];
    compiler.build(&source, &includes, &[dist.shared()], &binary)?;
    let mut command = with_library(&binary, Some(&dist.shared()), &at.join("witness"));
    command.args(arguments).env("TMEMPOOL_OPTIONS", "backend=malloc");
    run(command)?.clean()?;
    fs::remove_dir_all(&at).map_err(|e| e.to_string())
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let dist = Dist::find_or_exit();
    let mut trials = Vec::new();
    let mut add = |source: &Path, library: PathBuf, compiler: Compiler| {
        let kind = library.extension().unwrap_or_default().to_string_lossy().into_owned();
        let folder = source.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let test = format!("{folder} {} ({} {kind})", name(source), compiler.name);
        let (dist, source) = (dist.clone(), source.to_path_buf());
        trials.push(Trial::test(test.clone(), move || Ok(runs(&source, &library, compiler, &dist, &test)?)));
    };
    for compiler in compiler::installed() {
        for source in sources("pools").into_iter().chain(sources("../examples")) {
            add(&source, dist.shared(), compiler);
        }
    }
    // The archive holds the same code: one compiler tells whether it can be linked with.
    for compiler in compiler::installed().into_iter().take(1) {
        for source in sources("pools").into_iter().chain(sources("../examples")) {
            add(&source, dist.archive(), compiler);
        }
    }
    if let Some(compiler) = compiler::installed().into_iter().next() {
        for (program, arguments) in [
            ("shared_contexts", &["3000"][..]),
            ("growable", &[]),
            ("bare", &[]),
            ("small_objects", &[]),
            ("small_objects_in_pools", &[]),
            ("context_signal_steps", &["40"]),
        ] {
            let (test, malloc) = (format!("pools {program} with malloc below"), dist.clone());
            trials.push(Trial::test(test.clone(), move || {
                Ok(on_malloc(program, arguments, compiler, &malloc, &test)?)
            }));
        }
        if Command::new("valgrind").arg("--version").output().is_ok_and(|o| o.status.success()) {
            for program in ["cache", "cache_threads"] {
                let (test, dist) = (format!("pools {program} under valgrind"), dist.clone());
                trials.push(Trial::test(test.clone(), move || {
                    Ok(under_valgrind(program, compiler, &dist, &test)?)
                }));
            }
        } else {
            eprintln!("note: valgrind is not installed: object caches under it are skipped");
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
