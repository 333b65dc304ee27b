//! The two libraries, and the environment that selects each.

use std::process::Command;

use crate::dist;

/// What a program runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Library {
    /// The system's own libtalloc: the program is started as it is.
    Debian,
    /// The drop-in, by LD_LIBRARY_PATH.
    DropIn,
}

impl Library {
    /// Both, in the order in which they are tried.
    pub const BOTH: [Library; 2] = [Library::Debian, Library::DropIn];

    /// Gives `command` this library.
    pub fn select(self, command: &mut Command) {
        match self {
            Library::Debian => command.env_remove("LD_LIBRARY_PATH"),
            Library::DropIn => command.env("LD_LIBRARY_PATH", dist::dropin_folder()),
        };
    }

    /// Whether `path`, as the loader names it, is this library.
    pub fn is_at(self, path: &str) -> bool {
        let inside = std::path::Path::new(path).starts_with(dist::dist());
        inside == (self == Library::DropIn)
    }
}

impl std::fmt::Display for Library {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str(match self {
            Library::Debian => "Debian's libtalloc",
            Library::DropIn => "tmempool",
        })
    }
}
