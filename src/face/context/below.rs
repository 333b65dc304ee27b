//! What lies below a context: further contexts, with room of their own or without.

use super::{Context, Room, or_panic};
use crate::error::AllocError;
use crate::face::child::{Child, Pool};
use crate::face::kind::Kind;

/// The name of a pool that is given none.
const POOL_NAME: &str = "pool";

impl<K: Kind> Context<K> {
    /// A context below this one.
    ///
    /// It is freed when it is dropped; at the latest, should it be leaked, with this one.
    ///
    /// # Panics
    /// If there is no memory: see [`try_child`](Self::try_child).
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let request = server.child("request");
    /// assert_eq!(server.total_blocks(), 2);
    /// drop(request);
    /// assert_eq!(server.total_blocks(), 1);
    /// ```
    #[track_caller]
    pub fn child(&self, name: &str) -> Child<'_, K> {
        or_panic(self.try_child(name))
    }

    /// [`child`](Self::child), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let request = server.try_child("request")?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    pub fn try_child(&self, name: &str) -> Result<Child<'_, K>, AllocError> {
        self.make_child(name, None)
    }

    /// A context below this one with room for `bytes` taken at once, by the name "pool". What is allocated in it and
    /// below it comes from there, headers included, and from the heap when that is full.
    ///
    /// # Panics
    /// If there is no memory, or at 256 MiB: see [`try_pool`](Self::try_pool).
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let request = server.pool(64 << 10);
    /// request.alloc([0u8; 1000]);
    /// let headers = request.child("headers"); // in the pool, too
    /// headers.alloc_str("Host: mill");
    /// ```
    #[track_caller]
    pub fn pool(&self, bytes: usize) -> Pool<'_, K> {
        or_panic(self.try_pool(bytes))
    }

    /// [`pool`](Self::pool), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// assert!(server.try_pool(64 << 10).is_ok());
    /// assert_eq!(server.try_pool(1 << 30).err(), Some(tmempool::AllocError::TooLarge));
    /// ```
    pub fn try_pool(&self, bytes: usize) -> Result<Pool<'_, K>, AllocError> {
        self.try_pool_named(POOL_NAME, bytes)
    }

    /// A [`pool`](Self::pool) by another name.
    ///
    /// # Panics
    /// If there is no memory, or at 256 MiB: see [`try_pool_named`](Self::try_pool_named).
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let request = server.pool_named("request", 64 << 10);
    /// assert_eq!(request.name(), "request");
    /// ```
    #[track_caller]
    pub fn pool_named(&self, name: &str, bytes: usize) -> Pool<'_, K> {
        or_panic(self.try_pool_named(name, bytes))
    }

    /// [`pool_named`](Self::pool_named), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let request = server.try_pool_named("request", 64 << 10)?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    pub fn try_pool_named(&self, name: &str, bytes: usize) -> Result<Pool<'_, K>, AllocError> {
        self.make_child(name, Some(Room::Fixed(bytes)))
    }

    /// A [`pool`](Self::pool) that begins with `first` bytes and grows, when it is full, by blocks of twice the size
    /// of the one before, up to `max` bytes each. When it is reset it keeps what it has grown to.
    ///
    /// # Panics
    /// If there is no memory: see [`try_growing_pool`](Self::try_growing_pool).
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let mut session = server.growing_pool(4 << 10, 256 << 10);
    /// session.alloc([0u8; 3000]);
    /// session.alloc([0u8; 3000]);
    /// session.reset();
    /// ```
    #[track_caller]
    pub fn growing_pool(&self, first: usize, max: usize) -> Pool<'_, K> {
        or_panic(self.try_growing_pool(first, max))
    }

    /// [`growing_pool`](Self::growing_pool), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let session = server.try_growing_pool(4 << 10, 256 << 10)?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    pub fn try_growing_pool(&self, first: usize, max: usize) -> Result<Pool<'_, K>, AllocError> {
        self.try_growing_pool_named(POOL_NAME, first, max)
    }

    /// A [`growing_pool`](Self::growing_pool) by another name.
    ///
    /// # Panics
    /// If there is no memory: see [`try_growing_pool_named`](Self::try_growing_pool_named).
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let session = server.growing_pool_named("session", 4 << 10, 256 << 10);
    /// assert_eq!(session.name(), "session");
    /// ```
    #[track_caller]
    pub fn growing_pool_named(&self, name: &str, first: usize, max: usize) -> Pool<'_, K> {
        or_panic(self.try_growing_pool_named(name, first, max))
    }

    /// [`growing_pool_named`](Self::growing_pool_named), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let session = server.try_growing_pool_named("session", 4 << 10, 256 << 10)?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    pub fn try_growing_pool_named(
        &self,
        name: &str,
        first: usize,
        max: usize,
    ) -> Result<Pool<'_, K>, AllocError> {
        self.make_child(name, Some(Room::Growing { first, max }))
    }
}
