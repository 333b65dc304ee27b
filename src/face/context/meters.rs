//! What a context counts: what it has, what it may have, and what it has had.

use super::Context;
use crate::error::AllocError;
use crate::face::kind::Kind;
use crate::ops;
use crate::tree::Limit;
use crate::tree::pool::Stats;

impl<K: Kind> Context<K> {
    /// Bytes in this context and all below, without headers: what is handed out, and the memory that waits
    /// for further values.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("parser");
    /// let before = ctx.total_size();
    /// ctx.alloc([0u8; 1000]);
    /// assert!(ctx.total_size() >= before + 1000);
    /// ```
    pub fn total_size(&self) -> usize {
        // SAFETY: alive, and this thread uses its tree.
        unsafe { ops::total_size(self.chunk()) }
    }

    /// How many chunks there are in the tree of this context: itself, the contexts below it, the memory of
    /// collections, named boxes, and the blocks that values and small boxes lie in.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("parser");
    /// assert_eq!(ctx.total_blocks(), 1);
    /// let buffer = ctx.boxed_named(c"buffer", [0u8; 100]);
    /// assert_eq!(ctx.total_blocks(), 2);
    /// ```
    pub fn total_blocks(&self) -> usize {
        // SAFETY: alive, and this thread uses its tree.
        unsafe { ops::total_blocks(self.chunk()) }
    }

    /// How many chunks lie right below this context.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("parser");
    /// let (a, b) = (ctx.child("a"), ctx.child("b"));
    /// assert_eq!(ctx.child_count(), 2);
    /// ```
    pub fn child_count(&self) -> usize {
        self.chunk().children().count()
    }

    /// How many values wait to be dropped with this context.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("parser");
    /// ctx.alloc(7); // nothing to drop
    /// ctx.alloc(String::from("mill"));
    /// assert_eq!(ctx.owned_values(), 1);
    /// ```
    pub fn owned_values(&self) -> usize {
        self.state.count()
    }

    /// Limits what this context and all below it may take, headers included, to `max` bytes. What lies
    /// below from now on is refused with [`AllocError::LimitReached`]; what is there stays. 0 is no limit.
    ///
    /// Limits nest. The members of a pool do not count; the pool does, with all its room.
    ///
    /// # Errors
    /// [`AllocError::OutOfMemory`]: nothing has changed.
    ///
    /// ```
    /// use tmempool::{AllocError, Context};
    ///
    /// let ctx = Context::new("request");
    /// ctx.set_limit(10_000)?;
    /// assert!(ctx.try_alloc([0u8; 1_000]).is_ok());
    /// assert_eq!(ctx.try_alloc([0u8; 20_000]).err(), Some(AllocError::LimitReached));
    /// # Ok::<(), AllocError>(())
    /// ```
    pub fn set_limit(&self, max: usize) -> Result<(), AllocError> {
        // SAFETY: alive, and this thread uses its tree.
        unsafe { ops::set_limit(self.chunk(), max) }
    }

    /// The limit that was set on this context itself: bytes that may be used, and that are.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("request");
    /// assert!(ctx.limit().is_none());
    /// ctx.set_limit(10_000)?;
    /// assert_eq!(ctx.limit().unwrap().max, 10_000);
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    pub fn limit(&self) -> Option<Limit> {
        self.chunk().limit()
    }
    /// From now on counts what is allocated and freed below this context: see [`stats`](Self::stats). What is there
    /// already counts as allocated once.
    ///
    /// # Errors
    /// [`AllocError::OutOfMemory`]: nothing has changed.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("parser");
    /// ctx.enable_stats()?;
    /// drop(ctx.boxed_named(c"buffer", [0u8; 1000]));
    /// let stats = ctx.stats().unwrap();
    /// assert_eq!((stats.current, stats.frees), (0, 1));
    /// assert_eq!(stats.peak, 1000);
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    pub fn enable_stats(&self) -> Result<(), AllocError> {
        // SAFETY: alive, and this thread uses its tree.
        unsafe { ops::enable_stats(self.chunk()) }
    }

    /// What was allocated and freed below this context, if it was [asked](Self::enable_stats) to count: chunks, as in
    /// [`total_blocks`](Self::total_blocks), and their bytes. A pool counts what it serves unasked.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("parser");
    /// assert!(ctx.stats().is_none());
    /// let pool = ctx.pool(64 << 10);
    /// let buffer = pool.boxed_named(c"buffer", [0u8; 1000]);
    /// assert_eq!(pool.stats().unwrap().current, 1000);
    /// ```
    pub fn stats(&self) -> Option<Stats> {
        // SAFETY: alive, and this thread uses its tree.
        unsafe { ops::stats(self.chunk()) }
    }
}
