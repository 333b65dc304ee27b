//! The C programs that use threads, while ThreadSanitizer and Valgrind's drd watch every access to memory.
//!
//! ThreadSanitizer sees all of it: the library is compiled for it, with the nightly toolchain, and so are the
//! programs. It needs no suppressions. drd takes the library as it is. It knows the locks of the C library, but not
//! what atomics order; so it runs the programs with the malloc backend, where the library's threads meet in
//! nothing but its static words, all of them atomics or locks, and says what else they share.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use libtest_mimic::{Arguments, Trial};
use tmempool_c_tests::compiler::succeed;
use tmempool_c_tests::library::Dist;
use tmempool_c_tests::run::{Outcome, run};

const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A program, its arguments, and what its environment says to make it short.
struct Watched {
    source: &'static str,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

const UNDER_TSAN: &[Watched] = &[
    Watched { source: "c-tests/programs/threads.c", arguments: &[], environment: &[] },
    Watched { source: "c-tests/programs/looked_at.c", arguments: &[], environment: &[] },
    Watched { source: "c-tests/programs/random.c", arguments: &["threads", "1", "60"], environment: &[] },
    Watched {
        source: "c-tests/ours/many_threads.c",
        arguments: &[],
        environment: &[("PASSED", "20000"), ("ROUNDS", "1")],
    },
    Watched { source: "c-tests/ours/fork_under_load.c", arguments: &[], environment: &[("FORKS", "20")] },
    Watched {
        source: "c-tests/ours/roots_from_threads.c",
        arguments: &[],
        environment: &[("ROUNDS", "300")],
    },
    Watched {
        source: "c-tests/ours/pools_across_threads.c",
        arguments: &[],
        environment: &[("ROUNDS", "400")],
    },
    Watched { source: "c-tests/pools/orphan_threads.c", arguments: &[], environment: &[("ROUNDS", "400")] },
    Watched { source: "c-tests/pools/beside.c", arguments: &[], environment: &[("ROUNDS", "300")] },
    Watched { source: "c-tests/pools/shared_contexts.c", arguments: &["3000"], environment: &[] },
    Watched { source: "c-tests/pools/shared_model.c", arguments: &["2"], environment: &[] },
    Watched { source: "c-tests/pools/shared_edges.c", arguments: &[], environment: &[] },
    Watched { source: "c-tests/pools/shared_moves.c", arguments: &[], environment: &[] },
    Watched { source: "c-tests/pools/shared_limits.c", arguments: &[], environment: &[] },
    Watched { source: "c-tests/pools/cache_threads.c", arguments: &[], environment: &[] },
    Watched {
        source: "c-tests/pools/memory_pool.cpp",
        arguments: &[],
        environment: &[("SHORT", "1"), ("NO_RACES", "1")],
    },
    Watched { source: "c-tests/pools/genpool.c", arguments: &[], environment: &[("SHORT", "1")] },
    Watched { source: "c-tests/pools/mempool_waiters.c", arguments: &[], environment: &[("SHORT", "1")] },
    Watched { source: "proofs/programs/soak.c", arguments: &["6"], environment: &[] },
];

const UNDER_DRD: &[Watched] = &[
    Watched { source: "c-tests/programs/threads.c", arguments: &[], environment: &[] },
    Watched {
        source: "c-tests/ours/pools_across_threads.c",
        arguments: &[],
        environment: &[("ROUNDS", "100")],
    },
];

/// One that has a race: it must be found.
const RACING: Watched = Watched { source: "proofs/programs/racing.c", arguments: &[], environment: &[] };

impl Watched {
    fn name(&self) -> &str {
        Path::new(self.source).file_stem().and_then(|stem| stem.to_str()).unwrap_or(self.source)
    }

    fn program(&self, watcher: &str) -> PathBuf {
        Path::new(SCRATCH).join(format!("{}-{watcher}", self.name()))
    }

    /// A compiler's command that makes `out` of the source, with `flags`.
    fn compile(&self, flags: &[&str], out: &Path) -> Command {
        let mut command = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
        command.current_dir(ROOT).args(["-O1", "-g", "-D_GNU_SOURCE"]).args(flags);
        command
            .args(["-Iinclude/tmempool", "-Ic-tests/programs", "-Ic-tests/ours", self.source, "-o"])
            .arg(out);
        command
    }

    fn run(&self, mut command: Command) -> Result<Outcome, String> {
        command.args(self.arguments).envs(self.environment.iter().copied());
        run(command)
    }
}

/// What ThreadSanitizer needs: the library compiled for it, and the runtime that comes with the toolchain.
struct Tsan {
    host: String,
    runtime: PathBuf,
}

impl Tsan {
    /// Looks for the toolchain. Says what is missing where there is none.
    fn find() -> Result<Tsan, String> {
        let rustup = |arguments: &[&str]| {
            let output = Command::new("rustup").args(["run", "nightly"]).args(arguments).output();
            output
                .ok()
                .filter(|o| o.status.success())
                .map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
        };
        let missing = "the nightly toolchain of Rust is not installed";
        let libraries = rustup(&["rustc", "--print", "target-libdir"]).ok_or(missing)?;
        let runtime = Path::new(libraries.trim()).join("librustc-nightly_rt.tsan.a");
        if !runtime.exists() {
            return Err(format!("{} is missing", runtime.display()));
        }
        let host = rustup(&["rustc", "--print", "host-tuple"]).ok_or(missing)?.trim().to_owned();
        Ok(Tsan { host, runtime })
    }

