//! What the dynamic loader says it loaded, in its own words.
//!
//! With `LD_DEBUG=libs`, glibc's loader writes a file for each process, with a line for each library
//! whose initialisers it calls. That is the proof that a program ran on the library meant.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;

use crate::library::Library;

/// What the loader prints on stderr when a library's version nodes do not satisfy a program.
const WARNINGS: [&str; 2] = ["no version information available", "symbol lookup error"];

/// Makes the loader write its account to files in `folder`.
pub fn record(command: &mut Command, folder: &Path) {
    command.env("LD_DEBUG", "libs").env("LD_DEBUG_OUTPUT", folder.join("loader"));
}

/// Checks the account in `folder`: some process loaded talloc, and each that did loaded `library`.
///
/// # Errors
/// A sentence that says what was loaded instead.
pub fn check(folder: &Path, library: Library) -> Result<(), String> {
    let mut found = 0;
    for entry in std::fs::read_dir(folder).map_err(|error| error.to_string())? {
        let account = entry.and_then(|entry| File::open(entry.path()));
        let lines = BufReader::new(account.map_err(|error| error.to_string())?).split(b'\n');
        for line in lines.map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            let Some(loaded) = initialised_talloc(&line) else { continue };
            if !library.is_at(loaded) {
                return Err(format!("{library} was meant, but {loaded} was loaded"));
            }
            found += 1;
        }
    }
    if found == 0 { Err("no process loaded any libtalloc".to_owned()) } else { Ok(()) }
}

/// Checks that the loader had nothing to say about the library.
///
/// # Errors
/// The warning.
pub fn check_warnings(stderr: &str) -> Result<(), String> {
    match stderr.lines().find(|line| WARNINGS.iter().any(|warning| line.contains(warning))) {
        Some(line) => Err(format!("the loader warns: {line}")),
        None => Ok(()),
    }
}

/// The path of the talloc whose initialisers a line of the account says are called.
fn initialised_talloc(line: &str) -> Option<&str> {
    let path = line.split_once("calling init: ")?.1.trim();
    (path.ends_with("/libtalloc.so.2") || path.contains("/libtalloc.so.2.")).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_initialised_tallocs_count() {
        let lines = [
            "  12:\tfind library=libtalloc.so.2 [0]; searching",
            "  12:\t  trying file=/a/libtalloc.so.2",
            "  12:\tcalling init: /lib/libc.so.6",
            "  12:\tcalling init: /b/libtalloc.so.2",
        ];
        let found: Vec<_> = lines.into_iter().filter_map(initialised_talloc).collect();
        assert_eq!(found, ["/b/libtalloc.so.2"]);
    }

    #[test]
    fn a_folder_without_any_talloc_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("loader.1"), "calling init: /lib/libc.so.6\n").unwrap();
        assert!(check(folder.path(), Library::Debian).unwrap_err().contains("no process"));
    }

    #[test]
    fn warnings_are_found() {
        let stderr = "prog: /x/libtalloc.so.2: no version information available (required by prog)";
        assert!(check_warnings(stderr).is_err());
        assert!(check_warnings("no such file").is_ok());
    }
}
