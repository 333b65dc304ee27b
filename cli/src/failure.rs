//! How this command fails: one clear line on stderr, and one exit status.
//!
//! The statuses are those of `env`, `nice` and `timeout`: 125 when the command itself cannot do its
//! work, or is called wrongly, 126 when the program is there but cannot be run, 127 when there is no
//! such program. All other statuses are the program's own.

use std::fmt::Display;

/// The command itself could not do its work.
pub const OWN_FAILURE: i32 = 125;
/// The program is there, but cannot be run.
pub const NOT_RUNNABLE: i32 = 126;
/// There is no such program.
pub const NOT_FOUND: i32 = 127;

/// A message for the user, without the leading `tmempool:`, and the status to exit with.
#[derive(Debug)]
pub struct Failure {
    pub status: i32,
    pub message: String,
}

impl Failure {
    pub fn new(status: i32, message: impl Into<String>) -> Failure {
        Failure { status, message: message.into() }
    }

    /// A failure of this command itself, caused by `error` while doing `what`.
    pub fn own(what: impl Display, error: impl Display) -> Failure {
        Failure::new(OWN_FAILURE, format!("{what}: {error}"))
    }
}

/// Prints a line on stderr. A stderr that is closed is not a reason to fail.
pub fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "tmempool: {line}");
}
