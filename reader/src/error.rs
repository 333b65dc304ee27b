//! Why a process could not be read, in words for its user.

use std::fmt;
use std::io;

/// What stands in the way.
#[derive(Debug)]
pub enum Error {
    /// There is no such process.
    NoProcess,
    /// It has ended, or is the kernel's: there is no memory to read.
    NoMemory,
    /// The kernel does not let the caller read it; why, as far as is known.
    NoPermission {
        /// The likeliest reason, and what helps.
        reason: String,
    },
    /// It is a 32-bit program, on which tmempool does not run.
    Not64Bit,
    /// tmempool is not in it.
    NotLoaded,
    /// The heap is described in a version that this reader does not know.
    UnknownVersion {
        /// The version of the layout there.
        found: u32,
    },
    /// The process runs with `backend=malloc`: no segment knows of its chunks.
    MallocBackend,
    /// The file is not a core dump that can be read.
    BadCore(String),
    /// The process could not be stopped.
    NotStopped(io::Error),
    /// Something else failed, while doing what is said.
    Io(String, io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoProcess => write!(f, "there is no such process"),
            Error::NoMemory => write!(f, "it has no memory: it has ended, or belongs to the kernel"),
            Error::NoPermission { reason } => write!(f, "it may not be read: {reason}"),
            Error::Not64Bit => write!(f, "it is a 32-bit program: tmempool is never in one"),
            Error::NotLoaded => write!(
                f,
                "tmempool is not in it; a program that uses libtalloc is started on tmempool with `tmempool run`"
            ),
            Error::UnknownVersion { found } => write!(
                f,
                "its heap has a layout of version {found}, and this command knows {}: use the command that came \
                 with the library",
                crate::layout::known_versions()
            ),
            Error::MallocBackend => write!(
                f,
                "it runs with TMEMPOOL_OPTIONS=backend=malloc: its chunks are malloc's, and cannot be found from \
                 outside"
            ),
            Error::BadCore(why) => write!(f, "not a core dump that can be read: {why}"),
            Error::NotStopped(error) => write!(f, "it could not be stopped: {error}"),
            Error::Io(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(_, error) | Error::NotStopped(error) => Some(error),
            _ => None,
        }
    }
}
