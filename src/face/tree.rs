//! A tree of contexts as data: what is there at one moment, with names and totals.
//!
//! A report is a copy, so that whoever looks at it may go on allocating and freeing. It is one list, parents
//! before their children, newest first, and whatever goes over it needs no stack that grows with the tree.
//! Its own memory is taken before the tree is looked at, as it may come from that very tree (where
//! tmempool is the global allocator).

use core::ffi::CStr;
use core::fmt;
use std::borrow::Cow;
use std::vec::Vec;

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

    /// Takes `visitor` to every node, as far as it wants to go.
    ///
    /// ```
    /// use tmempool::{Context, Node, Visitor, Walk};
    ///
    /// /// Adds up what all contexts named "cache" hold.
    /// struct Caches(usize);
    /// impl Visitor for Caches {
    ///     fn enter(&mut self, node: Node<'_>) -> Walk {
    ///         if node.name() == "cache" {
    ///             self.0 += node.total_size();
    ///             return Walk::Over;
    ///         }
    ///         Walk::Into
    ///     }
    /// }
    /// let server = Context::new("server");
    /// let cache = server.child("cache");
    /// let page = cache.boxed([0u8; 4096]);
    /// let mut caches = Caches(0);
    /// server.report().visit(&mut caches);
    /// assert!(caches.0 >= 4096);
    /// ```
    pub fn visit(&self, visitor: &mut dyn Visitor) {
        let mut open: Vec<usize> = Vec::new();
        let mut index = 0;
        while index < self.entries.len() {
            self.leave(visitor, &mut open, index);
            match visitor.enter(Node { report: self, index }) {
                Walk::Into => {
                    open.push(index);
                    index += 1;
                }
                Walk::Over => index = self.entries[index].after,
                Walk::Stop => return,
            }
        }
        self.leave(visitor, &mut open, index);
    }

    /// Leaves the open nodes that end before `index`.
    fn leave(&self, visitor: &mut dyn Visitor, open: &mut Vec<usize>, index: usize) {
        while let Some(&last) = open.last()
            && self.entries[last].after <= index
        {
            open.pop();
            visitor.leave(Node { report: self, index: last });
        }
    }
}

/// Goes over a [`Report`]: see [`Report::visit`].
pub trait Visitor {
    /// Comes to a node, before its children.
    ///
    /// ```
    /// # use tmempool::{Context, Node, Visitor, Walk};
    /// struct Count(usize);
    /// impl Visitor for Count {
    ///     fn enter(&mut self, _: Node<'_>) -> Walk {
    ///         self.0 += 1;
    ///         Walk::Into
    ///     }
    /// }
    /// # let mut count = Count(0);
    /// # Context::new("server").report().visit(&mut count);
    /// # assert_eq!(count.0, 1);
    /// ```
    fn enter(&mut self, node: Node<'_>) -> Walk;

    /// Leaves a node that it went [`Into`](Walk::Into), after its children.
    ///
    /// ```
    /// # use tmempool::{Context, Node, Visitor, Walk};
    /// struct Names(Vec<String>);
    /// impl Visitor for Names {
    ///     fn enter(&mut self, _: Node<'_>) -> Walk {
    ///         Walk::Into
    ///     }
    ///     fn leave(&mut self, node: Node<'_>) {
    ///         self.0.push(node.name().into_owned());
    ///     }
    /// }
    /// # let mut names = Names(Vec::new());
    /// # let server = Context::new("server");
    /// # let request = server.child("request");
    /// # server.report().visit(&mut names);
    /// # assert_eq!(names.0, ["request", "server"]);
    /// ```
    fn leave(&mut self, node: Node<'_>) {
        let _ = node;
    }
}

/// Where a [`Visitor`] goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// To the children of the node.
    Into,
    /// On, without its children.
    Over,
    /// Nowhere.
    Stop,
}

