//! Where the libraries under test lie: tmempool's, as `make` lays them out, and
//! the system's talloc.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

/// What `make` lays out, as under a prefix.
#[derive(Clone)]
pub struct Dist {
    root: PathBuf,
}

impl Dist {
    /// Finds the directory: `TMEMPOOL_DIST`, or `dist` in `CARGO_TARGET_DIR`, or
    /// `target/dist` beside this package.
    ///
    /// # Errors
    /// Says what is missing and how to make it.
    pub fn find() -> Result<Dist, String> {
        let root = match (env::var_os("TMEMPOOL_DIST"), env::var_os("CARGO_TARGET_DIR")) {
            (Some(dist), _) => PathBuf::from(dist),
            (None, Some(target)) if Path::new(&target).join("dist").is_dir() => {
                PathBuf::from(target).join("dist")
            }
            _ => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/dist"),
        };
        let dist = Dist { root: root.canonicalize().unwrap_or(root) };
        for needed in [dist.drop_in(), dist.shared(), dist.archive(), dist.include().join("talloc.h")] {
            if !needed.exists() {
                return Err(format!(
                    "{} is missing: run `make` first, or set TMEMPOOL_DIST",
                    needed.display()
                ));
            }
        }
        Ok(dist)
    }

    /// [`find`](Dist::find), for tests that can do nothing without it: says what is missing, and ends the process.
    #[must_use]
    pub fn find_or_exit() -> Dist {
        Dist::find().unwrap_or_else(|missing| {
            eprintln!("error: {missing}");
            process::exit(1)
        })
    }

    /// The library that takes talloc's place, by talloc's name.
    pub fn drop_in(&self) -> PathBuf {
        self.root.join("lib/tmempool/libtalloc.so.2")
    }

    /// The library by its own name.
    pub fn shared(&self) -> PathBuf {
        self.root.join("lib/libtmempool.so")
    }

    /// The `tmempool` command.
    pub fn command(&self) -> PathBuf {
        self.root.join("bin/tmempool")
    }

    /// The static library.
    pub fn archive(&self) -> PathBuf {
        self.root.join("lib/libtmempool.a")
    }

    /// The directory of `talloc.h`, `tmempool.h` and `tmempool.hpp`.
    pub fn include(&self) -> PathBuf {
        self.root.join("include/tmempool")
    }
}

/// The system's `libtalloc.so.2`, resolved to the file with its version, if there
/// is one that is not tmempool's.
pub fn system_talloc() -> Option<PathBuf> {
    system_library("libtalloc.so.2")
}

/// A library of the dynamic loader's cache, resolved to its file.
pub fn system_library(soname: &str) -> Option<PathBuf> {
    ["/sbin/ldconfig", "ldconfig"]
        .iter()
        .find_map(|ldconfig| Command::new(ldconfig).arg("-p").output().ok())
        .and_then(|output| {
            String::from_utf8_lossy(&output.stdout)
                .lines()
                .filter(|line| line.trim_start().starts_with(&format!("{soname} ")))
                .find_map(|line| line.split("=> ").nth(1).map(PathBuf::from))
        })
        .and_then(|path| path.canonicalize().ok())
}

/// The system's own `talloc.h`, if it is installed.
pub fn system_header() -> Option<PathBuf> {
    let header = PathBuf::from("/usr/include/talloc.h");
    header.exists().then_some(header)
}
