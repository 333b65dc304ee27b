//! A tree of contexts as data: what is there at one moment, with names and totals.
//!
//! A report is a copy, so that whoever looks at it may go on allocating and freeing. It is one list, parents
//! before their children, newest first, and whatever goes over it needs no stack that grows with the tree.
//! Its own memory is taken before the tree is looked at, as it may come from that very tree (where
//! tmempool is the global allocator).

mod node;
mod output;
mod visitor;

use core::ffi::CStr;
use std::vec::Vec;

pub use node::Node;
pub use visitor::{Visitor, Walk};

use super::context::Context;
use super::kind::Kind;
use crate::ops;
use crate::report::{Visit, walk};
use crate::tree::{Chunk, Limit};

/// What a chunk without a name is called.
const UNNAMED: &CStr = c"UNNAMED";

/// What a context and all below it hold, at the moment when it was asked for.
///
/// It prints as talloc's reports do.
///
/// ```
/// let server = tmempool::Context::new("server");
/// let request = server.child("request");
/// let path = request.boxed_named(c"path", [0u8; 100]);
///
/// let report = server.report();
/// for child in report.root().children() {
///     assert_eq!(child.name(), "request");
///     assert_eq!(child.total_blocks(), 2);
/// }
/// let text = report.to_string();
/// assert!(text.starts_with("full talloc report on 'server' (total "));
/// assert!(text.contains("        path "));
/// ```
#[derive(Clone, Debug)]
pub struct Report {
    entries: Vec<Entry>,
    /// All names, one after the other.
    names: Vec<u8>,
    max_depth: i32,
}

#[derive(Clone, Debug)]
struct Entry {
    /// Where the name ends in the names; it starts where the one before ends.
    name_end: usize,
    depth: i32,
    /// The entry after all that lie below this one.
    after: usize,
    size: usize,
    total_size: usize,
    total_blocks: usize,
    references: usize,
    address: usize,
    is_reference: bool,
    limit: Option<Limit>,
}

impl<K: Kind> Context<K> {
    /// What this context and all below it hold.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let request = server.child("request");
    /// println!("{}", server.report());
    /// ```
    pub fn report(&self) -> Report {
        Report::of(self.chunk(), -1)
    }

    /// [`report`](Self::report), no deeper than `max_depth` below this context. Totals count all.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let request = server.child("request");
    /// let body = request.child("body");
    /// let report = server.report_depth(1);
    /// assert_eq!(report.iter().count(), 2);
    /// assert_eq!(report.root().total_blocks(), 3);
    /// ```
    pub fn report_depth(&self, max_depth: u16) -> Report {
        Report::of(self.chunk(), i32::from(max_depth))
    }
}

fn name_of<'a>(chunk: Chunk) -> &'a [u8] {
    let name = chunk.name();
    // SAFETY: a name is a C string that lives as long as its chunk (see `Chunk::set_name`).
    let name = if name.is_null() { UNNAMED } else { unsafe { CStr::from_ptr(name) } };
    name.to_bytes()
}

impl Report {
    pub(super) fn of(root: Chunk, max_depth: i32) -> Report {
        Report::of_locked(root, max_depth, || ())
    }

    /// The report on a tree that may be looked at while the guard that `hold` gives is alive. Meanwhile nothing is
    /// allocated.
    pub(super) fn of_locked<G>(root: Chunk, max_depth: i32, hold: impl Fn() -> G) -> Report {
        let mut report = Report { entries: Vec::new(), names: Vec::new(), max_depth };
        loop {
            let (mut entries, mut bytes) = (0, 0);
            let held = hold();
            // SAFETY: the root is alive and this thread uses its tree, which nothing changes meanwhile.
            unsafe {
                walk(root, 0, max_depth, &mut |visit| {
                    entries += 1;
                    bytes += name_of(visit.chunk).len();
                });
            }
            if entries <= report.entries.capacity() && bytes <= report.names.capacity() {
                // SAFETY: as above; there is room for all, so that nothing is allocated.
                unsafe { walk(root, 0, max_depth, &mut |visit| report.note(&visit)) };
                break;
            }
            drop(held);
            // The memory may come from this tree, and be counted next time.
            report.entries.reserve(entries + entries / 8 + 8);
            report.names.reserve(bytes + bytes / 8 + 256);
        }
        report.close();
        report
    }

    fn note(&mut self, visit: &Visit) {
        self.names.extend_from_slice(name_of(visit.chunk));
        self.entries.push(Entry {
            name_end: self.names.len(),
            depth: visit.depth,
            after: 0,
            size: visit.chunk.size(),
            total_size: visit.total_size,
            total_blocks: visit.total_blocks,
            // SAFETY: alive, and this thread uses its tree.
            references: unsafe { ops::reference_count(visit.chunk) },
            address: visit.chunk.ptr().addr(),
            is_reference: visit.is_reference,
            limit: visit.chunk.limit(),
        });
    }

    /// Finds where the tree of each entry ends: at the next one that is no deeper.
    fn close(&mut self) {
        for index in (0..self.entries.len()).rev() {
            let mut after = index + 1;
            while after < self.entries.len() && self.entries[after].depth > self.entries[index].depth {
                after = self.entries[after].after;
            }
            self.entries[index].after = after;
        }
    }

    /// The context that was asked for.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// assert_eq!(server.report().root().name(), "server");
    /// ```
    pub fn root(&self) -> Node<'_> {
        Node { report: self, index: 0 }
    }

    /// All nodes, parents before their children, newest first.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let (a, b) = (server.child("a"), server.child("b"));
    /// let report = server.report();
    /// let names: Vec<_> = report.iter().map(|node| node.name()).collect();
    /// assert_eq!(names, ["server", "b", "a"]);
    /// ```
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Node<'_>> {
        (0..self.entries.len()).map(|index| Node { report: self, index })
    }
}
