//! What the dynamic loader itself says it would load.
//!
//! The rules by which a library is found (RPATH, RUNPATH, LD_LIBRARY_PATH, cache) are the loader's,
//! and they depend on every library in between. So the loader is asked: `LOADER --list PROGRAM`
//! resolves all names and runs no code of the program.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::dropin::{DropIn, SONAME};

/// Where talloc would come from in a program, as far as is known before it runs.
#[derive(Debug, PartialEq)]
pub enum Talloc {
    /// Neither the program nor its libraries name it. A plug-in still may, later.
    NotNamed,
    /// From the drop-in.
    DropIn,
    /// From this other file, in spite of LD_LIBRARY_PATH.
    Elsewhere(PathBuf),
    /// The loader gave no answer.
    Unknown,
}

/// Asks `loader` what `program` would load, with `search_path` as its LD_LIBRARY_PATH.
pub fn ask(loader: &Path, program: &Path, search_path: &OsStr, dropin: &DropIn) -> Talloc {
    let answer = Command::new(loader)
        .arg("--list")
        .arg(program)
        .env("LD_LIBRARY_PATH", search_path)
        .env_remove("LD_DEBUG")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    match answer {
        Ok(answer) if answer.status.success() => match listed_talloc(&answer.stdout) {
            None => Talloc::NotNamed,
            Some(path) if same_file(&path, &dropin.file) => Talloc::DropIn,
            Some(path) => Talloc::Elsewhere(path),
        },
        _ => Talloc::Unknown,
    }
}

/// The path that a listing gives for talloc. Its lines read `\tNAME => PATH (0xADDRESS)`, and
/// `\tPATH (0xADDRESS)` for a library that is named by its path.
fn listed_talloc(listing: &[u8]) -> Option<PathBuf> {
    listing.split(|&byte| byte == b'\n').find_map(|line| {
        let text = String::from_utf8_lossy(line);
        let (library, _) = text.trim_start().rsplit_once(" (0x")?;
        let path = library.split_once(" => ").map_or(library, |(_, path)| path);
        let path = PathBuf::from(OsString::from_vec(path.as_bytes().to_vec()));
        (path.file_name() == Some(OsStr::from_bytes(SONAME.as_bytes()))).then_some(path)
    })
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn talloc_is_found_in_a_listing() {
        let listing = b"\tlinux-vdso.so.1 (0x00007ffd)\n\
            \tlibtalloc.so.2 => /opt/some where/libtalloc.so.2 (0x00007f02)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f03)\n";
        assert_eq!(listed_talloc(listing).unwrap(), Path::new("/opt/some where/libtalloc.so.2"));
    }

    #[test]
    fn a_library_named_by_its_path_is_found() {
        let listing = b"\t/opt/lib/libtalloc.so.2 (0x00007f02)\n";
        assert_eq!(listed_talloc(listing).unwrap(), Path::new("/opt/lib/libtalloc.so.2"));
    }

    #[test]
    fn a_missing_library_and_other_names_are_not_talloc() {
        let listing = b"\tlibtalloc.so.2 => not found\n\tlibtalloc.so.20 => /x/libtalloc.so.20 (0x1)\n";
        assert_eq!(listed_talloc(listing), None);
    }
}
