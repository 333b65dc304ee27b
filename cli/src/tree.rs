//! `tmempool tree`: the contexts of a running process, read from outside by `tmempool-reader`.

use std::io::{self, BufWriter, IsTerminal, Write};

use tmempool_reader::text::Control;
use tmempool_reader::{Request, Selection, Snapshot, json, text};

use crate::args::Tree;
use crate::failure::{Failure, OWN_FAILURE, say};

/// Prints the trees; fails when the process cannot be read.
pub fn tree(args: &Tree) -> Result<i32, Failure> {
    let selection = Selection { depth: args.depth, trees: args.top };
    let request = Request { pid: args.pid, stop: args.stop, selection };
    let snapshot = request
        .take()
        .map_err(|error| Failure::new(OWN_FAILURE, format!("process {}: {error}", args.pid)))?;
    match print(&snapshot, args, selection) {
        // Who reads has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(0),
        printed => printed.map_err(|error| Failure::own("cannot write", error))?,
    }
    if snapshot.changed > 0 {
        say(&changed(snapshot.changed, args.stop));
    }
    Ok(0)
}

fn print(snapshot: &Snapshot, args: &Tree, selection: Selection) -> io::Result<()> {
    let stdout = io::stdout().lock();
    let control = if stdout.is_terminal() { Control::Escaped } else { Control::Raw };
    let mut out = BufWriter::with_capacity(1 << 16, stdout);
    if args.json {
        json::write(snapshot, Some(args.pid), &mut out)?;
    } else {
        text::write(snapshot, Some(args.pid), selection, control, &mut out)?;
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
