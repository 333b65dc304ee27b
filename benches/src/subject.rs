//! What is compared: a talloc library, with the malloc under it.

use crate::place;
use anyhow::{Context, Result};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The variant of a workload that a subject runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Against the talloc interface.
    Talloc,
    /// The same work with malloc and free.
    Bare,
}

impl Variant {
    /// As the program's command line spells it.
    pub fn word(self) -> &'static str {
        match self {
            Variant::Talloc => "talloc",
            Variant::Bare => "bare",
        }
    }
}

/// One column of the table.
#[derive(Debug, Clone)]
pub struct Subject {
    /// As shown.
    pub label: String,
    /// Which variant of each workload it runs.
    pub variant: Variant,
    /// The `libtalloc.so.2` that must be loaded.
    pub talloc: PathBuf,
    /// The malloc that must be loaded; `None` where it does not matter.
    pub malloc: Option<PathBuf>,
    /// Put in front by `LD_PRELOAD`.
    pub preload: Option<PathBuf>,
}

impl fmt::Display for Subject {
    /// Which files it is made of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.variant, &self.malloc) {
            (Variant::Talloc, None) => write!(f, "{}", self.talloc.display()),
            (Variant::Talloc, Some(malloc)) => {
                write!(f, "{} over {}", self.talloc.display(), malloc.display())
            }
            (Variant::Bare, malloc) => write!(f, "{}", malloc.as_deref().unwrap_or(Path::new("?")).display()),
        }
    }
}

impl Subject {
    /// Debian's libtalloc over glibc's malloc: what everything is compared with.
    pub fn libtalloc() -> Result<Subject> {
        Ok(Subject {
            label: "libtalloc".into(),
            variant: Variant::Talloc,
            talloc: place::required_library(place::TALLOC, "libtalloc2")?,
            malloc: place::system_library("libc.so.6")?,
            preload: None,
        })
    }

    /// A drop-in for it.
    pub fn tmempool(library: &Path) -> Subject {
        Subject {
            label: "tmempool".into(),
            variant: Variant::Talloc,
            talloc: library.to_owned(),
            malloc: None,
            preload: None,
        }
    }

    /// tmempool by its own name, with the functions that talloc has not: put before the library that the program
    /// was linked with, for whose functions it answers, too.
    pub fn tmempool_by_name() -> Result<Subject> {
        let library = place::by_name().context("libtmempool.so is not built: run `make` first")?;
        Ok(Subject { preload: Some(library.clone()), ..Subject::tmempool(&library) })
    }

    /// The same work on another malloc, with no contexts at all.
    pub fn bare_preloaded(label: &str, library: &str, package: &str) -> Result<Subject> {
        Ok(Subject { variant: Variant::Bare, ..Subject::preloaded(label, library, package)? })
    }

    /// The same work on glibc's malloc, with no contexts at all.
    pub fn bare() -> Result<Subject> {
        Ok(Subject { label: "malloc".into(), variant: Variant::Bare, ..Subject::libtalloc()? })
    }

    /// Debian's libtalloc over another malloc.
    pub fn preloaded(label: &str, library: &str, package: &str) -> Result<Subject> {
        let malloc = place::required_library(library, package)?;
        Ok(Subject {
            label: label.into(),
            malloc: Some(malloc.clone()),
            preload: Some(malloc),
            ..Subject::libtalloc()?
        })
    }

    /// libtalloc over each of the mallocs an informed user would try.
    pub fn all_preloaded() -> Result<Vec<Subject>> {
        Ok(vec![
            Subject::preloaded("+mimalloc", "libmimalloc.so.2", "libmimalloc2.0")?,
            Subject::preloaded("+jemalloc", "libjemalloc.so.2", "libjemalloc2")?,
        ])
    }

    /// Whether it is a failure when its memory grows from pass to pass. A malloc that was put under libtalloc may do as it
    /// likes; that it does is only told.
    pub fn must_not_grow(&self) -> bool {
        self.malloc.is_none() || self.preload.is_none()
    }

    /// Puts the subject's libraries under a program about to start.
    pub fn apply(&self, command: &mut Command) {
        let directory = self.talloc.parent().unwrap_or(Path::new("/"));
        command.env("LD_LIBRARY_PATH", directory);
        match &self.preload {
            Some(library) => command.env("LD_PRELOAD", library),
            None => command.env_remove("LD_PRELOAD"),
        };
    }
}
