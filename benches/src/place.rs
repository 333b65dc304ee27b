//! Where things are: the build directory, our drop-in, Debian's libraries.
//!
//! Debian's are found through the C compiler, which is needed anyway and knows
//! the machine's library directories.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The file name of talloc's library, ours or Debian's.
pub const TALLOC: &str = "libtalloc.so.2";

/// The repository's top directory.
pub fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("benches/ lies in the workspace")
}

/// Cargo's target directory, as `make` and cargo choose it.
fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => workspace().join(directory),
        None => workspace().join("target"),
    }
}

/// The directory that `make` lays the libraries out in.
pub fn dist() -> PathBuf {
    target().join("dist")
}

/// Where the compiled C program goes.
pub fn build_directory() -> PathBuf {
    target().join("bench")
}

/// The drop-in built by `make`, if it has been.
pub fn drop_in() -> Option<PathBuf> {
    let library = dist().join("lib/tmempool").join(TALLOC);
    library.exists().then_some(library)
}

/// The library by its own name built by `make`, if it has been.
pub fn by_name() -> Option<PathBuf> {
    dist().join("lib/libtmempool.so").canonicalize().ok()
}

/// A shared library as the C compiler finds it, or `None` when not installed.
pub fn system_library(name: &str) -> Result<Option<PathBuf>> {
    let output = Command::new(compiler())
        .arg(format!("-print-file-name={name}"))
        .output()
        .context("a C compiler is needed")?;
    // The compiler echoes the bare name when it does not know the file.
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    Ok(path.is_absolute().then(|| path.canonicalize()).transpose()?)
}

/// Like [`system_library`], but missing is an error that names the package.
pub fn required_library(name: &str, package: &str) -> Result<PathBuf> {
    match system_library(name)? {
        Some(path) => Ok(path),
        None => bail!("{name} is not installed (Debian package {package})"),
    }
}

/// The C compiler: `CC` as in any Makefile, else `cc`.
pub fn compiler() -> String {
    std::env::var("CC").unwrap_or_else(|_| "cc".to_owned())
}
