//! From chunks to nodes: the part of the trees that was asked for is laid out, and what a header only leads to is
//! read, names and side records.

use std::collections::HashMap;

use crate::forest::Forest;
use crate::layout::{Layout, number, number_at};
use crate::memory::{Memory, read_exactly};
use crate::names::{Name, Names};
use crate::scan::Raw;
use crate::snapshot::{Kind, Limit, Node, Selection, Snapshot, Sum};

/// What a chunk without a name is called.
const UNNAMED: &[u8] = b"UNNAMED";

/// Chunks on their way to become nodes.
pub(crate) struct Taking<'a> {
    /// What they were read from.
    pub(crate) memory: &'a dyn Memory,
    pub(crate) layout: &'a Layout,
    pub(crate) chunks: &'a [Raw],
    pub(crate) forest: &'a Forest,
    /// Of each heap.
    pub(crate) secrets: Vec<u32>,
}

/// What a side record says.
struct Side {
    name: u64,
    destructor: u64,
    has_finalizer: bool,
    limit: Option<Limit>,
}

impl Taking<'_> {
    /// The part of the trees that was asked for.
    pub(crate) fn take(&self, pid: Option<u32>, selection: Selection) -> Snapshot {
        let mut snapshot = Snapshot {
            pid,
            selection,
            program: self.memory.program(),
            libraries: Vec::new(),
            all: Sum::default(),
            rest: Sum::default(),
            changed: 0,
            nodes: Vec::new(),
            limits: HashMap::new(),
            destructors: HashMap::new(),
            names: Names::default(),
        };
        let most = selection.trees.unwrap_or(usize::MAX);
        // The chunk of each node.
        let mut shown = Vec::new();
        for (number, &root) in self.forest.roots.iter().enumerate() {
            let links = &self.forest.links[root as usize];
            let tree = Sum { trees: 1, size: links.total_size, blocks: links.total_blocks.into() };
            snapshot.all = snapshot.all + tree;
            if number < most {
                self.lay_out(root, selection.depth.unwrap_or(u32::MAX), &mut snapshot.nodes, &mut shown);
            } else {
                snapshot.rest = snapshot.rest + tree;
            }
        }
        self.count_references(&mut snapshot, &shown);
        self.name(&mut snapshot, &shown);
        snapshot
    }

    /// Appends the tree of `root` as far as it is shown.
    fn lay_out(&self, root: u32, deepest: u32, nodes: &mut Vec<Node>, shown: &mut Vec<u32>) {
        let first = nodes.len();
        let mut step = Some((root, 0));
        let mut depth: u32 = 0;
        // The indices of the nodes that are open: the last one, and those above it.
        let mut above: Option<u32> = None;
        while let Some((at, deeper)) = step {
            // One up for each step up, and one more to come to a sibling.
            for _ in deeper..1 {
                above = above.and_then(|index| {
                    let end = nodes.len() as u32;
                    let node: &mut Node = &mut nodes[index as usize];
                    node.end = end;
                    node.parent
                });
            }
            depth = depth.wrapping_add_signed(deeper as i32);
            let index = nodes.len() as u32;
            nodes.push(self.node(at, above, depth));
            shown.push(at);
            above = Some(index);
            step = self.forest.following(at, root, depth < deepest);
        }
        while let Some(index) = above {
            let end = nodes.len() as u32;
            nodes[index as usize].end = end;
            above = nodes[index as usize].parent;
        }
        debug_assert!(nodes[first..].iter().all(|node| node.end > first as u32));
    }

    fn node(&self, at: u32, parent: Option<u32>, depth: u32) -> Node {
        let (raw, links) = (&self.chunks[at as usize], &self.forest.links[at as usize]);
        let header = u64::from(self.layout.shape.header.whole);
        let is = |flag: u32| u32::from(raw.flags) & flag != 0;
        let kind = if is(self.layout.shape.flag_reference) {
            Kind::Reference
        } else if is(self.layout.shape.flag_pool) {
            Kind::Pool
        } else {
            Kind::Chunk
        };
        Node {
            name: Name::default(),
            address: raw.header + header,
            kind,
            leaving: raw.leaving,
            size: if kind == Kind::Reference { 0 } else { raw.size },
            total_blocks: links.total_blocks,
            total_size: links.total_size,
            depth,
            parent,
            end: 0,
            references: 0,
            target: if kind == Kind::Reference { raw.name.wrapping_add(header) } else { 0 },
        }
    }

    /// References count wherever they lie, shown or not.
    fn count_references(&self, snapshot: &mut Snapshot, shown: &[u32]) {
        let mut counts: HashMap<u32, u32> = HashMap::new();
        for raw in self.chunks.iter().filter(|raw| self.is_reference(raw)) {
            if let Some(target) = self.forest.at(raw.name) {
                *counts.entry(target).or_default() += 1;
            }
        }
        if counts.is_empty() {
            return;
        }
        for (node, at) in snapshot.nodes.iter_mut().zip(shown) {
            node.references = counts.get(at).copied().unwrap_or(0);
        }
    }

    fn is_reference(&self, raw: &Raw) -> bool {
        u32::from(raw.flags) & self.layout.shape.flag_reference != 0
    }

    /// Reads the names, and what else side records say.
    fn name(&self, snapshot: &mut Snapshot, shown: &[u32]) {
        // What a node's name is taken from: the chunk itself, or what a reference leads to.
        let named: Vec<Option<&Raw>> = shown
            .iter()
            .map(|&at| {
                let raw = &self.chunks[at as usize];
                let at = if self.is_reference(raw) { self.forest.at(raw.name)? } else { at };
                Some(&self.chunks[at as usize])
            })
            .collect();
        let mut sides: Vec<u64> =
            named.iter().flatten().filter(|raw| self.has_side(raw)).map(|raw| raw.name).collect();
        sides.sort_unstable();
        sides.dedup();
        let sides: HashMap<u64, Side> =
            sides.into_iter().filter_map(|word| Some((word, self.side(word)?))).collect();
        let address = |raw: &Raw| {
            if self.has_side(raw) {
                sides.get(&raw.name).map_or(0, |side| side.name)
            } else if self.is_reference(raw) {
                0
            } else {
                raw.name
            }
        };
        let addresses = named.iter().flatten().map(|raw| address(raw)).filter(|&name| name != 0).collect();
        let mut names = Names::read(self.memory, addresses);
        let unnamed = names.add(UNNAMED);
        for (index, (node, raw)) in snapshot.nodes.iter_mut().zip(&named).enumerate() {
            let Some(raw) = raw else {
                // A reference to what is no chunk (any more).
                snapshot.changed += 1;
                node.name = unnamed;
                continue;
            };
            node.name = names.at(address(raw)).unwrap_or(unnamed);
            let Some(side) =
                sides.get(&raw.name).filter(|_| self.has_side(raw) && node.kind != Kind::Reference)
            else {
                continue;
            };
            if side.destructor != 0 {
                snapshot.destructors.insert(index as u32, side.destructor);
            }
            if side.has_finalizer
                && let Some(kind) = self.sealed(node.address)
            {
                node.kind = kind;
            }
            if let Some(limit) = side.limit {
                snapshot.limits.insert(index as u32, limit);
            }
        }
        snapshot.changed += names.unreadable;
        snapshot.names = names;
    }

    fn has_side(&self, raw: &Raw) -> bool {
        raw.name & self.layout.shape.name_mark != 0 && !self.is_reference(raw)
    }

    /// What the seal at `address` says that it is.
    fn sealed(&self, address: u64) -> Option<Kind> {
        let seal = ((number_at(self.memory, address, 8)? ^ address) >> 32) as u32;
        let kind = self.secrets.iter().find_map(|secret| {
            let kind = seal ^ (secret << self.layout.shape.flags.count_ones());
            (kind <= self.layout.shape.flags).then_some(kind)
        })?;
        let shape = &self.layout.shape;
        [
            (shape.kind_cache, Kind::Cache),
            (shape.kind_mempool, Kind::Mempool),
            (shape.kind_genpool, Kind::Genpool),
        ]
        .into_iter()
        .find_map(|(number, what)| (number == kind).then_some(what))
    }

    /// What `word`, the name word of a chunk that has a side record, leads to.
    fn side(&self, word: u64) -> Option<Side> {
        let address = word & !self.layout.shape.name_mark;
        let fields = &self.layout.shape.side;
        let mut bytes = vec![0; fields.whole as usize];
        if !read_exactly(self.memory, address, &mut bytes) {
            return None;
        }
        Some(Side {
            name: number(&bytes, fields.name),
            destructor: number(&bytes, fields.destructor),
            has_finalizer: number(&bytes, fields.finalizer) != 0,
            limit: self.limit(number(&bytes, fields.meter)),
        })
    }

    /// The limit that the meter at `address` holds; none where there is no meter.
    fn limit(&self, address: u64) -> Option<Limit> {
        let fields = &self.layout.shape.meter;
        let mut bytes = vec![0; fields.whole as usize];
        if address == 0 || !read_exactly(self.memory, address, &mut bytes) {
            return None;
        }
        let limit = Limit {
            max: number(&bytes, fields.hard),
            soft: number(&bytes, fields.soft),
            current: number(&bytes, fields.current),
        };
        (number(&bytes, fields.limited) != 0).then_some(limit)
    }
}
