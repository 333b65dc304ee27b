//! Managed ranges below a context.

use core::marker::PhantomData;
use core::ops::Deref;

use super::cache::{c_name, end};
use super::context::{Context, or_panic};
use super::kind::Kind;
use crate::error::AllocError;
use crate::pools::genpool;
use crate::pools::resident::ResidentRef;

/// An allocator of addresses in ranges that the user brings, and that are never touched: device memory, a file, a
/// buffer on the other side of a socket.
///
/// It gives out numbers, so that everything about it is safe but what the user does at those addresses. Its
/// operations are those of the [core's](genpool::GenPool). Any thread may use it.
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

impl Deref for GenPool<'_> {
    type Target = genpool::GenPool;

    fn deref(&self) -> &genpool::GenPool {
        &self.pool
    }
}

impl Drop for GenPool<'_> {
    fn drop(&mut self) {
        // SAFETY: nobody borrows the pool.
        unsafe { end(self.pool.chunk()) };
    }
}