    fn target(&self) -> PathBuf {
        Path::new(SCRATCH).join("tsan")
    }

    fn library(&self) -> PathBuf {
        self.target().join(&self.host).join("dist/libtmempool_capi.a")
    }

    /// Compiles the library.
    fn build(&self) -> Result<(), String> {
        let mut cargo = Command::new("rustup");
        cargo.current_dir(ROOT).args(["run", "nightly", "cargo", "rustc", "--quiet", "--profile", "dist"]);
        cargo.args(["--package", "tmempool-capi", "--lib", "--crate-type", "staticlib"]);
        cargo.args(["--target", &self.host, "--target-dir"]).arg(self.target());
        // The libraries of the toolchain are not compiled for it; only inlined functions of theirs are used.
        let watching = "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer --cfg tmempool_watched";
        cargo.env("RUSTFLAGS", watching);
        for set_by_cargo in ["RUSTC", "CARGO", "RUSTUP_TOOLCHAIN", "CARGO_ENCODED_RUSTFLAGS"] {
            cargo.env_remove(set_by_cargo);
        }
        succeed(cargo)
    }

    fn watch(&self, watched: &Watched) -> Result<Outcome, String> {
        let program = watched.program("tsan");
        let object = program.with_extension("o");
        succeed(watched.compile(&["-fsanitize=thread", "-c"], &object))?;
        let mut link = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
        link.current_dir(ROOT).arg("-o").arg(&program).arg(&object).arg("proofs/programs/tsan.c");
        link.arg(self.library()).arg("-Wl,--whole-archive").arg(&self.runtime);
        link.args(["-Wl,--no-whole-archive", "-Wl,--wrap=__cxa_atexit", "-rdynamic"]);
        if watched.source.ends_with(".cpp") {
            link.arg("-lstdc++");
        }
        link.args(["-lpthread", "-ldl", "-lm", "-lrt"]);
        succeed(link)?;
        let mut command = Command::new(&program);
        // Children go on after a fork with threads; that is what some of the programs are about.
        command.env("TSAN_OPTIONS", "die_after_fork=0:exitcode=66:halt_on_error=0");
        watched.run(command)
    }

    fn is_clean(&self, watched: &Watched) -> Result<(), String> {
        let outcome = self.watch(watched)?;
        if outcome.stderr.contains("ThreadSanitizer") {
            return Err(outcome.stderr);
        }
        outcome.clean().map(drop)
    }

    fn sees(&self, racing: &Watched) -> Result<(), String> {
        let said = self.watch(racing)?.stderr;
        if said.contains("WARNING: ThreadSanitizer: data race") {
            Ok(())
        } else {
            Err(format!("saw nothing: {said}"))
        }
    }
}

/// What drd says of a program on the drop-in that is no access to a static word of the library.
fn drd(watched: &Watched, dist: &Dist) -> Result<Vec<String>, String> {
    let program = watched.program("drd");
    let mut compile = watched.compile(&[], &program);
    compile.arg(dist.drop_in()).arg("-lpthread");
    succeed(compile)?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=drd", "--error-limit=no"]).arg(&program);
    command
        .env("TMEMPOOL_OPTIONS", "backend=malloc")
        .env("LD_LIBRARY_PATH", dist.drop_in().with_file_name(""));
    let outcome = watched.run(command)?;
    if !outcome.status.success() || !outcome.stderr.contains("ERROR SUMMARY") {
        return Err(format!("{:?}\n{}", outcome.status, outcome.stderr));
    }
    let static_word = |report: &str| {
        report.lines().any(|line| line.contains("section of") && line.contains("libtalloc.so.2"))
    };
    // Each report starts with a line of its own kind, and goes on to the next.
    let reports = outcome.stderr.split("Conflicting ").skip(1);
    Ok(reports.filter(|report| !static_word(report)).map(str::to_owned).collect())
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let dist = Dist::find_or_exit();
    if let Err(error) = fs::create_dir_all(SCRATCH) {
        eprintln!("error: {SCRATCH}: {error}");
        return ExitCode::FAILURE;
    }
    let mut trials = Vec::new();
    match Tsan::find() {
        Ok(tsan) => {
            if let Err(error) = tsan.build() {
                eprintln!("error: {error}");
                return ExitCode::FAILURE;
            }
            let tsan: &'static Tsan = Box::leak(Box::new(tsan));
            for watched in UNDER_TSAN {
                trials.push(Trial::test(format!("{} under ThreadSanitizer", watched.name()), || {
                    Ok(tsan.is_clean(watched)?)
                }));
            }
            trials.push(Trial::test("ThreadSanitizer sees a race", || Ok(tsan.sees(&RACING)?)));
        }
        Err(missing) => eprintln!("skipped: ThreadSanitizer: {missing}"),
    }
    if Command::new("valgrind").arg("--version").output().is_ok_and(|o| o.status.success()) {
        for watched in UNDER_DRD {
            let dist = dist.clone();
            trials.push(Trial::test(format!("{} under drd", watched.name()), move || {
                let reports = drd(watched, &dist)?;
                if reports.is_empty() { Ok(()) } else { Err(reports.join("\n").into()) }
            }));
        }
        trials.push(Trial::test("drd sees a race", move || {
            let reports = drd(&RACING, &dist)?;
            if reports.is_empty() { Err("it saw nothing".into()) } else { Ok(()) }
        }));
    } else {
        eprintln!("skipped: drd: valgrind is not installed");
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
