//! A context that threads share.
//!
//! It locks its own tree and nothing else, so that two shared contexts never wait for each other. No foreign
//! code runs under the lock but what a [`SharedGuard`]'s owner does: values are made before it is taken, and
//! dropped when the last handle is gone.

use core::alloc::Layout;
use core::fmt;
use core::mem;
use core::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::context::{Context, or_panic};
use super::kind::{Kind, Owns, Sendable};
use super::tree::Report;
use crate::error::AllocError;

/// A root context for any number of threads. Clones are handles to the same; the last one frees it.
///
/// ```
/// use tmempool::SharedContext;
///
/// let table = SharedContext::new("table");
/// std::thread::scope(|scope| {
///     for number in 0..4 {
///         let table = &table;
///         scope.spawn(move || {
///             let name = table.alloc_str(&format!("thread {number}"));
///             name.make_ascii_uppercase();
///             table.alloc(vec![number; 10]).push(0);
///         });
///     }
/// });
/// assert_eq!(table.lock().owned_values(), 4);
/// ```
///
/// What it owns must be fit to be dropped by any thread:
///
/// ```compile_fail
/// tmempool::SharedContext::new("table").alloc(std::rc::Rc::new(1));
/// ```
#[derive(Clone)]
pub struct SharedContext {
    inner: Arc<Inner>,
}

struct Inner {
    ctx: Mutex<Context<Sendable>>,
}

/// The lock of a [`SharedContext`]: a context for one thread.
///
/// ```
/// let table = tmempool::SharedContext::new("table");
/// let guard = table.lock();
/// let row = guard.child("row");
/// row.alloc_str("one thread at a time");
/// ```
pub struct SharedGuard<'s> {
    root: MutexGuard<'s, Context<Sendable>>,
}

impl SharedContext {
    /// A shared context without a parent.
    ///
    /// # Panics
    /// If there is no memory: see [`try_new`](Self::try_new).
    ///
    /// ```
    /// let table = tmempool::SharedContext::new("table");
    /// ```
    pub fn new(name: &str) -> SharedContext {
        or_panic(SharedContext::try_new(name))
    }

