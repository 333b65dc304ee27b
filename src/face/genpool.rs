//! Managed ranges below a context.

use core::marker::PhantomData;

use super::cache::{c_name, end};
use super::context::{Context, or_panic};
use super::kind::Kind;
use crate::error::AllocError;
use crate::pools::genpool::{self, AddError, Algo, PlaceError, RangeInfo, ReleaseError};
use crate::pools::resident::ResidentRef;
use crate::tree::pool::Stats;

/// An allocator of addresses in ranges that the user brings, and that are never touched: device memory, a file, a
/// buffer on the other side of a socket.
///
/// It gives out numbers, so that everything about it is safe but what the user does at those addresses. Any thread may
/// use it.
///
/// ```
/// use tmempool::{Algo, Context, GenPool};
///
/// let device = Context::new("device");
/// let buffers: GenPool<'_> = device.genpool("buffers", 12); // pages
/// buffers.add(0x8000_0000, 1 << 20).unwrap();
/// let at = buffers.alloc(3 << 12).unwrap();
/// assert_eq!(at % 4096, 0);
/// let block = buffers.alloc_algo(1 << 16, Algo::BestFit, 1 << 16).unwrap();
/// assert_eq!(block % (1 << 16), 0);
/// buffers.release(at, 3 << 12).unwrap();
/// assert_eq!(buffers.avail(), (1 << 20) - (1 << 16));
/// ```
#[derive(Debug)]
pub struct GenPool<'c> {
    pool: ResidentRef<genpool::GenPool>,
    context: PhantomData<(&'c (), *const ())>,
}

// SAFETY: a managed range may be used by any number of threads at once (see `pools`). It is not Send, as its end
// changes its context's tree.
unsafe impl Sync for GenPool<'_> {}

impl<K: Kind> Context<K> {
    /// Managed ranges, of granules of `1 << order` bytes, which reports show as `name`.
    ///
    /// # Panics
    /// If there is no memory, or no such number: see [`try_genpool`](Self::try_genpool).
    ///
    /// ```
    /// let device = tmempool::Context::new("device");
    /// let buffers = device.genpool("buffers", 12);
    /// assert_eq!(buffers.size(), 0);
    /// ```
    #[track_caller]
    pub fn genpool(&self, name: &str, order: u32) -> GenPool<'_> {
        or_panic(self.try_genpool(name, order))
    }

    /// [`genpool`](Self::genpool), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`]; [`AllocError::TooLarge`] for an `order` that is no number of bits in an address.
    ///
    /// ```
    /// let device = tmempool::Context::new("device");
    /// assert!(device.try_genpool("buffers", 12).is_ok());
    /// assert!(device.try_genpool("buffers", 64).is_err());
    /// ```
    pub fn try_genpool(&self, name: &str, order: u32) -> Result<GenPool<'_>, AllocError> {
        let pool = genpool::GenPool::new(order).ok_or(AllocError::TooLarge)?;
        // SAFETY: the context is alive, and this thread uses its tree.
        let pool = unsafe { ResidentRef::create(Some(self.chunk()), &c_name(name), pool)? };
        Ok(GenPool { pool, context: PhantomData })
    }
}

