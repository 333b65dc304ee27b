//! The C and C++ compilers of this machine, and how a test program is built.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One toolchain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compiler {
    /// What tests are labelled with.
    pub name: &'static str,
    c: &'static str,
    cxx: &'static str,
}

const KNOWN: [Compiler; 2] =
    [Compiler { name: "gcc", c: "gcc", cxx: "g++" }, Compiler { name: "clang", c: "clang", cxx: "clang++" }];

/// Those of the known toolchains that are installed.
pub fn installed() -> Vec<Compiler> {
    KNOWN
        .into_iter()
        .filter(|compiler| {
            [compiler.c, compiler.cxx]
                .iter()
                .all(|tool| Command::new(tool).arg("--version").output().is_ok_and(|o| o.status.success()))
        })
        .collect()
}

/// The names of the known toolchains that are not installed.
pub fn missing() -> Vec<&'static str> {
    let installed = installed();
    KNOWN.iter().filter(|known| !installed.contains(known)).map(|known| known.name).collect()
}

impl Compiler {
    /// A command that compiles `source`, with every warning an error. It runs in
    /// the source's directory and names the file without it, so that `__FILE__`
    /// is the same on every machine.
    pub fn command(&self, source: &Path) -> Command {
        let is_cxx = source.extension().is_some_and(|e| e == "cpp");
        let mut command = Command::new(if is_cxx { self.cxx } else { self.c });
        command
            .current_dir(source.parent().expect("a source lies in a directory"))
            // Valgrind does not read all that clang writes by default; and clang calls a header `./NAME`.
            .args(["-Wall", "-Wextra", "-Werror", "-gdwarf-4", "-fmacro-prefix-map=./="])
            .arg(source.file_name().expect("a source has a name"));
        command
    }

    /// Compiles and links one test program into `output`.
    ///
    /// # Errors
    /// The compiler's messages.
    pub fn build(
        &self,
        source: &Path,
        includes: &[PathBuf],
        link: &[PathBuf],
        output: &Path,
    ) -> Result<(), String> {
        let is_cxx = source.extension().is_some_and(|e| e == "cpp");
        let mut command = self.command(source);
        command
            .arg("-D_GNU_SOURCE")
            .arg(if is_cxx { "-std=gnu++17" } else { "-std=gnu17" })
            .arg("-O1")
            .args(includes.iter().map(|dir| format!("-I{}", dir.display())))
            .arg("-o")
            .arg(output)
            .args(link)
            .args(["-lpthread", "-ldl", "-lm"]);
        succeed(command)
    }
}

/// Runs a compiler and wants success without a word.
///
/// # Errors
/// The command and what it said.
pub fn succeed(mut command: Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() && said.is_empty() {
        return Ok(());
    }
    Err(format!("{command:?} failed ({}):\n{said}", output.status))
}
