//! A visitor goes over a report, parents before their children, and is told when it leaves them.

use std::vec::Vec;

use super::{Node, Report};

/// Goes over a [`Report`]: see [`Report::visit`].
///
/// ```
/// use tmempool::{Context, Node, Visitor, Walk};
///
/// /// The deepest node.
/// struct Depth(usize);
/// impl Visitor for Depth {
///     fn enter(&mut self, node: Node<'_>) -> Walk {
///         self.0 = self.0.max(node.depth());
///         Walk::Into
///     }
/// }
/// let server = Context::new("server");
/// let request = server.child("request");
/// let mut depth = Depth(0);
/// server.report().visit(&mut depth);
/// assert_eq!(depth.0, 1);
/// ```
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
///
/// ```
/// use tmempool::{Context, Node, Visitor, Walk};
///
/// /// Looks for a name.
/// struct Find(&'static str, bool);
/// impl Visitor for Find {
///     fn enter(&mut self, node: Node<'_>) -> Walk {
///         self.1 |= node.name() == self.0;
///         if self.1 { Walk::Stop } else { Walk::Into }
///     }
/// }
/// let server = Context::new("server");
/// let request = server.child("request");
/// let mut find = Find("request", false);
/// server.report().visit(&mut find);
/// assert!(find.1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// To the children of the node.
    Into,
    /// On, without its children.
    Over,
    /// Nowhere.
    Stop,
}

impl Report {
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