impl GenPool<'_> {
    /// Adds `size` bytes from `start` on, which are never touched.
    ///
    /// # Errors
    /// [`AddError`]; nothing has changed then.
    ///
    /// ```
    /// use tmempool::AddError;
    ///
    /// let device = tmempool::Context::new("device");
    /// let buffers = device.genpool("buffers", 12);
    /// assert!(buffers.add(0x8000_0000, 1 << 20).is_ok());
    /// assert_eq!(buffers.add(0x8000_1000, 1 << 20), Err(AddError::Overlaps));
    /// ```
    pub fn add(&self, start: usize, size: usize) -> Result<(), AddError> {
        self.pool.add(start, size)
    }

    /// An address at which `size` bytes are the caller's until they are [given back](Self::release), by the algorithm
    /// of the pool.
    ///
    /// # Errors
    /// [`PlaceError`].
    ///
    /// ```
    /// # let device = tmempool::Context::new("device");
    /// # let buffers = device.genpool("buffers", 12);
    /// buffers.add(0x8000_0000, 1 << 20).unwrap();
    /// assert_eq!(buffers.alloc(100), Ok(0x8000_0000));
    /// assert_eq!(buffers.alloc(100), Ok(0x8000_1000));
    /// ```
    #[inline]
    pub fn alloc(&self, size: usize) -> Result<usize, PlaceError> {
        self.pool.alloc(size)
    }

    /// [`alloc`](Self::alloc) by an algorithm of the caller's choice, at a multiple of `align` bytes, a power of two;
    /// 0 is 1.
    ///
    /// # Errors
    /// [`PlaceError`].
    ///
    /// ```
    /// # use tmempool::{Algo, PlaceError};
    /// # let device = tmempool::Context::new("device");
    /// # let buffers = device.genpool("buffers", 12);
    /// buffers.add(0x8000_1000, 1 << 20).unwrap();
    /// assert_eq!(buffers.alloc_algo(100, Algo::FirstFitAlign, 1 << 14), Ok(0x8000_4000));
    /// assert_eq!(buffers.alloc_algo(100, Algo::FirstFit, 3), Err(PlaceError::BadAlignment));
    /// ```
    pub fn alloc_algo(&self, size: usize, algo: Algo, align: usize) -> Result<usize, PlaceError> {
        self.pool.alloc_algo(size, algo, align)
    }

    /// Takes the `size` bytes at `at`.
    ///
    /// # Errors
    /// [`PlaceError`].
    ///
    /// ```
    /// # use tmempool::PlaceError;
    /// # let device = tmempool::Context::new("device");
    /// # let buffers = device.genpool("buffers", 12);
    /// buffers.add(0x8000_0000, 1 << 20).unwrap();
    /// assert!(buffers.alloc_fixed(0x8000_2000, 4096).is_ok());
    /// assert_eq!(buffers.alloc_fixed(0x8000_2000, 4096), Err(PlaceError::NoRoom));
    /// ```
    pub fn alloc_fixed(&self, at: usize, size: usize) -> Result<(), PlaceError> {
        self.pool.alloc_fixed(at, size)
    }

    /// Gives back the allocation of `size` bytes at `address`. The size is the one that was asked for, or one that is
    /// as many granules.
    ///
    /// # Errors
    /// [`ReleaseError`]; nothing has changed then.
    ///
    /// ```
    /// # use tmempool::ReleaseError;
    /// # let device = tmempool::Context::new("device");
    /// # let buffers = device.genpool("buffers", 12);
    /// # buffers.add(0x8000_0000, 1 << 20).unwrap();
    /// let at = buffers.alloc(100).unwrap();
    /// assert!(buffers.release(at, 100).is_ok());
    /// assert_eq!(buffers.release(at, 100), Err(ReleaseError::Free));
    /// ```
    pub fn release(&self, address: usize, size: usize) -> Result<(), ReleaseError> {
        self.pool.release(address, size)
    }

    /// Sets what [`alloc`](Self::alloc) does from now on.
    ///
    /// ```
    /// # use tmempool::Algo;
    /// # let device = tmempool::Context::new("device");
    /// # let buffers = device.genpool("buffers", 12);
    /// buffers.set_algo(Algo::NextFit);
    /// ```
    pub fn set_algo(&self, algo: Algo) {
        self.pool.set_algo(algo);
    }

    /// Bytes that are free.
    ///
    /// ```
    /// # let device = tmempool::Context::new("device");
    /// # let buffers = device.genpool("buffers", 12);
    /// # buffers.add(0x8000_0000, 1 << 20).unwrap();
    /// buffers.alloc(1).unwrap();
    /// assert_eq!(buffers.avail(), (1 << 20) - 4096);
    /// ```
    pub fn avail(&self) -> usize {
        self.pool.avail()
    }

    /// Bytes of all ranges.
    ///
    /// ```
    /// # let device = tmempool::Context::new("device");
    /// # let buffers = device.genpool("buffers", 12);
    /// buffers.add(0x8000_0000, 1 << 20).unwrap();
    /// assert_eq!(buffers.size(), 1 << 20);
    /// ```
    pub fn size(&self) -> usize {
        self.pool.size()
    }

    /// Whether `size` bytes at `address` lie in one range of the pool, free or not; 0 asks for the address alone.
    ///
    /// ```
    /// # let device = tmempool::Context::new("device");
    /// # let buffers = device.genpool("buffers", 12);
    /// buffers.add(0x8000_0000, 1 << 20).unwrap();
    /// assert!(buffers.has_addr(0x8000_0000, 4096));
    /// assert!(!buffers.has_addr(0x8000_0000, 1 << 21));
    /// ```
    pub fn has_addr(&self, address: usize, size: usize) -> bool {
        self.pool.has_addr(address, size)
    }

    /// The range that was added after `index` others.
    ///
    /// ```
    /// # let device = tmempool::Context::new("device");
    /// # let buffers = device.genpool("buffers", 12);
    /// buffers.add(0x8000_0000, 1 << 20).unwrap();
    /// assert_eq!(buffers.range(0).unwrap().start, 0x8000_0000);
    /// assert!(buffers.range(1).is_none());
    /// ```
    pub fn range(&self, index: usize) -> Option<RangeInfo> {
        self.pool.range(index)
    }

    /// How many allocations are out, and how many bytes they hold.
    ///
    /// ```
    /// # let device = tmempool::Context::new("device");
    /// # let buffers = device.genpool("buffers", 12);
    /// # buffers.add(0x8000_0000, 1 << 20).unwrap();
    /// buffers.alloc(5000).unwrap();
    /// assert_eq!(buffers.in_use(), (1, 8192));
    /// ```
    pub fn in_use(&self) -> (usize, usize) {
        self.pool.in_use()
    }

    /// What was allocated and given back, in bytes of whole granules, and how often there was no room.
    ///
    /// ```
    /// # let device = tmempool::Context::new("device");
    /// # let buffers = device.genpool("buffers", 12);
    /// # buffers.add(0x8000_0000, 1 << 20).unwrap();
    /// assert!(buffers.alloc(1 << 21).is_err());
    /// assert_eq!(buffers.stats().failures, 1);
    /// ```
    pub fn stats(&self) -> Stats {
        self.pool.stats()
    }
}

impl Drop for GenPool<'_> {
    fn drop(&mut self) {
        // SAFETY: nobody borrows the pool.
        unsafe { end(self.pool.chunk()) };
    }
}
