//! What was in a process at a moment: its trees, or the part of them that was asked for.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::Error;
use crate::find::{self, Found};
use crate::forest::Forest;
use crate::layout::number_at;
use crate::memory::Memory;
use crate::names::{Name, Names};
use crate::scan::{self, Raw, Scan};
use crate::take::Taking;

/// What to take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selection {
    /// How deep below its root a chunk may lie; all the way, if not said.
    pub depth: Option<u32>,
    /// How many trees, the largest; all, if not said.
    pub trees: Option<usize>,
}

/// What a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Memory with an owner, and nothing special.
    Chunk,
    /// A chunk that serves its descendants from a buffer of its own.
    Pool,
    /// A hidden child that keeps another chunk alive.
    Reference,
    /// An object cache.
    Cache,
    /// A guaranteed reserve.
    Mempool,
    /// A managed range.
    Genpool,
}

/// A memory limit, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What may be used; 0 for any number.
    pub max: u64,
    /// What may be used without a warning; 0 for any number.
    pub soft: u64,
    /// What is used.
    pub current: u64,
}

/// A chunk of a [`Snapshot`].
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// Its name; a reference's is that of the chunk it refers to.
    pub name: Name,
    /// The address of its payload, in the process.
    pub address: u64,
    /// What it is.
    pub kind: Kind,
    /// It is being freed.
    pub leaving: bool,
    /// Bytes of its payload.
    pub size: u32,
    /// How many chunks it and all below it are, shown or not.
    pub total_blocks: u32,
    /// Bytes of payload in it and all below it, shown or not.
    pub total_size: u64,
    /// How deep it lies below its root.
    pub depth: u32,
    /// Its parent, if it is no root: the index of a node.
    pub parent: Option<u32>,
    /// The index behind the last node of its tree.
    pub end: u32,
    /// References to it.
    pub references: u32,
    /// Of a reference, the address of the payload of what it refers to.
    pub target: u64,
}

/// Totals of trees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many trees.
    pub trees: u64,
    /// Bytes of payload in them.
    pub size: u64,
    /// Chunks in them.
    pub blocks: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Snapshot {
    /// The process; not always known of a core dump.
    pub pid: Option<u32>,
    /// What was asked for.
    pub selection: Selection,
    /// The name of the program.
    pub program: OsString,
    /// The files that the allocators in it come from; seldom more than one.
    pub libraries: Vec<PathBuf>,
    /// Totals of all trees, shown or not.
    pub all: Sum,
    /// Of these, what is not shown because of how many trees were asked for.
    pub rest: Sum,
    /// How many things did not fit together, because the process went on while it was read: with 0, it is one
    /// moment's picture as far as can be seen.
    pub changed: u64,
    /// The trees one after the other, the largest first; in each, parents before their children, newest first.
    pub nodes: Vec<Node>,
    /// Limits, by index of node.
    pub limits: HashMap<u32, Limit>,
    /// Destructors, by index of node: addresses in the process.
    pub destructors: HashMap<u32, u64>,
    pub(crate) names: Names,
}

impl Snapshot {
    /// Reads what `memory` holds.
    ///
    /// # Errors
    /// tmempool is not there, or in a form that cannot be read.
    pub(crate) fn take(
        memory: &dyn Memory,
        pid: Option<u32>,
        selection: Selection,
    ) -> Result<Snapshot, Error> {
        let heaps = find::heaps(memory)?;
        let mut scanned = Scan::default();
        let mut readable = 0;
        let mut secrets = Vec::new();
        for Found { layout, .. } in &heaps {
            secrets.push(number_at(memory, layout.places.secret.0.addr() as u64, 4).unwrap_or(0) as u32);
            let mode = number_at(memory, layout.places.mode.0.addr() as u64, 4).unwrap_or(0) as u32;
            if mode & layout.shape.mode_malloc == 0 {
                readable += 1;
                scan::scan(memory, layout, &mut scanned);
            }
        }
        scanned.settle();
        // All heaps in a process that have a known version have the same shape.
        let Some(Found { layout, .. }) = heaps.first().filter(|_| readable > 0) else {
            return Err(Error::MallocBackend);
        };
        let header = u64::from(layout.shape.header.whole);
        let retired: Vec<u64> = heaps
            .iter()
            .map(|heap| scan::pointer(memory, heap.layout.places.retired_null_context))
            .filter_map(|payload| payload.checked_sub(header))
            .collect();
        let is_reference = |raw: &Raw| u32::from(raw.flags) & layout.shape.flag_reference != 0;
        let forest = Forest::build(&scanned.chunks, is_reference, &retired);
        let taking = Taking { memory, layout, chunks: &scanned.chunks, forest: &forest, secrets };
        let mut snapshot = taking.take(pid, selection);
        snapshot.changed += scanned.torn + forest.changed;
        snapshot.libraries = heaps.into_iter().map(|heap| heap.path).collect();
        Ok(snapshot)
    }

    /// The bytes of a node's name, in no particular encoding.
    pub fn name(&self, node: &Node) -> &[u8] {
        self.names.text(node.name)
    }

    /// The indices of the roots.
    pub fn roots(&self) -> impl Iterator<Item = u32> {
        self.siblings(0, self.nodes.len() as u32)
    }

    /// The indices of the children of the node at `index` that are shown.
    pub fn children(&self, index: u32) -> impl Iterator<Item = u32> {
        self.siblings(index + 1, self.nodes[index as usize].end)
    }

    fn siblings(&self, first: u32, end: u32) -> impl Iterator<Item = u32> {
        let next = move |&at: &u32| Some(self.nodes[at as usize].end).filter(|&at| at < end);
        std::iter::successors(Some(first).filter(|&at| at < end), next)
    }
}

impl std::ops::Add for Sum {
    type Output = Sum;

    fn add(self, other: Sum) -> Sum {
        Sum {
            trees: self.trees + other.trees,
            size: self.size + other.size,
            blocks: self.blocks + other.blocks,
        }
    }
}
