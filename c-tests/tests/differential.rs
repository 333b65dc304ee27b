//! Each program of `programs/` is compiled once and run with talloc and with
//! tmempool: same output byte for byte, but for the differences it names.
//!
//! `UPDATE_GOLDEN=1` records talloc's answers in `golden/`; where talloc is not
//! installed, tmempool is compared with those.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use tmempool_c_tests::compare::{Maker, same, settle};
use tmempool_c_tests::compiler::{self, Compiler};
use tmempool_c_tests::library::{self, Dist};
use tmempool_c_tests::program::{directory, name, scratch, sources};
use tmempool_c_tests::run::{check_library, run, with_library};

const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");

/// Runs of a program besides the one without arguments.
const MORE_RUNS: [(&str, &[&str]); 2] =
    [("random", &["digest", "1", "300"]), ("random", &["threads", "1", "200"])];

/// A program, an argument list, a toolchain.
struct Case {
    source: PathBuf,
    arguments: &'static [&'static str],
    compiler: Compiler,
}

/// How a program comes to our library.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Linked with `libtalloc.so.2`, and the drop-in lies first.
    DropIn,
    /// Linked with `libtmempool.so`.
    Shared,
    /// Linked with `libtmempool.a`.
    Static,
    /// The drop-in, which fills what is freed: whoever still reads it will show.
    Filling,
    /// The drop-in, each chunk a block of the C library's malloc.
    Malloc,
}

const WAYS: [Way; 5] = [Way::DropIn, Way::Shared, Way::Static, Way::Filling, Way::Malloc];

/// Programs that see what is different with `backend=malloc`: a pool has no memory
/// of its own there (so its members do not count as one block to a limit, and it
/// may be resized), and what is freed belongs to the C library.
const NOT_WITH_MALLOC: [&str; 5] = ["aborts", "free_fill", "limits", "pools", "realloc"];

impl Case {
    fn golden(&self) -> PathBuf {
        let mut parts = vec![name(&self.source)];
        parts.extend(self.arguments.iter().map(ToString::to_string));
        directory("golden").join(format!("{}.out", parts.join("-")))
    }

    /// The trace of `program`, which is linked with `libtalloc.so.2`, or of its like
    /// that is linked another way.
    fn trace_by(&self, way: Way, dist: &Dist, at: &Path, program: &Path) -> Result<String, String> {
        let relinked = |link: &[PathBuf]| {
            let relinked = at.join(format!("program-{way:?}"));
            self.compiler.build(&self.source, &[dist.include()], link, &relinked)?;
            Ok::<PathBuf, String>(relinked)
        };
        let drop_in = dist.drop_in();
        match way {
            Way::DropIn => self.trace(at, program, Some(&drop_in), &drop_in, &[]),
            Way::Filling => {
                self.trace(at, program, Some(&drop_in), &drop_in, &[("TALLOC_FREE_FILL", "0xa5")])
            }
            Way::Malloc => {
                self.trace(at, program, Some(&drop_in), &drop_in, &[("TMEMPOOL_OPTIONS", "backend=malloc")])
            }
            Way::Shared => {
                let linked = relinked(&[dist.shared()])?;
                self.trace(at, &linked, Some(&dist.shared()), &dist.shared(), &[])
            }
            Way::Static => {
                let linked = relinked(&[PathBuf::from("-rdynamic"), dist.archive()])?;
                self.trace(at, &linked, None, &linked, &[])
            }
        }
    }

    /// Runs the program with the library found in the directory of `path_to`; the
    /// file `answers` must be the one that answers.
    fn trace(
        &self,
        at: &Path,
        program: &Path,
        path_to: Option<&Path>,
        answers: &Path,
        environment: &[(&str, &str)],
    ) -> Result<String, String> {
        let witness = at.join("witness");
        let mut command = with_library(program, path_to, &witness);
        command.args(self.arguments).envs(environment.iter().copied());
        let trace = run(command)?.clean()?;
        check_library(&witness, answers)?;
        Ok(trace)
    }

    /// Runs with the system's talloc, or reads what was recorded from it.
    fn talloc(&self, at: &Path, program: &Path, talloc: Option<&Path>) -> Result<String, String> {
        let golden =
            fs::read_to_string(self.golden()).map_err(|e| format!("{}: {e}", self.golden().display()));
        let Some(talloc) = talloc else { return golden };
        let live = self.trace(at, program, Some(talloc), talloc, &[])?;
        if is_recorded_version(talloc) && golden? != live {
            return Err(format!("{} is not what talloc says: UPDATE_GOLDEN=1", self.golden().display()));
        }
        Ok(live)
    }

