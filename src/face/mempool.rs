//! Guaranteed reserves of one type: room for so many values, whatever becomes of the memory.

use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::time::Duration;

use super::cache::{c_name, create, end};
use super::context::{Context, or_panic};
use super::kind::Kind;
use crate::error::AllocError;
use crate::pools::cache::CacheRef;
use crate::pools::mempool::{self, Failure, MempoolRef, Patience, SizeError, Source};

/// A reserve of room for at least so many values of type `T`, below a context.
///
/// Who has one value, and asks for no second one until it is gone, always gets it in the end. Any thread may
/// take from it and give back.
///
/// ```
/// use tmempool::{Context, Mempool};
///
/// let server = Context::new("server");
/// let writes: Mempool<'_, [u8; 512]> = server.mempool("writes", 4);
/// let write = writes.alloc([0; 512]);
/// assert_eq!(write.len(), 512);
/// ```
pub struct Mempool<'c, T> {
    pool: MempoolRef,
    cache: CacheRef,
    /// Gives room for a `T`, in memory that goes with a context that is borrowed.
    gives: PhantomData<(&'c (), *const T)>,
}

// SAFETY: a mempool may be used by any number of threads at once (see `pools`); whether its values may go to
// another thread, `MempoolBox` says. It is not Send, as its end changes its context's tree.
unsafe impl<T> Sync for Mempool<'_, T> {}

/// A value in a [`Mempool`]. Dropped, it gives its room to the first that waits for some.
///
/// ```
/// let server = tmempool::Context::new("server");
/// let numbers = server.mempool::<u64>("numbers", 2);
/// let mut number = numbers.alloc(7);
/// *number += 1;
/// assert_eq!(*number, 8);
/// ```
pub struct MempoolBox<'a, T> {
    value: NonNull<T>,
    pool: MempoolRef,
    /// Owns a `T`, in room of a pool that is borrowed.
    owns: PhantomData<(&'a (), T)>,
}

// SAFETY: it owns its value, and a mempool takes room back from any thread.
unsafe impl<T: Send> Send for MempoolBox<'_, T> {}
// SAFETY: it gives references to its value, and nothing else.
unsafe impl<T: Sync> Sync for MempoolBox<'_, T> {}

impl<K: Kind> Context<K> {
    /// A reserve of room for `min` values of type `T`, at least one, which reports show as `name`.
    ///
    /// # Panics
    /// If there is no memory: see [`try_mempool`](Self::try_mempool).
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let writes = server.mempool::<[u8; 512]>("writes", 4);
    /// ```
    #[track_caller]
    pub fn mempool<T>(&self, name: &str, min: usize) -> Mempool<'_, T> {
        or_panic(self.try_mempool(name, min))
    }

    /// [`mempool`](Self::mempool), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let writes = server.try_mempool::<[u8; 512]>("writes", 4)?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    pub fn try_mempool<T>(&self, name: &str, min: usize) -> Result<Mempool<'_, T>, AllocError> {
        let name = c_name(name);
        let cache = create::<T>(self.chunk(), &name)?;
        // SAFETY: the context is alive, and this thread uses its tree.
        match unsafe { mempool::create(Some(self.chunk()), &name, min.max(1), Source::Cache(cache)) } {
            Ok(pool) => Ok(Mempool { pool, cache, gives: PhantomData }),
            Err(error) => {
                // SAFETY: nobody has seen the cache.
                unsafe { end(cache.chunk()) };
                Err(match error {
                    SizeError::Memory(error) => error,
                    _ => AllocError::OutOfMemory,
                })
            }
        }
    }
}

impl<T> Mempool<'_, T> {
    fn take(&self, patience: Patience, value: T) -> Result<MempoolBox<'_, T>, (T, Failure)> {
        match self.pool.alloc(patience) {
            Ok(element) => {
                let at = element.cast::<T>();
                // SAFETY: room for a T, aligned for it, which nobody else has.
                unsafe { at.write(value) };
                Ok(MempoolBox { value: at, pool: self.pool, owns: PhantomData })
            }
            Err(failure) => Err((value, failure)),
        }
    }

    /// `value` in room of the pool. Waits, if there is none, until some comes back.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let numbers = server.mempool("numbers", 2);
    /// let seven = numbers.alloc(7);
    /// ```
    pub fn alloc(&self, value: T) -> MempoolBox<'_, T> {
        match self.take(Patience::Endless, value) {
            Ok(taken) => taken,
            // It ends only when nobody borrows it.
            Err((_, failure)) => panic!("tmempool: a mempool that is in use gave {failure:?}"),
        }
    }

    /// `value` in room of the pool, if there is some.
    ///
    /// # Errors
    /// The value.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let numbers = server.mempool("numbers", 2);
    /// let seven = numbers.try_alloc(7).expect("one of two");
    /// ```
    pub fn try_alloc(&self, value: T) -> Result<MempoolBox<'_, T>, T> {
        self.take(Patience::None, value).map_err(|(value, _)| value)
    }

    /// `value` in room of the pool, if there is some within `time`.
    ///
    /// # Errors
    /// The value.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let server = tmempool::Context::new("server");
    /// let numbers = server.mempool("numbers", 2);
    /// let seven = numbers.alloc_timeout(7, Duration::from_millis(5)).expect("one of two");
    /// ```
    pub fn alloc_timeout(&self, value: T, time: Duration) -> Result<MempoolBox<'_, T>, T> {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.take(Patience::Nanoseconds(nanoseconds), value).map_err(|(value, _)| value)
    }

    /// How many values there are in its room now.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let numbers = server.mempool("numbers", 2);
    /// let seven = numbers.alloc(7);
    /// assert_eq!(numbers.in_use(), 1);
    /// ```
    pub fn in_use(&self) -> usize {
        self.pool.in_use()
    }

    /// For how many values there is always room.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// assert_eq!(server.mempool::<u64>("numbers", 2).min(), 2);
    /// ```
    pub fn min(&self) -> usize {
        self.pool.min()
    }
}

impl<T> Drop for Mempool<'_, T> {
    fn drop(&mut self) {
        // SAFETY: nobody borrows the pool: what is still out was leaked. The pool goes before its source.
        unsafe {
            end(self.pool.chunk());
            end(self.cache.chunk());
        }
    }
}

impl<T> fmt::Debug for Mempool<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mempool").field("min", &self.min()).field("in_use", &self.in_use()).finish()
    }
}

impl<T> Drop for MempoolBox<'_, T> {
    fn drop(&mut self) {
        /// Gives the room back, even when the value's drop panics.
        struct Room<T>(MempoolRef, NonNull<T>);
        impl<T> Drop for Room<T> {
            fn drop(&mut self) {
                // SAFETY: taken from this pool, which is borrowed; the value has been dropped.
                let given = unsafe { self.0.free(self.1.cast()) };
                debug_assert!(given.is_ok(), "{given:?}");
            }
        }
        let room = Room(self.pool, self.value);
        // SAFETY: the box owns its value, and is gone after this.
        unsafe { room.1.drop_in_place() };
    }
}

impl<T> Deref for MempoolBox<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the box owns a live value.
        unsafe { self.value.as_ref() }
    }
}

impl<T> DerefMut for MempoolBox<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the box owns a live value.
        unsafe { self.value.as_mut() }
    }
}

impl<T: fmt::Debug> fmt::Debug for MempoolBox<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
