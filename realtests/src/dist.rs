//! Where the built library lies: `target/dist`, laid out as under a prefix.

use std::path::PathBuf;

/// The folder of the built library: `TMEMPOOL_DIST`, or `target/dist` in the workspace.
///
/// # Panics
/// When nothing is built there: a comparison with nothing must not look like a success.
pub fn dist() -> PathBuf {
    let folder = std::env::var_os("TMEMPOOL_DIST")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/dist")), PathBuf::from);
    let folder = folder.canonicalize().unwrap_or(folder);
    assert!(
        folder.join("lib/tmempool/libtalloc.so.2").is_file(),
        "no drop-in in {}: run `make` first",
        folder.display()
    );
    folder
}

/// The folder that holds the drop-in and nothing else.
pub fn dropin_folder() -> PathBuf {
    dist().join("lib/tmempool")
}

/// The `tmempool` command.
pub fn command() -> PathBuf {
    dist().join("bin/tmempool")
}

/// The absolute path of a program in the system's folders (those of administrators too), or `None`.
pub fn program(name: &str) -> Option<PathBuf> {
    SYSTEM_PATH.split(':').map(|folder| PathBuf::from(folder).join(name)).find(|path| path.is_file())
}

/// Where programs are looked for, by these tests and by the programs themselves.
pub const SYSTEM_PATH: &str = "/usr/bin:/usr/sbin:/bin:/sbin";
