//! The tally of a pool: what it has served, kept as it goes, so that any pool can be asked.
//!
//! The peak is looked at only when something goes, which is when it has been reached.

use core::cell::Cell;

/// What was allocated and freed somewhere. Bytes are those of payloads, as they were asked for.
///
/// ```
/// let ctx = tmempool::Context::new("parser");
/// let pool = ctx.pool(64 << 10);
/// drop(pool.boxed_named(c"buffer", [0u8; 1000]));
/// let stats = pool.stats().unwrap();
/// assert_eq!((stats.allocations, stats.frees, stats.peak), (1, 1, 1000));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes allocated in all; what a realloc adds is part of it.
    pub total: usize,
    /// Bytes allocated now.
    pub current: usize,
    /// The most that `current` has been.
    pub peak: usize,
    /// How many chunks were allocated; each piece of a pool's bare bytes (`tm_palloc()`) is one more.
    pub allocations: usize,
    /// How many of these are gone.
    pub frees: usize,
    /// How many allocations were refused.
    pub failures: usize,
}

/// See the module. The two words that each allocation counts do not lie side by side: a compiler would count them as one
/// vector, and the next allocation waits longer for one to be stored and read again than for two words.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Tally {
    /// Bytes served.
    total: Cell<usize>,
    /// Bare bytes that there are, as they were asked for. They are no part of `total` yet.
    bare_bytes: Cell<usize>,
    /// How many members were served.
    served: Cell<usize>,
    /// In how many allocations there are bare bytes. They are no part of `served` yet.
    bare: Cell<usize>,
    /// Bytes that came back.
    returned: Cell<usize>,
    /// The most that `total` was beyond that, bare bytes included, as far as it has been looked at.
    peak: Cell<usize>,
    failures: Cell<usize>,
}

impl Tally {
    pub(super) fn new() -> Tally {
        Tally {
            total: Cell::new(0),
            bare_bytes: Cell::new(0),
            served: Cell::new(0),
            bare: Cell::new(0),
            returned: Cell::new(0),
            peak: Cell::new(0),
            failures: Cell::new(0),
        }
    }

    /// A member of `size` bytes was served.
    #[inline(always)]
    pub(super) fn add(&self, size: usize) {
        self.served.set(self.served.get() + 1);
        self.total.set(self.total.get() + size);
    }

    /// A member of `size` bytes comes back.
    #[inline(always)]
    pub(super) fn remove(&self, size: usize) {
        self.look();
        self.returned.set(self.returned.get() + size);
    }

    /// A member is longer by so many bytes.
    #[inline(always)]
    pub(super) fn grow(&self, bytes: usize) {
        self.total.set(self.total.get() + bytes);
    }

    /// A member of `old` bytes has `new`.
    pub(super) fn resize(&self, old: usize, new: usize) {
        self.look();
        self.total.set(self.total.get() + new.saturating_sub(old));
        self.returned.set(self.returned.get() + old.saturating_sub(new));
    }

    /// `size` bare bytes were served.
    #[inline(always)]
    pub(super) fn add_bare(&self, size: usize) {
        self.bare_bytes.set(self.bare_bytes.get() + size);
        self.bare.set(self.bare.get() + 1);
    }

    /// They were not, after all.
    pub(super) fn take_back_bare(&self, size: usize) {
        self.bare_bytes.set(self.bare_bytes.get() - size);
        self.bare.set(self.bare.get() - 1);
    }

    /// All bare bytes have come back.
    pub(super) fn remove_bare(&self) {
        self.look();
        let bytes = self.bare_bytes.take();
        self.total.set(self.total.get() + bytes);
        self.returned.set(self.returned.get() + bytes);
        self.served.set(self.served.get() + self.bare.take());
    }

    /// What there is of bare bytes: how many, in how many allocations.
    pub(super) fn bare(&self) -> (usize, usize) {
        (self.bare_bytes.get(), self.bare.get())
    }

    /// All members, and all bare bytes, have come back at once.
    pub(super) fn remove_all(&self) {
        self.remove_bare();
        self.returned.set(self.total.get());
    }

    /// A member of `size` bytes has stayed when all others came back.
    pub(super) fn keep(&self, size: usize) {
        self.returned.set(self.returned.get() - size);
    }

    /// A member was refused.
    pub(super) fn fail(&self) {
        self.failures.set(self.failures.get() + 1);
    }

    #[inline(always)]
    fn look(&self) {
        let current = self.current();
        if current > self.peak.get() {
            self.peak.set(current);
        }
    }

    /// Bytes that there are now.
    #[inline(always)]
    pub(super) fn current(&self) -> usize {
        self.total.get() - self.returned.get() + self.bare_bytes.get()
    }

    /// The tally, of which `live` members are alive.
    pub(super) fn stats(&self, live: usize) -> Stats {
        self.look();
        Stats {
            total: self.total.get() + self.bare_bytes.get(),
            current: self.current(),
            peak: self.peak.get(),
            allocations: self.served.get() + self.bare.get(),
            frees: self.served.get() - live,
            failures: self.failures.get(),
        }
    }
}
