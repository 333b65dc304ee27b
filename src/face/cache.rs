//! Caches of one type: fresh room for a value costs a few instructions, from any thread.

use core::ffi::CStr;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use super::context::{Context, or_panic};
use super::kind::Kind;
use super::state::LOCATION;
use super::unwind;
use crate::error::AllocError;
use crate::ops;
use crate::pools::cache::{self, CacheRef, Config, CreateError, Stats};
use crate::tree::Chunk;

/// A cache of room for values of type `T`, below a context.
///
/// Any thread may take from it and give back. It goes with its handle, or with its context.
///
/// ```
/// use tmempool::{Cache, Context};
///
/// struct Session {
///     user: String,
/// }
///
/// let server = Context::new("server");
/// let sessions: Cache<'_, Session> = server.cache("sessions");
/// let session = sessions.alloc(Session { user: "gretel".into() });
/// assert_eq!(session.user, "gretel");
/// drop(session); // its room waits for the next one
/// assert_eq!(sessions.stats().active, 0);
/// ```
pub struct Cache<'c, T> {
    cache: CacheRef,
    /// Gives room for a `T`, in memory that goes with a context that is borrowed.
    gives: PhantomData<(&'c (), *const T)>,
}

// SAFETY: a cache may be used by any number of threads at once (see `pools`); whether its values may go to
// another thread, `CacheBox` says. It is not Send, as its end changes its context's tree.
unsafe impl<T> Sync for Cache<'_, T> {}

/// A value in a [`Cache`]. Dropped, it gives its room back.
///
/// ```
/// let server = tmempool::Context::new("server");
/// let numbers = server.cache::<u64>("numbers");
/// let mut number = numbers.alloc(7);
/// *number += 1;
/// assert_eq!(*number, 8);
/// ```
pub struct CacheBox<'a, T> {
    value: NonNull<T>,
    cache: CacheRef,
    /// Owns a `T`, in room of a cache that is borrowed.
    owns: PhantomData<(&'a (), T)>,
}

// SAFETY: it owns its value, and a cache takes room back from any thread.
unsafe impl<T: Send> Send for CacheBox<'_, T> {}
// SAFETY: it gives references to its value, and nothing else.
unsafe impl<T: Sync> Sync for CacheBox<'_, T> {}

/// A name as the core wants it.
pub(super) fn c_name(name: &str) -> std::ffi::CString {
    let end = name.find('\0').unwrap_or(name.len());
    std::ffi::CString::new(&name[..end]).unwrap_or_default()
}

impl<K: Kind> Context<K> {
    /// A cache of room for values of type `T`, which reports show as `name`.
    ///
    /// # Panics
    /// If there is no memory: see [`try_cache`](Self::try_cache).
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let numbers = server.cache::<u64>("numbers");
    /// ```
    #[track_caller]
    pub fn cache<T>(&self, name: &str) -> Cache<'_, T> {
        or_panic(self.try_cache(name))
    }

    /// [`cache`](Self::cache), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`]; [`AllocError::TooLarge`] also for what is aligned to more than 64 KiB.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let numbers = server.try_cache::<u64>("numbers")?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    pub fn try_cache<T>(&self, name: &str) -> Result<Cache<'_, T>, AllocError> {
        Ok(Cache { cache: create::<T>(self.chunk(), &c_name(name))?, gives: PhantomData })
    }
}

/// A cache of room for values of type `T` below `parent`.
pub(super) fn create<T>(parent: Chunk, name: &CStr) -> Result<CacheRef, AllocError> {
    let config = Config { size: size_of::<T>().max(1), align: align_of::<T>().max(8), ..Config::default() };
    // SAFETY: the context is alive, and this thread uses its tree; there are no hooks.
    unsafe { cache::create(Some(parent), name, &config) }.map_err(|error| match error {
        CreateError::Memory(error) => error,
        _ => AllocError::TooLarge,
    })
}

