//! A context that threads share.
//!
//! It locks its own tree and nothing else, so that two shared contexts never wait for each other. No foreign
//! code runs under the lock but what a [`SharedGuard`]'s owner does: values are made before it is taken, and
//! dropped when the last handle is gone.
//!
//! Why it is sound: whoever touches the tree has a turn at it (`mem::turns`), brief or, with a guard, long, or has the last
//! handle by `&mut`. A fork waits for brief turns, and leaves no half-made change of one behind. Of a long turn that is
//! lost in a child, nothing is touched there any more: not even to free it.

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::fmt;
use core::mem::{self, ManuallyDrop};
use core::ops::Deref;
use core::panic::RefUnwindSafe;
use std::sync::Arc;

use super::context::{Context, or_panic};
use super::kind::{Kind, Owns, Sendable};
use super::tree::Report;
use crate::error::AllocError;
use crate::mem::turns::{Brief, Long, Lost, Turns};

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
///
/// # fork
/// A process may fork while other threads use the context. A fork waits until none of them is in a call: the child finds
/// the context whole, can use, grow and free it.
///
/// A guard ([`lock`](Self::lock)) is the program's, and no fork waits for it. One that the forking thread has goes on in both
/// processes. One that *another* thread has at that moment will never be dropped in the child, and what it guards may be
/// half changed. So in that child the context can be used no more: instead of waiting for ever, whatever takes the lock
/// panics ("a thread that a fork has left behind has this shared context"). [`is_left_behind`](Self::is_left_behind) says
/// so beforehand. References that the child has had from the context before stay good, for the last handle neither frees
/// the memory nor drops the values there. The parent notices nothing.
#[derive(Clone)]
pub struct SharedContext {
    inner: Arc<Inner>,
}

struct Inner {
    turns: Turns,
    ctx: UnsafeCell<ManuallyDrop<Context<Sendable>>>,
}

// SAFETY: the context may go to another thread, and is used by the thread whose turn it is.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}
// A panic during a turn leaves a valid tree.
impl RefUnwindSafe for Inner {}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: `of` has enlisted it, and this was the last handle.
        unsafe { self.turns.strike_off() };
        if !self.turns.is_lost() {
            // SAFETY: not used after this.
            unsafe { ManuallyDrop::drop(self.ctx.get_mut()) };
        }
    }
}

/// What a turn gives.
///
/// # Safety
/// It is the calling thread's turn as long as this is used.
unsafe fn context(inner: &Inner) -> &Context<Sendable> {
    // SAFETY: the caller's: nobody else uses it, and nobody has a `&mut`, for that takes the last handle.
    unsafe { &*inner.ctx.get() }
}

/// A brief turn at the context: no foreign code runs until it is dropped.
struct Held<'s> {
    inner: &'s Inner,
    #[allow(dead_code, reason = "dropped")]
    turn: Brief<'s>,
}

impl Deref for Held<'_> {
    type Target = Context<Sendable>;

    fn deref(&self) -> &Self::Target {
        // SAFETY: the turn is the thread's that has this.
        unsafe { context(self.inner) }
    }
}

#[inline(always)]
#[track_caller]
fn or_left_behind<T>(turn: Result<T, Lost>) -> T {
    match turn {
        Ok(turn) => turn,
        Err(Lost) => left_behind(),
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn left_behind() -> ! {
    panic!("tmempool: a thread that a fork has left behind has this shared context")
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
    inner: &'s Inner,
    #[allow(dead_code, reason = "dropped")]
    turn: Long<'s>,
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
    #[track_caller]
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
        let ctx = UnsafeCell::new(ManuallyDrop::new(ctx));
        let inner = Arc::new(Inner { turns: Turns::new(), ctx });
        // SAFETY: it lies in the `Arc`, whose end strikes it off.
        unsafe { inner.turns.enlist() };
        SharedContext { inner }
    }

    #[inline]
    fn hold(&self) -> Held<'_> {
        Held { inner: &self.inner, turn: or_left_behind(self.inner.turns.brief()) }
    }

    /// Waits until no other thread uses the tree, and gives it to this one. Not to be asked for twice by one
    /// thread, nor to be held while [`alloc`](Self::alloc) is called: it would wait for itself.
    ///
    /// # Panics
    /// In the child of a fork, if a thread has it that was [left behind](Self#fork); as all functions that take the lock.
    ///
    /// ```
    /// let table = tmempool::SharedContext::new("table");
    /// println!("{}", table.lock().report());
    /// ```
    #[track_caller]
    pub fn lock(&self) -> SharedGuard<'_> {
        SharedGuard { inner: &self.inner, turn: or_left_behind(self.inner.turns.long()) }
    }

    /// Whether this is the child of a fork, in which the context can be used no more, as a thread has the lock that does not
    /// exist here: see [above](Self#fork). The answer changes only in a fork.
    ///
    /// ```
    /// let table = tmempool::SharedContext::new("table");
    /// assert!(!table.is_left_behind());
    /// ```
    pub fn is_left_behind(&self) -> bool {
        self.inner.turns.is_lost()
    }

    /// The tree as it is now.
    ///
    /// ```
    /// let table = tmempool::SharedContext::new("table");
    /// assert_eq!(table.report().root().name(), "table");
    /// ```
    pub fn report(&self) -> Report {
        // What the report needs is allocated outside of the turns.
        let root = self.hold().chunk();
        Report::of_locked(root, -1, || self.hold())
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
        if inner.turns.is_lost() {
            left_behind();
        }
        inner.ctx.get_mut().reset();
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
    #[track_caller]
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
    #[track_caller]
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
    #[track_caller]
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
    #[track_caller]
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
        // SAFETY: the turn is the thread's that has the guard.
        unsafe { context(self.inner) }
    }
}

impl fmt::Debug for SharedContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shared = f.debug_tuple("SharedContext");
        // The formatter is foreign code.
        match self.inner.turns.try_long() {
            Ok(Some(turn)) => shared.field(&*SharedGuard { inner: &self.inner, turn }),
            Ok(None) => shared.field(&format_args!("<in use>")),
            Err(Lost) => shared.field(&format_args!("<left behind>")),
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
