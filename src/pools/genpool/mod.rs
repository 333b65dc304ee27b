//! Managed ranges: an allocator of addresses in memory that the user brings, and that is never touched.
//! What `gen_pool` is in the kernel.
//!
//! A pool has any number of ranges, of whole granules of `1 << order` bytes. All that is known of them is
//! kept outside (`map`: what is taken; `ledger`: by whom), 4 bits a granule. An allocation lies in one
//! range. Ranges are asked in the order in which they were added.
//!
//! **Algorithms mix.** All work on the same map, and each call may choose its own. A buddy block is a run
//! of free granules of a power of two at a multiple of its size in the address space; nothing else marks it.
//! So blocks merge by being free side by side, and what another algorithm has taken is to the buddies just
//! a piece that is not free. What each allocation holds is in the ledger, whichever algorithm found the
//! place, so that a free need not name it.
//!
//! ```text
//! bits     words and the bits in them
//! summary  what is free in a stretch
//! map      which granules are taken, under summaries            plain arithmetic,
//! fit      the algorithms: a place in a map                     no unsafe code
//! ledger   where allocations start and end
//! range    a range with its map and ledger
//! ranges   all of a pool: which range it is to be
//! errors   why something was refused
//! ```

mod bits;
mod errors;
mod fit;
mod ledger;
mod lengths;
mod map;
#[cfg(test)]
mod model;
mod range;
mod ranges;
mod summary;
#[cfg(test)]
mod testing;

use core::cell::UnsafeCell;
use core::ptr;

pub use self::errors::{AddError, PlaceError, ReleaseError};
use self::fit::Request;
use self::range::Range;
use self::ranges::Ranges;
use super::resident::{Kind, Resident};
use crate::process;
use crate::tree::pool::Stats;

/// Where a pool puts what it is asked for.
///
/// ```
/// use tmempool::{Algo, Context};
///
/// let device = Context::new("device");
/// let buffers = device.genpool("buffers", 12);
/// buffers.add(0x8000_0000, 1 << 20).unwrap();
/// buffers.set_algo(Algo::Buddy);
/// let block = buffers.alloc(3 << 12).unwrap();
/// assert_eq!(block % (4 << 12), 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algo {
    /// The first free run that is long enough.
    #[default]
    FirstFit,
    /// The shortest run that is long enough.
    BestFit,
    /// The longest run.
    WorstFit,
    /// The first run behind the last allocation that was made this way, and from the start after the end.
    NextFit,
    /// The first run that is long enough behind a multiple of the alignment.
    FirstFitAlign,
    /// The first run that is long enough behind a multiple of the size, rounded up to a power of two.
    FirstFitOrderAlign,
    /// The smallest free block of a power of two, at a multiple of its size, halved until it is just large
    /// enough.
    Buddy,
}

/// A range as its user sees it.
///
/// ```
/// use tmempool::{Context, RangeInfo};
///
/// let device = Context::new("device");
/// let buffers = device.genpool("buffers", 12);
/// buffers.add(0x8000_0000, 8 << 12).unwrap();
/// buffers.alloc(1).unwrap();
/// let range = RangeInfo { start: 0x8000_0000, size: 8 << 12, avail: 7 << 12 };
/// assert_eq!(buffers.range(0), Some(range));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeInfo {
    /// The first address.
    pub start: usize,
    /// Bytes in all.
    pub size: usize,
    /// Bytes that are free.
    pub avail: usize,
}

/// A pool of ranges. See the module. All of it may be called from any thread, once it is a resident.
#[derive(Debug)]
pub struct GenPool {
    order: u32,
    /// Touched under the lock of the pool.
    ranges: UnsafeCell<Ranges>,
}

// SAFETY: `ranges` is touched only under the lock.
unsafe impl Sync for GenPool {}

impl GenPool {
    /// A pool of no ranges, in granules of `1 << order` bytes; `None` where there is no such number.
    pub fn new(order: u32) -> Option<GenPool> {
        let ranges = Ranges::new(order);
        (order < usize::BITS).then_some(GenPool { order, ranges: UnsafeCell::new(ranges) })
    }

