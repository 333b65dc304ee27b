//! The headers compile without a warning, from C and C++, in every dialect and with
//! every compiler there is; and they still warn of what is wrong.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use tmempool_c_tests::compiler::{self, Compiler, succeed};
use tmempool_c_tests::library::{self, Dist};
use tmempool_c_tests::program::{name, sources};

const C: [&str; 4] = ["c99", "gnu99", "gnu11", "c17"];
const CXX: [&str; 3] = ["c++11", "c++17", "c++20"];
/// `tmempool.hpp` asks for C++17.
const MODERN_CXX: [&str; 2] = ["c++17", "c++20"];

/// Compiles `source` in one dialect against the headers in `include`.
fn compiles(source: &Path, compiler: Compiler, dialect: &str, include: Option<&Path>) -> Result<(), String> {
    let mut command = compiler.command(source);
    command.arg(format!("-std={dialect}")).args(["-D_GNU_SOURCE", "-c", "-o", "/dev/null"]);
    if let Some(include) = include {
        command.arg("-I").arg(include);
    }
    succeed(command)
}

/// The dialects that a source of `headers/` is written for. C sources are compiled
/// as C++, too.
fn dialects(source: &Path) -> Vec<&'static str> {
    match source.extension() {
        Some(cpp) if cpp == "cpp" => MODERN_CXX.to_vec(),
        _ => C.iter().chain(&CXX).copied().collect(),
    }
}

/// A C source under a C++ name, for the dialects of C++. Tests run side by side, so each has its own.
fn as_cxx(source: &Path, test: usize) -> Result<PathBuf, String> {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{test}.cpp", name(source)));
    std::fs::copy(source, &copy).map_err(|e| format!("{}: {e}", copy.display()))?;
    Ok(copy)
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let dist = Dist::find_or_exit();
    // The same sources also show that they ask for nothing that talloc's header has not.
    let mut includes = vec![("tmempool", Some(dist.include()))];
    if library::system_header().is_some() {
        includes.push(("talloc", None));
    } else {
        eprintln!("note: libtalloc-dev is not installed: the sources are not compiled against its header");
    }
    let mut trials = Vec::new();
    for compiler in compiler::installed() {
        for (origin, include) in &includes {
            for source in sources("headers") {
                if !(*origin == "tmempool" || name(&source).starts_with("talloc")) {
                    continue;
                }
                for dialect in dialects(&source) {
                    let (source, include) = (source.clone(), include.clone());
                    let test = format!("{} {dialect} ({}, {origin}'s)", name(&source), compiler.name);
                    let number = trials.len();
                    trials.push(Trial::test(test, move || {
                        let is_cxx = dialect.starts_with("c++");
                        let source = if is_cxx { as_cxx(&source, number)? } else { source };
                        Ok(compiles(&source, compiler, dialect, include.as_deref())?)
                    }));
                }
            }
            for source in sources("programs") {
                let include = include.clone();
                let dialect =
                    if source.extension().is_some_and(|e| e == "cpp") { "gnu++17" } else { "gnu17" };
                let test = format!("program {} ({}, {origin}'s)", name(&source), compiler.name);
                trials.push(Trial::test(test, move || {
                    Ok(compiles(&source, compiler, dialect, include.as_deref())?)
                }));
            }
            for source in sources("headers/wrong") {
                let include = include.clone();
                let test = format!("wrong {} ({}, {origin}'s)", name(&source), compiler.name);
                trials.push(Trial::test(test, move || {
                    match compiles(&source, compiler, "gnu17", include.as_deref()) {
                        Err(said) if said.contains("error:") => Ok(()),
                        Err(said) => Err(said.into()),
                        Ok(()) => Err("compiled without a warning".into()),
                    }
                }));
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