    fn test(&self, dist: &Dist, talloc: Option<&Path>, test: &str) -> Result<(), String> {
        let at = scratch(Path::new(SCRATCH), test)?;
        let includes = [dist.include()];
        let program = at.join("program");
        self.compiler.build(&self.source, &includes, &[dist.drop_in()], &program)?;
        let expected = settle(&self.talloc(&at, &program, talloc)?, Maker::Talloc)?;
        for way in WAYS {
            if matches!(way, Way::Malloc) && NOT_WITH_MALLOC.contains(&name(&self.source).as_str()) {
                continue;
            }
            let trace = self.trace_by(way, dist, &at, &program).and_then(|trace| {
                let settled = settle(&trace, Maker::Tmempool)?;
                same(&expected, &settled)
            });
            trace.map_err(|e| format!("{way:?}: {e}"))?;
        }
        fs::remove_dir_all(&at).map_err(|e| e.to_string())
    }

    /// Records what the system's talloc says.
    fn record(&self, talloc: &Path, test: &str) -> Result<(), String> {
        let at = scratch(Path::new(SCRATCH), test)?;
        let program = at.join("program");
        let includes = Dist::find().map(|dist| vec![dist.include()]).unwrap_or_default();
        self.compiler.build(&self.source, &includes, &[talloc.to_path_buf()], &program)?;
        let trace = self.trace(&at, &program, Some(talloc), talloc, &[])?;
        settle(&trace, Maker::Talloc)?;
        fs::write(self.golden(), trace).map_err(|e| e.to_string())
    }
}

/// Is this the version of talloc that `golden/` was recorded from? Others may
/// differ from it in details, and are compared directly only.
fn is_recorded_version(talloc: &Path) -> bool {
    let recorded = fs::read_to_string(directory("golden").join("RECORDED-FROM")).unwrap_or_default();
    talloc.file_name().is_some_and(|name| name.to_string_lossy() == recorded.trim_end())
}

fn cases(compilers: &[Compiler]) -> Vec<(String, Case)> {
    let mut cases = Vec::new();
    for source in sources("programs") {
        let program = name(&source);
        let more = MORE_RUNS.iter().filter(|run| run.0 == program).map(|run| run.1);
        for arguments in std::iter::once(&[][..]).chain(more) {
            for &compiler in compilers {
                let words = [&[program.as_str()], arguments].concat().join(" ");
                cases.push((
                    format!("{words} ({})", compiler.name),
                    Case { source: source.clone(), arguments, compiler },
                ));
            }
        }
    }
    cases
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let compilers = compiler::installed();
    let talloc = library::system_talloc();
    for name in compiler::missing() {
        eprintln!("note: {name} is not installed: programs are not compiled with it");
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return record(&arguments, &compilers, talloc);
    }
    match &talloc {
        Some(path) if is_recorded_version(path) => {}
        Some(path) => eprintln!("note: golden/ is from another version than {}", path.display()),
        None => eprintln!(
            "note: libtalloc2 is not installed: comparing with what it said when golden/ was recorded"
        ),
    }
    let dist = Dist::find_or_exit();
    let trials = cases(&compilers)
        .into_iter()
        .map(|(test, case)| {
            let (dist, talloc) = (dist.clone(), talloc.clone());
            Trial::test(test.clone(), move || Ok(case.test(&dist, talloc.as_deref(), &test)?))
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Rewrites `golden/` from the system's talloc.
fn record(arguments: &Arguments, compilers: &[Compiler], talloc: Option<PathBuf>) -> ExitCode {
    let (Some(talloc), Some(compiler)) = (talloc, compilers.first()) else {
        eprintln!("error: recording needs libtalloc2 and a compiler");
        return ExitCode::FAILURE;
    };
    let version = talloc.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if let Err(e) = fs::write(directory("golden").join("RECORDED-FROM"), version + "\n") {
        eprintln!("error: {e}");
        return ExitCode::FAILURE;
    }
    let trials = cases(&[*compiler])
        .into_iter()
        .map(|(test, case)| {
            let talloc = talloc.clone();
            Trial::test(test.clone(), move || Ok(case.record(&talloc, &test)?))
        })
        .collect();
    libtest_mimic::run(arguments, trials).exit_code()
}
