//! Reports as text, and as data for other programs.

use core::fmt;

#[cfg(feature = "serde")]
use super::Node;
use super::Report;
use crate::tree::Limit;

/// Four blanks a level. A width in a format has a limit, which a deep tree passes.
fn indent(f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
    (0..depth).try_for_each(|_| f.write_str("    "))
}

/// talloc's text, a line each.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in self.iter() {
            let name = node.name();
            indent(f, node.depth())?;
            if node.is_reference() {
                writeln!(f, "reference to: {name}")?;
                continue;
            }
            if let Some(Limit { max, current }) = node.limit() {
                writeln!(
                    f,
                    "{name:<30} is a memlimit context (max_size = {max} bytes, cur_size = {current} bytes)"
                )?;
                indent(f, node.depth())?;
            }
            let (size, blocks) = (node.total_size(), node.total_blocks());
            if node.depth() == 0 {
                let full = if self.max_depth < 0 { "full " } else { "" };
                writeln!(f, "{full}talloc report on '{name}' (total {size:>6} bytes in {blocks:>3} blocks)")?;
            } else {
                let (references, address) = (node.references(), node.address());
                writeln!(
                    f,
                    "{name:<30} contains {size:>6} bytes in {blocks:>3} blocks (ref {references}) {address:#x}"
                )?;
            }
        }
        Ok(())
    }
}

/// A list of nodes in the order of [`Report::iter`]; `depth` says how they hang together.
#[cfg(feature = "serde")]
impl serde::Serialize for Report {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// A map: `name`, `depth`, `size`, `total_size`, `total_blocks`, `references`, `is_reference`, and the limit's
/// `max` and `current`, or nothing, as `limit`.
#[cfg(feature = "serde")]
impl serde::Serialize for Node<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;

        #[derive(serde::Serialize)]
        struct Bound {
            max: usize,
            current: usize,
        }
        let mut node = serializer.serialize_struct("Node", 8)?;
        node.serialize_field("name", &*self.name())?;
        node.serialize_field("depth", &self.depth())?;
        node.serialize_field("size", &self.size())?;
        node.serialize_field("total_size", &self.total_size())?;
        node.serialize_field("total_blocks", &self.total_blocks())?;
        node.serialize_field("references", &self.references())?;
        node.serialize_field("is_reference", &self.is_reference())?;
        let limit = self.limit().map(|Limit { max, current }| Bound { max, current });
        node.serialize_field("limit", &limit)?;
        node.end()
    }
}
