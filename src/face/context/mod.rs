//! The context: a handle that owns a chunk and all below it.
//!
//! How the lifetimes tie things together:
//! - A value, box or context is borrowed from the `&Context` that made it, so while anything of a context
//!   is in use, the context can be neither dropped, reset nor moved.
//! - What a context drops by itself is `'static`: a context may be leaked, and then it is freed with
//!   its parent, long after what its values had borrowed is gone. So nothing relies on a handle being
//!   dropped. Values that borrow are owned by a [`CtxBox`](super::CtxBox), or not dropped at all.
//! - A context is neither `Sync` nor, but for [`Sendable`] ones, `Send`: one thread at a time uses a tree.
//!
//! Here is how a context begins, moves and ends; what it gives is in the files beside this one.

mod below;
mod end;
mod meters;
mod slices;
mod values;

use core::fmt;
use core::marker::PhantomData;
use core::mem;

use super::child::Child;
use super::kind::{Kind, Local, MovesTo, Sendable};
use super::state::{self, StateRef};
use super::unwind;
use crate::error::{AllocError, StealError};
use crate::ops;
use crate::tree::Chunk;
#[cfg(feature = "std")]
pub(super) use end::free;
pub(super) use end::{free_quick_or, free_whole};

/// An owner of memory: values, boxes, collections and further contexts. When it is dropped, all of it goes.
///
/// `K` says which values it may own: see [`Local`] (the default) and [`Sendable`]. One that lies below another is a
/// [`Child`], and is used as this is.
///
/// ```
/// use tmempool::Context;
///
/// let server = Context::new("server");
/// {
///     let request = server.child("request");
///     let path = request.alloc_str("/mill/7");
///     let parts: &mut Vec<String> = request.alloc(path.split('/').map(String::from).collect());
///     parts.push("end".into());
///     assert_eq!(parts.len(), 4);
/// } // the request goes: the path, and the vector, which is dropped
/// assert_eq!(server.total_blocks(), 1);
/// ```
pub struct Context<K: Kind = Local> {
    state: StateRef,
    kind: PhantomData<*const K>,
}

// SAFETY: a context is the root of its tree (a `Child`, which is not, is not Send), and nothing of it is borrowed
// when it is moved, so the whole tree goes with it. What it and the contexts below own is Send (see `Owns`); the memory below them
// may be freed and used by any thread, one at a time.
unsafe impl Send for Context<Sendable> {}

/// The room of a pool, in bytes.
#[derive(Clone, Copy)]
enum Room {
    /// Taken once.
    Fixed(usize),
    /// A first block, and the largest further one.
    Growing { first: usize, max: usize },
}

impl Context<Local> {
    /// A context without a parent.
    ///
    /// The name is what reports show; a NUL in it ends it there.
    ///
    /// # Panics
    /// If there is no memory: see [`try_new`](Self::try_new).
    ///
    /// ```
    /// let ctx = tmempool::Context::new("parser");
    /// assert_eq!(ctx.name(), "parser");
    /// ```
    #[track_caller]
    pub fn new(name: &str) -> Self {
        or_panic(Self::try_new(name))
    }

    /// [`new`](Self::new), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let ctx = tmempool::Context::try_new("parser")?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    pub fn try_new(name: &str) -> Result<Self, AllocError> {
        Self::make(None, name, None)
    }
}

impl Context<Sendable> {
    /// A context without a parent that may be sent to another thread, with all below it.
    ///
    /// It owns only values that are [`Send`], and so do the contexts below it.
    ///
    /// # Panics
    /// If there is no memory: see [`try_new_sendable`](Self::try_new_sendable).
    ///
    /// ```
    /// use tmempool::Context;
    ///
    /// let job = Context::new_sendable("job");
    /// job.alloc(String::from("input"));
    /// std::thread::spawn(move || {
    ///     job.alloc_str("output");
    /// }).join().unwrap();
    /// ```
    ///
    /// What may not go to another thread cannot be owned by it:
    ///
    /// ```compile_fail
    /// let job = tmempool::Context::new_sendable("job");
    /// job.alloc(std::rc::Rc::new(1));
    /// ```
    #[track_caller]
    pub fn new_sendable(name: &str) -> Self {
        or_panic(Self::try_new_sendable(name))
    }

    /// [`new_sendable`](Self::new_sendable), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let job = tmempool::Context::try_new_sendable("job")?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    pub fn try_new_sendable(name: &str) -> Result<Self, AllocError> {
        Self::make(None, name, None)
    }
}

