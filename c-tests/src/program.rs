//! The C programs of this package and where their products go.

use std::fs;
use std::path::{Path, PathBuf};

/// A directory of this package.
pub fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The C and C++ sources in a directory of this package, by name.
///
/// # Panics
/// When the directory cannot be read: the checkout is not whole.
pub fn sources(name: &str) -> Vec<PathBuf> {
    let mut sources: Vec<PathBuf> = fs::read_dir(directory(name))
        .unwrap_or_else(|e| panic!("{name}: {e}"))
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "c" || e == "cpp"))
        .collect();
    sources.sort();
    assert!(!sources.is_empty(), "no programs in {name}");
    sources
}

/// The name of a program: its file's, without the ending.
pub fn name(source: &Path) -> String {
    source.file_stem().expect("a source has a name").to_string_lossy().into_owned()
}

/// An empty directory for the products of one test.
///
/// # Errors
/// It could not be made.
pub fn scratch(root: &Path, test: &str) -> Result<PathBuf, String> {
    let path = root.join(test.replace([' ', '/', '(', ')'], "_"));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}
