//! An installation of the command with a stand-in for the drop-in, and programs of each kind.
//!
//! The stand-in leaves word as the library does, so these tests need nothing but a C compiler. The
//! library itself is put under real programs by the workspace's `realtests`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli");

pub struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    /// Lays out `bin/tmempool`, `lib/tmempool/libtalloc.so.2` and `rival/libtalloc.so.2`.
    pub fn new() -> Fixture {
        let folder = tempfile::Builder::new().prefix("tmempool-cli-").tempdir().unwrap();
        let fixture = Fixture { folder };
        std::fs::create_dir_all(fixture.path("bin")).unwrap();
        std::fs::copy(env!("CARGO_BIN_EXE_tmempool"), fixture.path("bin/tmempool")).unwrap();
        fixture.library("lib/tmempool", &[]);
        fixture.library("rival", &["-DRIVAL"]);
        fixture
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn library(&self, folder: &str, options: &[&str]) {
        std::fs::create_dir_all(self.path(folder)).unwrap();
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-Wl,-soname,libtalloc.so.2"]).args(options);
        compile.arg("-o").arg(self.path(folder).join("libtalloc.so.2"));
        succeed(compile.arg(format!("{SOURCES}/dropin.c")));
    }

    /// Compiles the program without talloc.
    pub fn program_without_talloc(&self, options: &[&str]) -> PathBuf {
        let program = self.path("program");
        let mut compile = Command::new("cc");
        compile.arg("-DWITHOUT_TALLOC").args(options).arg("-o").arg(&program);
        succeed(compile.arg(format!("{SOURCES}/program.c")));
        program
    }

    /// Compiles the program that uses talloc, linked with the rival as a system's would be.
    pub fn program(&self, options: &[&str]) -> PathBuf {
        let program = self.path("program");
        let mut compile = Command::new("cc");
        compile.arg("-o").arg(&program).arg(format!("{SOURCES}/program.c"));
        compile.arg(self.path("rival/libtalloc.so.2")).args(options);
        succeed(&mut compile);
        program
    }

    /// The command `tmempool ARGUMENTS`, with the rival where the loader looks last.
    pub fn tmempool<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(self.path("bin/tmempool"));
        command.args(arguments).env("LD_LIBRARY_PATH", self.path("rival"));
        command.env_remove("TMEMPOOL_OPTIONS").env_remove("LD_PRELOAD");
        command
    }

    /// Runs `tmempool run -- PROGRAM ARGUMENTS`.
    pub fn run(&self, program: &Path, arguments: &[&str]) -> Output {
        self.tmempool(&["run", "--"]).arg(program).args(arguments).output().unwrap()
    }
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", err(&output));
}

/// What a command printed.
pub fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a command printed on stderr.
pub fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
