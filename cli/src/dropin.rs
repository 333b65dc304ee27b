//! The drop-in: the library with talloc's soname that takes libtalloc's place under a program.
//!
//! It lies in a folder of its own, so that this folder can be put before the system's in the
//! loader's search without bringing any other library along.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, OWN_FAILURE};

/// The name by which programs ask the loader for talloc.
pub const SONAME: &str = "libtalloc.so.2";

/// Where the drop-in lies. The file exists, and the loader can be given its folder.
#[derive(Debug)]
pub struct DropIn {
    pub folder: PathBuf,
    pub file: PathBuf,
}

impl DropIn {
    /// Finds the drop-in of this installation: `../lib/tmempool` beside the command's own folder,
    /// links resolved, so that the whole tree can be moved and the command can be linked to.
    pub fn find() -> Result<DropIn, Failure> {
        let own = std::env::current_exe()
            .and_then(|path| path.canonicalize())
            .map_err(|error| Failure::own("cannot find out where this command lies", error))?;
        let prefix = own.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
        DropIn::in_folder(prefix.join("lib/tmempool"))
    }

    fn in_folder(folder: PathBuf) -> Result<DropIn, Failure> {
        let file = folder.join(SONAME);
        if !file.is_file() {
            let message = format!("no drop-in at {}: is tmempool installed whole?", file.display());
            return Err(Failure::new(OWN_FAILURE, message));
        }
        if !fits_search_path(folder.as_os_str()) {
            let message = format!(
                "the loader cannot be given the folder {}: a path with ':', ';' or '$' has another \
                 meaning there",
                folder.display()
            );
            return Err(Failure::new(OWN_FAILURE, message));
        }
        Ok(DropIn { folder, file })
    }

    /// Whether the file can be named in LD_PRELOAD, which is split at spaces as well.
    pub fn can_be_preloaded(&self) -> bool {
        !self.file.as_os_str().as_bytes().contains(&b' ')
    }
}

/// Whether LD_LIBRARY_PATH can carry this folder: it is split at ':' and ';', and '$' starts a
/// token such as `$ORIGIN`.
fn fits_search_path(folder: &OsStr) -> bool {
    !folder.as_bytes().iter().any(|byte| b":;$".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named_in_the_message() {
        let folder = tempfile::tempdir().unwrap();
        let failure = DropIn::in_folder(folder.path().join("nowhere")).unwrap_err();
        assert_eq!(failure.status, OWN_FAILURE);
        assert!(failure.message.contains("nowhere/libtalloc.so.2"), "{}", failure.message);
    }

    #[test]
    fn a_folder_that_the_loader_would_split_is_refused() {
        for name in ["a:b", "a;b", "a$ORIGIN"] {
            let folder = tempfile::tempdir().unwrap();
            let inner = folder.path().join(name);
            std::fs::create_dir(&inner).unwrap();
            std::fs::write(inner.join(SONAME), "").unwrap();
            let failure = DropIn::in_folder(inner).unwrap_err();
            assert!(failure.message.contains("another"), "{}", failure.message);
        }
    }

    #[test]
    fn a_space_only_forbids_preloading() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("with space");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(inner.join(SONAME), "").unwrap();
        assert!(!DropIn::in_folder(inner).unwrap().can_be_preloaded());
    }
}