    /// Runs `f` under the lock, which the pool's address leads to. It runs no foreign code.
    fn with<R>(&self, f: impl FnOnce(&mut Ranges) -> R) -> R {
        let _held = process::resident_lock(ptr::from_ref(self).addr()).hold();
        // SAFETY: the lock is held, and `f` does not come back here.
        f(unsafe { &mut *self.ranges.get() })
    }

    /// Adds `size` bytes from `start` on, which are never touched.
    ///
    /// # Errors
    /// [`AddError`]; nothing has changed then.
    pub fn add(&self, start: usize, size: usize) -> Result<(), AddError> {
        // The books are made before the lock is taken: they may be large.
        let range = Range::new(start, size, self.order)?;
        self.with(|ranges| ranges.add(range))
    }

    /// An address at which `size` bytes are the caller's until they are [given back](GenPool::release),
    /// by the algorithm of the pool.
    ///
    /// # Errors
    /// [`PlaceError`].
    #[inline]
    pub fn alloc(&self, size: usize) -> Result<usize, PlaceError> {
        self.alloc_by(None, size, 1)
    }

    /// [`alloc`](GenPool::alloc) by an algorithm of the caller's choice, at a multiple of `align` bytes, a power of
    /// two; 0 is 1.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn alloc_algo(&self, size: usize, algo: Algo, align: usize) -> Result<usize, PlaceError> {
        self.alloc_by(Some(algo), size, align)
    }

    fn alloc_by(&self, algo: Option<Algo>, size: usize, align: usize) -> Result<usize, PlaceError> {
        let align = align.max(1);
        if !align.is_power_of_two() {
            return Err(PlaceError::BadAlignment);
        }
        let granules = self.granules(size).ok_or(PlaceError::ZeroSize)?;
        let request = Request { granules, align: (align >> self.order).max(1) };
        self.with(|ranges| ranges.alloc(algo, request)).ok_or(PlaceError::NoRoom)
    }

    /// Takes the `size` bytes at `at`.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn alloc_fixed(&self, at: usize, size: usize) -> Result<(), PlaceError> {
        let granules = self.granules(size).ok_or(PlaceError::ZeroSize)?;
        if at.trailing_zeros() < self.order {
            return Err(PlaceError::BadPlace);
        }
        self.with(|ranges| ranges.alloc_fixed(at, size, granules))
    }

    /// Gives back the allocation of `size` bytes at `address`. The size is the one that was asked for, or
    /// one that is as many granules.
    ///
    /// # Errors
    /// [`ReleaseError`]; nothing has changed then.
    pub fn release(&self, address: usize, size: usize) -> Result<(), ReleaseError> {
        let granules = self.granules(size).unwrap_or(0);
        self.with(|ranges| ranges.release(address, granules))
    }

    /// Sets what [`alloc`](GenPool::alloc) does from now on.
    pub fn set_algo(&self, algo: Algo) {
        self.with(|ranges| ranges.set_algo(algo));
    }

    /// Bytes that are free.
    pub fn avail(&self) -> usize {
        self.with(|ranges| ranges.avail)
    }

    /// Bytes of all ranges.
    pub fn size(&self) -> usize {
        self.with(|ranges| ranges.size)
    }

    /// Whether `size` bytes at `address` lie in one range of the pool, free or not; 0 asks for the address
    /// alone.
    pub fn has_addr(&self, address: usize, size: usize) -> bool {
        self.with(|ranges| ranges.has(address, size))
    }

    /// The range that was added after `index` others.
    pub fn range(&self, index: usize) -> Option<RangeInfo> {
        self.with(|ranges| ranges.info(index))
    }

    /// How many allocations are out, and how many bytes they hold.
    pub fn in_use(&self) -> (usize, usize) {
        self.with(|ranges| (ranges.out(), ranges.stats.current))
    }

    /// What was allocated and given back, in bytes of whole granules, and how often there was no room.
    pub fn stats(&self) -> Stats {
        self.with(|ranges| ranges.stats)
    }

    /// Granules for `size` bytes; `None` for none.
    fn granules(&self, size: usize) -> Option<usize> {
        size.checked_sub(1).map(|rest| (rest >> self.order) + 1)
    }
}

impl Resident for GenPool {
    const KIND: Kind = Kind::Genpool;

    /// The books are dropped with the state.
    fn end(&self) -> usize {
        self.in_use().0
    }
}
