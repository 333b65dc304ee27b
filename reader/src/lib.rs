//! Reads the contexts of a running process, or of a core dump, from outside: all trees, with no help from the
//! process and no cost to it while nobody looks.
//!
//! tmempool's libraries carry a description of their heap's layout (`tmempool::report::layout`). This crate finds
//! it in a process, reads the heap by it, and rebuilds the trees. Nothing is written, no code runs in the process,
//! and what it does meanwhile can make a snapshot incomplete, but neither wrong in its form nor endless.
//!
//! From the bottom up: `memory` is what can be read, of which `process` is one kind and `dump` the other; `maps` says what lies
//! where; `layout` is the description, and `find` where it lies; `scan` finds all live chunks, `forest` their
//! trees, `names` what they are called, and `take` makes a `snapshot` of it all; `text` and `json` write it. `stop` makes a process
//! stand still.
//!
//! ```no_run
//! use tmempool_reader::{Request, Selection};
//!
//! let snapshot = Request { pid: 4711, stop: false, selection: Selection::default() }.take()?;
//! for root in snapshot.roots() {
//!     let node = &snapshot.nodes[root as usize];
//!     println!("{}: {} bytes", String::from_utf8_lossy(snapshot.name(node)), node.total_size);
//! }
//! # Ok::<(), tmempool_reader::Error>(())
//! ```

mod dump;
mod error;
mod find;
mod forest;
pub mod json;
mod layout;
mod maps;
mod memory;
mod names;
mod process;
mod scan;
mod snapshot;
mod stop;
mod take;
pub mod text;

pub use error::Error;
pub use names::Name;
pub use snapshot::{Kind, Limit, Node, Selection, Snapshot, Sum};

use dump::Dump;
use process::Process;
use stop::Stopped;

/// How often a process that goes on is read, to get a snapshot in which everything fits together.
const ATTEMPTS: usize = 3;

/// What is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The process.
    pub pid: u32,
    /// It is stopped meanwhile.
    pub stop: bool,
    /// What of it.
    pub selection: Selection,
}

impl Request {
    /// Reads the process. If it changes meanwhile, it is read again, and the best of a few snapshots is taken.
    ///
    /// # Errors
    /// It cannot be read, or stopped, or tmempool is not in it.
    pub fn take(&self) -> Result<Snapshot, Error> {
        let mut process = Process::open(self.pid)?;
        let _stopped = if self.stop { Some(Stopped::new(self.pid)?) } else { None };
        let mut best: Option<Snapshot> = None;
        for _ in 0..ATTEMPTS {
            process.refresh()?;
            let snapshot = Snapshot::take(&process, Some(self.pid), self.selection)?;
            let changed = snapshot.changed;
            if best.as_ref().is_none_or(|best| changed < best.changed) {
                best = Some(snapshot);
            }
            if changed == 0 || self.stop {
                break;
            }
        }
        best.ok_or(Error::NoMemory)
    }
}

/// Reads the core dump at `path`.
///
/// # Errors
/// It cannot be read, or tmempool is not in it.
pub fn read_core(path: &std::path::Path, selection: Selection) -> Result<Snapshot, Error> {
    let dump = Dump::open(path)?;
    Snapshot::take(&dump, dump.pid(), selection)
}