    /// [`new`](Self::new), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let table = tmempool::SharedContext::try_new("table")?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    pub fn try_new(name: &str) -> Result<SharedContext, AllocError> {
        Ok(SharedContext::of(Context::try_new_sendable(name)?))
    }

    /// Shares a tree that one thread has built.
    ///
    /// ```
    /// use tmempool::{Context, SharedContext};
    ///
    /// let config = Context::new_sendable("config");
    /// config.alloc_str("host = mill");
    /// let config = SharedContext::of(config);
    /// ```
    pub fn of(ctx: Context<Sendable>) -> SharedContext {
        SharedContext { inner: Arc::new(Inner { ctx: Mutex::new(ctx) }) }
    }

    fn hold(&self) -> MutexGuard<'_, Context<Sendable>> {
        // A panic under the lock leaves a valid tree.
        self.inner.ctx.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other thread uses the tree, and gives it to this one. Not to be asked for twice by one
    /// thread, nor to be held while [`alloc`](Self::alloc) is called: it would wait for itself.
    ///
    /// ```
    /// let table = tmempool::SharedContext::new("table");
    /// println!("{}", table.lock().report());
    /// ```
    pub fn lock(&self) -> SharedGuard<'_> {
        SharedGuard { root: self.hold() }
    }

    /// The tree as it is now.
    ///
    /// ```
    /// let table = tmempool::SharedContext::new("table");
    /// assert_eq!(table.report().root().name(), "table");
    /// ```
    pub fn report(&self) -> Report {
        self.hold().report()
    }

    /// Resets the context, if this is the only handle to it: see [`Context::reset`]. Says whether it was.
    ///
    /// ```
    /// let mut table = tmempool::SharedContext::new("table");
    /// table.alloc(String::from("row"));
    /// assert!(table.reset());
    /// let other = table.clone();
    /// assert!(!table.reset());
    /// ```
    pub fn reset(&mut self) -> bool {
        let Some(inner) = Arc::get_mut(&mut self.inner) else { return false };
        inner.ctx.get_mut().unwrap_or_else(PoisonError::into_inner).reset();
        true
    }

    /// Gives the context `value`, which is dropped with it: see [`Context::alloc`].
    ///
    /// # Panics
    /// If there is no memory: see [`try_alloc`](Self::try_alloc).
    ///
    /// ```
    /// let table = tmempool::SharedContext::new("table");
    /// table.alloc(vec![1, 2]).push(3);
    /// ```
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn alloc<T: Send + 'static>(&self, value: T) -> &mut T {
        or_panic(self.try_alloc(value))
    }

    /// [`alloc`](Self::alloc), for those who can go on without. Without memory the value is dropped.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let table = tmempool::SharedContext::new("table");
    /// table.try_alloc(vec![1, 2])?.push(3);
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn try_alloc<T: Send + 'static>(&self, value: T) -> Result<&mut T, AllocError>
    where
        Sendable: Owns<T>,
    {
        // The value is dropped, without memory for it, when the lock is free again.
        let at = {
            let root = self.hold();
            let state = root.state();
            if mem::needs_drop::<T>() {
                let at = state.cut_owned::<T>()?;
                // SAFETY: memory for a T. Written, it is the context's to drop; the copy here is forgotten.
                unsafe {
                    at.copy_from_nonoverlapping(core::ptr::NonNull::from_ref(&value), 1);
                    state.own(at);
                }
                at
            } else {
                let at = state.cut(Layout::new::<T>())?.cast::<T>();
                // SAFETY: memory for a T.
                unsafe { at.copy_from_nonoverlapping(core::ptr::NonNull::from_ref(&value), 1) };
                at
            }
        };
        mem::forget(value);
        // SAFETY: nobody else has the memory, which lives as long as this handle.
        Ok(unsafe { &mut *at.as_ptr() })
    }

    /// Gives the context the value that `make` makes, before the lock is taken: `make` may use the context.
    ///
    /// # Panics
    /// If there is no memory: see [`try_alloc_with`](Self::try_alloc_with).
    ///
    /// ```
    /// let table = tmempool::SharedContext::new("table");
    /// let row = table.alloc_with(|| table.alloc_str("row").len());
    /// assert_eq!(*row, 3);
    /// ```
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn alloc_with<T: Send + 'static>(&self, make: impl FnOnce() -> T) -> &mut T {
        self.alloc(make())
    }

    /// [`alloc_with`](Self::alloc_with), for those who can go on without. Without memory the value is dropped.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let table = tmempool::SharedContext::new("table");
    /// let row = table.try_alloc_with(|| table.alloc_str("row").len())?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn try_alloc_with<T: Send + 'static>(&self, make: impl FnOnce() -> T) -> Result<&mut T, AllocError> {
        self.try_alloc(make())
    }

    /// Gives the context a copy of `source`: see [`Context::alloc_slice_copy`].
    ///
    /// # Panics
    /// If there is no memory: see [`try_alloc_slice_copy`](Self::try_alloc_slice_copy).
    ///
    /// ```
    /// let table = tmempool::SharedContext::new("table");
    /// table.alloc_slice_copy(&[2, 1]).sort();
    /// ```
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn alloc_slice_copy<T: Copy>(&self, source: &[T]) -> &mut [T] {
        or_panic(self.try_alloc_slice_copy(source))
    }

    /// [`alloc_slice_copy`](Self::alloc_slice_copy), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let table = tmempool::SharedContext::new("table");
    /// table.try_alloc_slice_copy(&[2, 1])?.sort();
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn try_alloc_slice_copy<T: Copy>(&self, source: &[T]) -> Result<&mut [T], AllocError> {
        let at = self.hold().state().cut(Layout::for_value(source))?.cast::<T>();
        // SAFETY: memory for as many values, which nobody else has, and that lives as long as this handle.
        Ok(unsafe {
            at.copy_from_nonoverlapping(core::ptr::NonNull::from_ref(source).cast(), source.len());
            core::slice::from_raw_parts_mut(at.as_ptr(), source.len())
        })
    }

    /// Gives the context a copy of `text`: see [`Context::alloc_str`].
    ///
    /// # Panics
    /// If there is no memory: see [`try_alloc_str`](Self::try_alloc_str).
    ///
    /// ```
    /// let table = tmempool::SharedContext::new("table");
    /// assert_eq!(table.alloc_str("row"), "row");
    /// ```
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn alloc_str(&self, text: &str) -> &mut str {
        or_panic(self.try_alloc_str(text))
    }

    /// [`alloc_str`](Self::alloc_str), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let table = tmempool::SharedContext::new("table");
    /// assert_eq!(table.try_alloc_str("row")?, "row");
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn try_alloc_str(&self, text: &str) -> Result<&mut str, AllocError> {
        let bytes = self.try_alloc_slice_copy(text.as_bytes())?;
        // SAFETY: a copy of a string.
        Ok(unsafe { core::str::from_utf8_unchecked_mut(bytes) })
    }
}

impl Deref for SharedGuard<'_> {
    type Target = Context<Sendable>;

    fn deref(&self) -> &Self::Target {
        &self.root
    }
}

impl fmt::Debug for SharedContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shared = f.debug_tuple("SharedContext");
        match self.inner.ctx.try_lock() {
            Ok(ctx) => shared.field(&ctx),
            Err(TryLockError::Poisoned(ctx)) => shared.field(&ctx.into_inner()),
            Err(TryLockError::WouldBlock) => shared.field(&format_args!("<in use>")),
        };
        shared.finish()
    }
}

const _: () = {
    const fn is_shareable<T: Send + Sync>() {}
    is_shareable::<SharedContext>();
    const fn is_kind<K: Kind>() {}
    is_kind::<Sendable>();
};
