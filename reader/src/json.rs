//! A snapshot as JSON. `docs/inside.md` describes it; [`SCHEMA`] is raised when something in it changes its
//! meaning or goes.
//!
//! The nodes stand in one array and name each other by their indices: a tree may be deeper than any parser goes.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};

use crate::snapshot::{Kind, Limit, Node, Snapshot, Sum};

/// The version of the form.
pub const SCHEMA: u32 = 1;

/// Writes the `snapshot`.
///
/// # Errors
/// Those of `to`.
pub fn write(snapshot: &Snapshot, to: &mut dyn Write) -> io::Result<()> {
    let libraries = snapshot.libraries.iter().map(|path| path.to_string_lossy()).collect();
    let document = Document {
        schema: SCHEMA,
        pid: snapshot.pid,
        program: snapshot.program.to_string_lossy(),
        libraries,
        total: snapshot.all.size,
        blocks: snapshot.all.blocks,
        trees: snapshot.all.trees,
        not_shown: snapshot.rest.into(),
        changed: snapshot.changed,
        roots: snapshot.roots().collect(),
        nodes: Nodes(snapshot),
    };
    serde_json::to_writer(&mut *to, &document)?;
    writeln!(to)
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    pid: Option<u32>,
    program: Cow<'a, str>,
    libraries: Vec<Cow<'a, str>>,
    total: u64,
    blocks: u64,
    trees: u64,
    not_shown: NotShown,
    changed: u64,
    roots: Vec<u32>,
    nodes: Nodes<'a>,
}

#[derive(Serialize)]
struct NotShown {
    trees: u64,
    total: u64,
    blocks: u64,
}

impl From<Sum> for NotShown {
    fn from(sum: Sum) -> NotShown {
        NotShown { trees: sum.trees, total: sum.size, blocks: sum.blocks }
    }
}

#[derive(Serialize)]
struct Entry<'a> {
    name: Cow<'a, str>,
    kind: &'static str,
    address: String,
    size: u32,
    total: u64,
    blocks: u32,
    depth: u32,
    parent: Option<u32>,
    children: Vec<u32>,
    references: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destructor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<LimitEntry>,
    #[serde(skip_serializing_if = "is_false")]
    dying: bool,
}

#[derive(Serialize)]
struct LimitEntry {
    max: u64,
    soft: u64,
    current: u64,
}

fn is_false(value: &bool) -> bool {
    !value
}

struct Nodes<'a>(&'a Snapshot);

impl Serialize for Nodes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(self.0.nodes.len()))?;
        for (index, node) in (0..).zip(&self.0.nodes) {
            sequence.serialize_element(&entry(self.0, index, node))?;
        }
        sequence.end()
    }
}

fn entry<'a>(snapshot: &'a Snapshot, index: u32, node: &Node) -> Entry<'a> {
    Entry {
        name: String::from_utf8_lossy(snapshot.name(node)),
        kind: match node.kind {
            Kind::Chunk => "chunk",
            Kind::Pool => "pool",
            Kind::Reference => "reference",
            Kind::Cache => "cache",
            Kind::Mempool => "mempool",
            Kind::Genpool => "genpool",
        },
        address: hexadecimal(node.address),
        size: node.size,
        total: node.total_size,
        blocks: node.total_blocks,
        depth: node.depth,
        parent: node.parent,
        children: snapshot.children(index).collect(),
        references: node.references,
        target: (node.kind == Kind::Reference).then(|| hexadecimal(node.target)),
        destructor: snapshot.destructors.get(&index).copied().map(hexadecimal),
        limit: snapshot.limits.get(&index).map(|&Limit { max, soft, current }| LimitEntry {
            max,
            soft,
            current,
        }),
        dying: node.leaving,
    }
}

fn hexadecimal(address: u64) -> String {
    format!("{address:#x}")
}
