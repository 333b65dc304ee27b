//! The libraries under test: built and laid out by `make`, once for each test program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

/// The top of the repository.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

static DIST: LazyLock<PathBuf> = LazyLock::new(|| {
    // Left alone by the make that may have started this test: its job server is not ours.
    run(Command::new("make").args(["-C", ROOT, "all"]).env_remove("MAKEFLAGS").env_remove("MAKELEVEL"));
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| Path::new(ROOT).join("target"), PathBuf::from);
    target.join("dist")
});

/// A file that `make` has laid out.
pub fn file(path: &str) -> PathBuf {
    DIST.join(path)
}

/// What a command writes; fails the test, with all it wrote, where the command fails.
pub fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{command:?}: {status}\n{stdout}{}", String::from_utf8_lossy(&stderr));
    stdout
}
