//! A node of a report: a chunk as it was when the report was made.

use core::fmt;
use std::borrow::Cow;

use super::{Entry, Report};
use crate::tree::Limit;

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
    pub(super) report: &'r Report,
    pub(super) index: usize,
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
