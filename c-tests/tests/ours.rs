//! What tmempool does where talloc crashes, leaks, hangs or miscounts: the programs
//! of `ours/` check themselves, and end with status 0 when all holds. Those of
//! `plugin/` load the library from a program that is not linked with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};
use tmempool_c_tests::compare::same;
use tmempool_c_tests::compiler::{self, Compiler};
use tmempool_c_tests::library::{self, Dist};
use tmempool_c_tests::program::{directory, name, scratch, sources};
use tmempool_c_tests::run::{check_library, run, with_library};

const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");

/// The body of a test, which is told the test's name.
type Body = Box<dyn FnOnce(&str) -> Result<(), String> + Send>;

/// Runs a program of `ours/` on the drop-in.
fn self_checking(source: &Path, compiler: Compiler, dist: &Dist, test: &str) -> Result<(), String> {
    let at = scratch(Path::new(SCRATCH), test)?;
    let (program, witness) = (at.join("program"), at.join("witness"));
    let includes = [dist.include(), directory("programs")];
    compiler.build(source, &includes, &[dist.drop_in()], &program)?;
    run(with_library(&program, Some(&dist.drop_in()), &witness))?.clean()?;
    check_library(&witness, &dist.drop_in())?;
    fs::remove_dir_all(&at).map_err(|e| e.to_string())
}

/// Destructors that do anything, with each chunk a block of malloc, so that malloc
/// and Valgrind see every misstep.
fn on_malloc(valgrind: bool, compiler: Compiler, dist: &Dist, test: &str) -> Result<(), String> {
    let at = scratch(Path::new(SCRATCH), test)?;
    let (program, witness) = (at.join("program"), at.join("witness"));
    let includes = [dist.include(), directory("programs")];
    compiler.build(&directory("ours").join("chaos.c"), &includes, &[dist.drop_in()], &program)?;
    let mut command = if valgrind {
        let mut command = with_library(Path::new("valgrind"), Some(&dist.drop_in()), &witness);
        command.args(["--quiet", "--error-exitcode=9"]).arg(&program).args(["201", "260"]);
        command
    } else {
        with_library(&program, Some(&dist.drop_in()), &witness)
    };
    command.env("TMEMPOOL_OPTIONS", "backend=malloc");
    run(command)?.clean()?;
    fs::remove_dir_all(&at).map_err(|e| e.to_string())
}

/// Valgrind's memcheck sees a use after free inside a pool, without being told how.
fn freed_member(compiler: Compiler, dist: &Dist, test: &str) -> Result<(), String> {
    let at = scratch(Path::new(SCRATCH), test)?;
    let program = at.join("program");
    let includes = [dist.include(), directory("programs")];
    compiler.build(&directory("ours").join("freed_member.c"), &includes, &[dist.drop_in()], &program)?;
    let mut command = with_library(Path::new("valgrind"), Some(&dist.drop_in()), &at.join("witness"));
    command.args(["--quiet", "--error-exitcode=9"]).arg(&program).arg("read");
    let seen = run(command)?;
    let message = "Invalid read of size 1";
    if !seen.stderr.contains(message) || !seen.stderr.contains("free'd") {
        return Err(format!("memcheck did not see it:\n{}", seen.stderr));
    }
    fs::remove_dir_all(&at).map_err(|e| e.to_string())
}

/// Limits that nothing ever reaches change nothing, whatever a program does. (In
/// talloc they do: it loses count and hangs.)
fn unreached_limits(compiler: Compiler, dist: &Dist, test: &str) -> Result<(), String> {
    let at = scratch(Path::new(SCRATCH), test)?;
    let program = at.join("program");
    let source = directory("programs").join("random.c");
    compiler.build(&source, &[dist.include()], &[dist.drop_in()], &program)?;
    let mut traces = Vec::new();
    for kind in ["digest", "limits"] {
        let mut command = with_library(&program, Some(&dist.drop_in()), &at.join("witness"));
        command.args([kind, "1", "300"]);
        traces.push(run(command)?.clean()?);
    }
    same(&traces[0], &traces[1])?;
    fs::remove_dir_all(&at).map_err(|e| e.to_string())
}