/// Frees the chunk of something that lives in a tree, whatever of it is still out.
///
/// # Safety
/// Nobody uses it any more; this thread uses its tree.
pub(super) unsafe fn end(chunk: Chunk) {
    // SAFETY: the caller's.
    unsafe {
        let _ = unwind::resume_after(|| ops::free(chunk, LOCATION.as_ptr()));
    }
}

impl<T> Cache<'_, T> {
    /// `value` in room of the cache.
    ///
    /// # Panics
    /// If there is no memory: see [`try_alloc`](Self::try_alloc).
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let numbers = server.cache("numbers");
    /// let seven = numbers.alloc(7);
    /// assert_eq!(*seven, 7);
    /// ```
    #[inline]
    #[track_caller]
    pub fn alloc(&self, value: T) -> CacheBox<'_, T> {
        or_panic(self.try_alloc(value))
    }

    /// [`alloc`](Self::alloc), for those who can go on without. Without memory the value is dropped.
    ///
    /// # Errors
    /// [`AllocError::OutOfMemory`].
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let numbers = server.cache("numbers");
    /// let seven = numbers.try_alloc(7)?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    #[inline]
    pub fn try_alloc(&self, value: T) -> Result<CacheBox<'_, T>, AllocError> {
        let at = self.cache.alloc().ok_or(AllocError::OutOfMemory)?.cast::<T>();
        // SAFETY: room for a T, aligned for it, which nobody else has.
        unsafe { at.write(value) };
        Ok(CacheBox { value: at, cache: self.cache, owns: PhantomData })
    }

    /// What the cache has, and has done.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let numbers = server.cache::<u64>("numbers");
    /// let seven = numbers.alloc(7);
    /// assert_eq!(numbers.stats().active, 1);
    /// ```
    pub fn stats(&self) -> Stats {
        self.cache.stats()
    }

    /// Gives back what memory holds no value. Returns how many bytes that was.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let numbers = server.cache::<u64>("numbers");
    /// drop(numbers.alloc(7));
    /// numbers.shrink();
    /// ```
    pub fn shrink(&self) -> usize {
        self.cache.shrink()
    }
}

impl<T> Drop for Cache<'_, T> {
    fn drop(&mut self) {
        // SAFETY: nobody borrows the cache: what is still out was leaked.
        unsafe { end(self.cache.chunk()) };
    }
}

impl<T> fmt::Debug for Cache<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cache").field(&self.stats()).finish()
    }
}

impl<T> CacheBox<'_, T> {
    /// The value, out of its room.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let names = server.cache("names");
    /// let name: String = names.alloc(String::from("gretel")).into_inner();
    /// ```
    pub fn into_inner(self) -> T {
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: the value is read once, and its room then given back.
        unsafe {
            let value = this.value.read();
            let _ = this.cache.free(this.value.cast());
            value
        }
    }
}

impl<T> Drop for CacheBox<'_, T> {
    #[inline]
    fn drop(&mut self) {
        /// Gives the room back, even when the value's drop panics.
        struct Room<T>(CacheRef, NonNull<T>);
        impl<T> Drop for Room<T> {
            #[inline]
            fn drop(&mut self) {
                // SAFETY: taken from this cache, which is borrowed; the value has been dropped.
                let given = unsafe { self.0.free(self.1.cast()) };
                debug_assert!(given.is_ok(), "{given:?}");
            }
        }
        let room = Room(self.cache, self.value);
        // SAFETY: the box owns its value, and is gone after this.
        unsafe { room.1.drop_in_place() };
    }
}

impl<T> Deref for CacheBox<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the box owns a live value.
        unsafe { self.value.as_ref() }
    }
}

impl<T> DerefMut for CacheBox<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the box owns a live value.
        unsafe { self.value.as_mut() }
    }
}

impl<T: fmt::Debug> fmt::Debug for CacheBox<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