impl<K: Kind> Context<K> {
    fn make(parent: Option<Chunk>, name: &str, room: Option<Room>) -> Result<Self, AllocError> {
        let (least, most) = state::sizes(name.len())?;
        // SAFETY: the parent, if any, is that of a context which is borrowed; this thread uses its tree.
        let chunk = |size| unsafe {
            match room {
                None => ops::alloc(parent, size),
                Some(Room::Fixed(room)) => ops::pooled_object(parent, size, 0, room),
                Some(Room::Growing { first, max }) => ops::growable_object(parent, size, first, max),
            }
        };
        // Where memory is short, no more than what is needed.
        let chunk = chunk(most).or_else(|_| chunk(least))?;
        let room = match room {
            None => 0,
            Some(Room::Fixed(bytes) | Room::Growing { first: bytes, .. }) => bytes,
        };
        // SAFETY: the chunk is as large as the state wants it.
        Ok(Context { state: unsafe { StateRef::create(chunk, chunk, name, room) }, kind: PhantomData })
    }

    fn make_child(&self, name: &str, room: Option<Room>) -> Result<Child<'_, K>, AllocError> {
        let ctx = Context::<K>::make(Some(self.chunk()), name, room)?;
        let state = ctx.state;
        mem::forget(ctx);
        // SAFETY: the handle that had it is forgotten; the parent is borrowed.
        Ok(unsafe { Child::of_state(state) })
    }

    /// A context below `parent`.
    ///
    /// # Errors
    /// [`AllocError`].
    #[cfg(feature = "std")]
    pub(in crate::face) fn below(parent: Chunk, name: &str) -> Result<Self, AllocError> {
        Self::make(Some(parent), name, None)
    }

    /// The context that has `state`.
    ///
    /// # Safety
    /// Nobody else frees it, and it may own what its kind says.
    pub(in crate::face) unsafe fn of_state(state: StateRef) -> Self {
        Context { state, kind: PhantomData }
    }

    #[inline(always)]
    pub(in crate::face) fn state(&self) -> StateRef {
        self.state
    }

    #[inline(always)]
    pub(in crate::face) fn chunk(&self) -> Chunk {
        self.state.chunk()
    }

    /// The name that it was made with.
    ///
    /// ```
    /// assert_eq!(tmempool::Context::new("parser").name(), "parser");
    /// ```
    pub fn name(&self) -> &str {
        self.state.name()
    }

    /// Drops all values and frees all below; the context stays, with its name, and with memory for new values.
    ///
    /// It takes `&mut`: nothing of the context can be in use.
    ///
    /// ```
    /// let mut scratch = tmempool::Context::new("scratch");
    /// for line in ["one", "two", "three"] {
    ///     let word = scratch.alloc_str(line);
    ///     assert_eq!(word, line);
    ///     scratch.reset();
    /// }
    /// ```
    ///
    /// ```compile_fail
    /// let mut scratch = tmempool::Context::new("scratch");
    /// let word = scratch.alloc_str("one");
    /// scratch.reset();
    /// assert_eq!(word, "one");
    /// ```
    pub fn reset(&mut self) {
        let state = self.state;
        // SAFETY: nobody borrows the context, so nobody has anything of it.
        unwind::resume_after(|| unsafe { state.reset() });
    }

    /// Makes `to` the parent, and lives as long as that one now. What lies below goes along.
    ///
    /// # Panics
    /// If `to` lies below this context, to which a [`Handle`](crate::Handle) can lead, or if one of them belongs to a
    /// shared context of C's that the other does not belong to. The context is freed then.
    ///
    /// ```
    /// use tmempool::Context;
    ///
    /// let server = Context::new("server");
    /// let request = Context::new("request");
    /// request.alloc_str("/mill/7");
    /// let request = request.move_to(&server);
    /// assert_eq!(server.child_count(), 1);
    /// ```
    #[track_caller]
    pub fn move_to<'to, P: Kind>(self, to: &'to Context<P>) -> Child<'to, K>
    where
        K: MovesTo<P>,
    {
        // SAFETY: both are alive, and this thread uses their trees.
        match unsafe { ops::steal(Some(to.chunk()), self.chunk()) } {
            Ok(()) => {}
            Err(StealError::Cycle) => panic!("tmempool: a context cannot be moved below itself"),
            Err(error) => panic!("tmempool: a context cannot be moved: {error:?}"),
        }
        let state = self.state;
        mem::forget(self);
        // SAFETY: the handle that had it is forgotten; the new parent is borrowed.
        unsafe { Child::of_state(state) }
    }
}

impl<K: Kind> Drop for Context<K> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: nothing of the context is borrowed, and this thread uses its tree.
        unsafe { free_quick_or(self.chunk(), free_whole) }
    }
}

impl<K: Kind> fmt::Debug for Context<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("name", &self.name())
            .field("total_size", &self.total_size())
            .field("total_blocks", &self.total_blocks())
            .finish_non_exhaustive()
    }
}

/// The value, or a panic that says why there is none.
#[inline(always)]
#[track_caller]
pub(in crate::face) fn or_panic<T>(result: Result<T, AllocError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => refuse(error),
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn refuse(error: AllocError) -> ! {
    panic!("tmempool: {error}")
}