/// A chunk in a [`Report`]: a context, a box, the memory of a collection, a block of values, or a reference.
///
/// ```
/// let server = tmempool::Context::new("server");
/// let buffer = server.boxed_named(c"buffer", [0u8; 100]);
/// let report = server.report();
/// let node = report.root().children().next().unwrap();
/// assert_eq!((node.name().as_ref(), node.size(), node.depth()), ("buffer", 100, 1));
/// ```
#[derive(Clone, Copy)]
pub struct Node<'r> {
    report: &'r Report,
    index: usize,
}

impl<'r> Node<'r> {
    fn entry(self) -> &'r Entry {
        &self.report.entries[self.index]
    }

    /// The name; of a reference, what it refers to. Where it is not UTF-8, the replacement character stands.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// assert_eq!(server.report().root().name(), "server");
    /// ```
    pub fn name(self) -> Cow<'r, str> {
        let start = self.index.checked_sub(1).map_or(0, |before| self.report.entries[before].name_end);
        std::string::String::from_utf8_lossy(&self.report.names[start..self.entry().name_end])
    }

    /// How deep it lies below the root of the report.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let request = server.child("request");
    /// let depths: Vec<_> = server.report().iter().map(|node| node.depth()).collect();
    /// assert_eq!(depths, [0, 1]);
    /// ```
    pub fn depth(self) -> usize {
        self.entry().depth as usize
    }

    /// Bytes of its own, without the header.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let buffer = server.boxed_named(c"buffer", [0u8; 100]);
    /// let report = server.report();
    /// assert_eq!(report.root().children().next().unwrap().size(), 100);
    /// ```
    pub fn size(self) -> usize {
        self.entry().size
    }

    /// Bytes in its tree, without headers; 0 for a reference.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let buffer = server.boxed_named(c"buffer", [0u8; 100]);
    /// let report = server.report();
    /// assert_eq!(report.root().total_size(), report.root().size() + 100);
    /// ```
    pub fn total_size(self) -> usize {
        self.entry().total_size
    }

    /// Chunks in its tree, itself included; 0 for a reference.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let buffer = server.boxed_named(c"buffer", [0u8; 100]);
    /// assert_eq!(server.report().root().total_blocks(), 2);
    /// ```
    pub fn total_blocks(self) -> usize {
        self.entry().total_blocks
    }

    /// How many references there are to it, or to what it refers to.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let other = tmempool::Context::new("other");
    /// let value = server.share(7);
    /// let theirs = other.reference(&value);
    /// assert_eq!(server.report().root().children().next().unwrap().references(), 1);
    /// ```
    pub fn references(self) -> usize {
        self.entry().references
    }

    /// Whether this is a reference: its name and size are those of what it keeps alive.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let other = tmempool::Context::new("other");
    /// let value = server.share(7);
    /// let theirs = other.reference(&value);
    /// assert!(other.report().root().children().next().unwrap().is_reference());
    /// ```
    pub fn is_reference(self) -> bool {
        self.entry().is_reference
    }

    /// The limit that was set on it.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// server.set_limit(10_000)?;
    /// assert_eq!(server.report().root().limit().unwrap().max, 10_000);
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    pub fn limit(self) -> Option<Limit> {
        self.entry().limit
    }

    /// Where its bytes lie: a number that tells it from others, and says nothing else.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let buffer = server.boxed_named(c"buffer", [0u8; 100]);
    /// let report = server.report();
    /// let node = report.root().children().next().unwrap();
    /// assert_eq!(node.address(), (&raw const *buffer).addr());
    /// ```
    pub fn address(self) -> usize {
        self.entry().address
    }

    /// What lies right below it, newest first.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let (a, b) = (server.child("a"), server.child("b"));
    /// let report = server.report();
    /// let names: Vec<_> = report.root().children().map(|child| child.name()).collect();
    /// assert_eq!(names, ["b", "a"]);
    /// ```
    pub fn children(self) -> impl Iterator<Item = Node<'r>> {
        let Node { report, index } = self;
        let end = self.entry().after;
        let within = move |index: usize| (index < end).then_some(Node { report, index });
        core::iter::successors(within(index + 1), move |node| within(node.entry().after))
    }
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.name())
            .field("size", &self.size())
            .field("total_size", &self.total_size())
            .field("total_blocks", &self.total_blocks())
            .finish_non_exhaustive()
    }
}

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
