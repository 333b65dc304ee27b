//! What is tested: the libraries and headers that `make` builds and lays out, and programs made with
//! them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The top of the repository.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

static DIST: LazyLock<PathBuf> = LazyLock::new(|| {
    // Left alone by the make that may have started this test: its job server is not ours.
    run(Command::new("make").args(["-C", ROOT, "all"]).env_remove("MAKEFLAGS").env_remove("MAKELEVEL"));
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| Path::new(ROOT).join("target"), PathBuf::from);
    target.join("dist")
});

/// How many programs have been compiled.
static MADE: AtomicUsize = AtomicUsize::new(0);

/// A file that `make` has laid out.
pub fn file(path: &str) -> PathBuf {
    DIST.join(path)
}

/// What a command writes; fails the test, with all it wrote, where the command fails.
pub fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {status}\n{stdout}{stderr}");
    stdout
}

/// Whether a command is there and succeeds.
pub fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Which library a program is linked with.
#[derive(Clone, Copy, Debug)]
pub enum Link {
    /// libtmempool.so, found through an rpath.
    Shared,
    /// libtmempool.a.
    Static,
    /// None: the program loads it.
    Nothing,
}

/// Compiles a program of `tests/c` against our headers, with every warning an error. `flags` are for
/// the compiler; `libraries` come behind ours.
pub fn compile(compiler: &str, flags: &[&str], source: &str, link: Link, libraries: &[&str]) -> PathBuf {
    let key = format!("{link:?}{compiler}{}{source}", flags.concat());
    let name: String = key.chars().filter(|c| c.is_alphanumeric()).collect();
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
    // Another test may run the same program at this moment: each makes its own, and moves it there.
    let made = program.with_extension(MADE.fetch_add(1, Ordering::Relaxed).to_string());
    let lib = file("lib");
    let mut command = Command::new(compiler);
    command
        .args(["-Wall", "-Wextra", "-pedantic", "-Werror", "-g"])
        .args(flags)
        .arg("-I")
        .arg(file("include/tmempool"))
        .arg("-o")
        .arg(&made)
        .arg(format!("{ROOT}/capi/tests/c/{source}"))
        // What comes behind is a library, whatever language -x has set for the source.
        .args(["-x", "none"]);
    match link {
        Link::Shared => {
            command.arg("-L").arg(&lib).arg("-ltmempool").arg(format!("-Wl,-rpath,{}", lib.display()))
        }
        Link::Static => command.arg(lib.join("libtmempool.a")),
        Link::Nothing => &mut command,
    };
    run(command.args(libraries));
    std::fs::rename(&made, &program).expect("a file can be moved beside itself");
    program
}
