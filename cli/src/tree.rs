//! `tmempool tree`: the contexts of a running process, read from outside by `tmempool-reader`.

use std::io::{self, BufWriter, IsTerminal, Write};

use tmempool_reader::text::Control;
use tmempool_reader::{Request, Selection, Snapshot, json, read_core, text};

use crate::args::Tree;
use crate::failure::{Failure, OWN_FAILURE, say};

/// Prints the trees; fails when the process cannot be read.
pub fn tree(args: &Tree) -> Result<i32, Failure> {
    let selection = Selection { depth: args.depth, trees: args.top };
    let (taken, what) = match (&args.core, args.pid) {
        (Some(core), _) if core.is_dir() => {
            return Err(Failure::own(core.display(), "not a core dump: it is a folder"));
        }
        (Some(core), _) => (read_core(core, selection), core.display().to_string()),
        (None, pid) => {
            let pid = pid.unwrap_or_default();
            (Request { pid, stop: args.stop, selection }.take(), format!("process {pid}"))
        }
    };
    let snapshot = taken.map_err(|error| Failure::new(OWN_FAILURE, format!("{what}: {error}")))?;
    match print(&snapshot, args) {
        // Who reads has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(0),
        printed => printed.map_err(|error| Failure::own("cannot write", error))?,
    }
    if snapshot.changed > 0 {
        say(&changed(snapshot.changed, args.stop || args.core.is_some()));
    }
    Ok(0)
}

fn print(snapshot: &Snapshot, args: &Tree) -> io::Result<()> {
    let stdout = io::stdout().lock();
    let control = if stdout.is_terminal() { Control::Escaped } else { Control::Raw };
    let mut out = BufWriter::with_capacity(1 << 16, stdout);
    if args.json {
        json::write(snapshot, &mut out)?;
    } else {
        text::write(snapshot, control, &mut out)?;
    }
    out.flush()
}

fn changed(count: u64, stopped: bool) -> String {
    let does_not_fit =
        if count == 1 { "1 thing does not fit" } else { &format!("{count} things do not fit") };
    let why = if stopped {
        "a thread was stopped in the middle of a change, or the heap is damaged"
    } else {
        "the process went on while it was read; with --stop it stands still meanwhile"
    };
    format!("{does_not_fit} into the picture: {why}")
}
