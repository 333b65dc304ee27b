//! A snapshot as text: each tree as talloc_report_full() shows it, under a line with the totals of all.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use crate::snapshot::{Kind, Node, Snapshot, Sum};

/// The name that a reference has itself, where it is not shown as one.
const REFERENCE: &[u8] = b".reference";

/// What becomes of bytes in names that a terminal would act on, and of line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// They are written as they are.
    Raw,
    /// They are written as `\n`, `\t` or `\x1b`.
    Escaped,
}

/// Writes the report on a `snapshot`.
///
/// # Errors
/// Those of `to`.
pub fn write(snapshot: &Snapshot, control: Control, to: &mut dyn Write) -> io::Result<()> {
    write!(to, "tmempool report of ")?;
    name(snapshot.program.as_bytes(), control, to)?;
    if let Some(pid) = snapshot.pid {
        write!(to, "[{pid}]")?;
    }
    let Sum { trees, size, blocks } = snapshot.all;
    writeln!(to, ": {size} bytes in {blocks} blocks under {trees} top-level context{}", plural(trees))?;
    for (index, node) in (0..).zip(&snapshot.nodes) {
        line(snapshot, index, node, control, to)?;
    }
    let Sum { trees, size, blocks } = snapshot.rest;
    if trees > 0 {
        writeln!(to, "and {trees} more top-level context{}: {size} bytes in {blocks} blocks", plural(trees))?;
    }
    Ok(())
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn line(
    snapshot: &Snapshot,
    index: u32,
    node: &Node,
    control: Control,
    to: &mut dyn Write,
) -> io::Result<()> {
    let indent = node.depth as usize * 4;
    if node.kind == Kind::Reference && node.depth > 0 {
        spaces(indent, to)?;
        write!(to, "reference to: ")?;
        name(snapshot.name(node), control, to)?;
        return writeln!(to);
    }
    if let Some(limit) = snapshot.limits.get(&index) {
        spaces(indent, to)?;
        padded(snapshot.name(node), control, to)?;
        let (max, current) = (limit.max, limit.current);
        writeln!(to, " is a memlimit context (max_size = {max} bytes, cur_size = {current} bytes)")?;
    }
    let Node { total_size, total_blocks, references, address, .. } = *node;
    if node.depth == 0 {
        let full = if snapshot.selection.depth.is_none() { "full " } else { "" };
        let own_name = if node.kind == Kind::Reference { REFERENCE } else { snapshot.name(node) };
        write!(to, "{full}talloc report on '")?;
        name(own_name, control, to)?;
        writeln!(to, "' (total {total_size:6} bytes in {total_blocks:3} blocks)")
    } else {
        spaces(indent, to)?;
        padded(snapshot.name(node), control, to)?;
        writeln!(
            to,
            " contains {total_size:6} bytes in {total_blocks:3} blocks (ref {references}) {address:#x}"
        )
    }
}

fn spaces(count: usize, to: &mut dyn Write) -> io::Result<()> {
    // A formatter's width ends at 65535, a tree's depth does not.
    let blank = [b' '; 64];
    let mut rest = count;
    while rest > 0 {
        let some = rest.min(blank.len());
        to.write_all(&blank[..some])?;
        rest -= some;
    }
    Ok(())
}

/// A name, filled up to 30 bytes.
fn padded(bytes: &[u8], control: Control, to: &mut dyn Write) -> io::Result<()> {
    name(bytes, control, to)?;
    spaces(30usize.saturating_sub(bytes.len()), to)
}

fn name(bytes: &[u8], control: Control, to: &mut dyn Write) -> io::Result<()> {
    if control == Control::Raw {
        return to.write_all(bytes);
    }
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if letter.is_control() {
                write!(to, "{}", letter.escape_default())?;
            } else {
                write!(to, "{letter}")?;
            }
        }
        for byte in chunk.invalid() {
            write!(to, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}