/// Builds `plugin/NAME.c` without talloc, to load it at run time.
fn build_loader(source: &str, compiler: Compiler, at: &Path) -> Result<PathBuf, String> {
    let program = at.join(source);
    compiler.build(&directory("plugin").join(source).with_extension("c"), &[], &[], &program)?;
    Ok(program)
}

/// Loads and unloads a module that is linked with `libtalloc.so.2`.
fn plugin(library: &Path, compiler: Compiler, dist: &Dist, test: &str) -> Result<(), String> {
    let at = scratch(Path::new(SCRATCH), test)?;
    let module = at.join("plugin.so");
    let link = [PathBuf::from("-shared"), PathBuf::from("-fPIC"), library.to_path_buf()];
    compiler.build(&directory("plugin").join("plugin.c"), &[dist.include()], &link, &module)?;
    let loader = build_loader("loader", compiler, &at)?;
    let directory = library.parent().ok_or("a library lies in a directory")?;
    let mut command = with_library(&loader, Some(library), &at.join("witness"));
    command.arg(&module).arg(directory.join("libtalloc.so.2"));
    run(command)?.clean()?;
    fs::remove_dir_all(&at).map_err(|e| e.to_string())
}

/// The drop-in and the system's talloc side by side.
fn two_libraries(talloc: &Path, compiler: Compiler, dist: &Dist, test: &str) -> Result<(), String> {
    let at = scratch(Path::new(SCRATCH), test)?;
    let mut command = Command::new(build_loader("two_libraries", compiler, &at)?);
    command.arg(dist.drop_in()).arg(talloc);
    run(command)?.clean()?;
    fs::remove_dir_all(&at).map_err(|e| e.to_string())
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let dist = Dist::find_or_exit();
    let valgrind = Command::new("valgrind").arg("--version").output().is_ok_and(|o| o.status.success());
    if !valgrind {
        eprintln!("note: valgrind is not installed: `chaos` and `freed_member` under valgrind are skipped");
    }
    let mut trials = Vec::new();
    let mut add = |test: String, body: Body| {
        trials.push(Trial::test(test.clone(), move || Ok(body(&test)?)));
    };
    for compiler in compiler::installed() {
        for source in sources("ours") {
            let dist = dist.clone();
            let test = format!("{} ({})", name(&source), compiler.name);
            add(test, Box::new(move |test| self_checking(&source, compiler, &dist, test)));
        }
        let this = dist.clone();
        add(
            format!("chaos with malloc below ({})", compiler.name),
            Box::new(move |test| on_malloc(false, compiler, &this, test)),
        );
        if valgrind {
            let this = dist.clone();
            add(
                format!("chaos under valgrind ({})", compiler.name),
                Box::new(move |test| on_malloc(true, compiler, &this, test)),
            );
        }
        if valgrind {
            let this = dist.clone();
            add(
                format!("freed_member under valgrind ({})", compiler.name),
                Box::new(move |test| freed_member(compiler, &this, test)),
            );
        }
        let this = dist.clone();
        add(
            format!("random programs with unreached limits ({})", compiler.name),
            Box::new(move |test| unreached_limits(compiler, &this, test)),
        );
        let this = dist.clone();
        add(
            format!("plugin ({})", compiler.name),
            Box::new(move |test| plugin(&this.drop_in(), compiler, &this, test)),
        );
        if let Some(talloc) = library::system_talloc() {
            let this = dist.clone();
            add(
                format!("two libraries ({})", compiler.name),
                Box::new(move |test| two_libraries(&talloc, compiler, &this, test)),
            );
        }
    }
    if library::system_talloc().is_none() {
        eprintln!("note: libtalloc2 is not installed: `two libraries` is skipped, since there is only one");
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
