//! The context: a handle that owns a chunk and all below it.
//!
//! How the lifetimes tie things together:
//! - A value, box or context is borrowed from the `&Context` that made it, so while anything of a context
//!   is in use, the context can be neither dropped, reset nor moved.
//! - What a context drops by itself is `'static`: a context may be leaked, and then it is freed with
//!   its parent, long after what its values had borrowed is gone. So nothing relies on a handle being
//!   dropped. Values that borrow are owned by a [`CtxBox`](super::CtxBox), or not dropped at all.
//! - A context is neither `Sync` nor, but for [`Sendable`] ones, `Send`: one thread at a time uses a tree.

use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::mem;
use core::ptr::NonNull;

use super::child::Child;
use super::kind::{Kind, Local, MovesTo, Owns, Sendable};
use super::state::{self, LOCATION, StateRef};
use super::unwind;
use crate::error::{AllocError, FreeError};
use crate::ops;
use crate::tree::Chunk;

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
        // SAFETY: the chunk is as large as the state wants it.
        Ok(Context { state: unsafe { StateRef::create(chunk, chunk, name) }, kind: PhantomData })
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
    pub(super) fn below(parent: Chunk, name: &str) -> Result<Self, AllocError> {
        Self::make(Some(parent), name, None)
    }

    /// The context that has `state`.
    ///
    /// # Safety
    /// Nobody else frees it, and it may own what its kind says.
    pub(super) unsafe fn of_state(state: StateRef) -> Self {
        Context { state, kind: PhantomData }
    }

    #[inline(always)]
    pub(super) fn state(&self) -> StateRef {
        self.state
    }

    #[inline(always)]
    pub(super) fn chunk(&self) -> Chunk {
        self.state.chunk()
    }

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

    /// A context below this one with room for `bytes` taken at once. What is allocated in it and below it
    /// comes from there, headers included, and from the heap when that is full.
    ///
    /// # Panics
    /// If there is no memory, or at 256 MiB: see [`try_pool`](Self::try_pool).
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let request = server.pool("request", 64 << 10);
    /// request.alloc([0u8; 1000]);
    /// let headers = request.child("headers"); // in the pool, too
    /// headers.alloc_str("Host: mill");
    /// ```
    pub fn pool(&self, name: &str, bytes: usize) -> Child<'_, K> {
        or_panic(self.try_pool(name, bytes))
    }

    /// [`pool`](Self::pool), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// assert!(server.try_pool("request", 64 << 10).is_ok());
    /// assert_eq!(server.try_pool("too large", 1 << 30).err(), Some(tmempool::AllocError::TooLarge));
    /// ```
    pub fn try_pool(&self, name: &str, bytes: usize) -> Result<Child<'_, K>, AllocError> {
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
    /// let mut session = server.growing_pool("session", 4 << 10, 256 << 10);
    /// session.alloc([0u8; 3000]);
    /// session.alloc([0u8; 3000]);
    /// session.reset();
    /// ```
    pub fn growing_pool(&self, name: &str, first: usize, max: usize) -> Child<'_, K> {
        or_panic(self.try_growing_pool(name, first, max))
    }

    /// [`growing_pool`](Self::growing_pool), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let session = server.try_growing_pool("session", 4 << 10, 256 << 10)?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    pub fn try_growing_pool(&self, name: &str, first: usize, max: usize) -> Result<Child<'_, K>, AllocError> {
        self.make_child(name, Some(Room::Growing { first, max }))
    }

    /// The name that it was made with.
    ///
    /// ```
    /// assert_eq!(tmempool::Context::new("parser").name(), "parser");
    /// ```
    pub fn name(&self) -> &str {
        self.state.name()
    }

    /// Gives the context `value`, which is dropped with it.
    ///
    /// The value may not borrow anything: see [`alloc_no_drop`](Self::alloc_no_drop) and
    /// [`boxed`](Self::boxed) for those that do. Values are dropped newest first, before the contexts below
    /// are freed. Should a `drop` panic, the others are still dropped, and the panic goes on from there.
    ///
    /// # Panics
    /// If there is no memory: see [`try_alloc`](Self::try_alloc).
    ///
    /// ```
    /// let ctx = tmempool::Context::new("numbers");
    /// let numbers = ctx.alloc(vec![1, 2, 3]);
    /// numbers.push(4);
    /// assert_eq!(numbers.len(), 4);
    /// ```
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn alloc<T: 'static>(&self, value: T) -> &mut T
    where
        K: Owns<T>,
    {
        self.alloc_with(|| value)
    }

    /// [`alloc`](Self::alloc), for those who can go on without. Without memory the value is dropped.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let ctx = tmempool::Context::new("numbers");
    /// let numbers = ctx.try_alloc(vec![1, 2, 3])?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn try_alloc<T: 'static>(&self, value: T) -> Result<&mut T, AllocError>
    where
        K: Owns<T>,
    {
        self.try_alloc_with(|| value)
    }

    /// Gives the context the value that `make` makes, where it will stay, without a copy on the stack if
    /// the compiler can help it. Without memory `make` is not called.
    ///
    /// `make` may use the context. Should it panic, the room for its value is lost until the context is
    /// reset or freed.
    ///
    /// # Panics
    /// If there is no memory: see [`try_alloc_with`](Self::try_alloc_with).
    ///
    /// ```
    /// let ctx = tmempool::Context::new("tables");
    /// let table = ctx.alloc_with(|| [0u16; 4000]);
    /// assert_eq!(table[3999], 0);
    /// ```
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn alloc_with<T: 'static>(&self, make: impl FnOnce() -> T) -> &mut T
    where
        K: Owns<T>,
    {
        if mem::needs_drop::<T>() {
            return or_panic(self.try_alloc_with(make));
        }
        self.alloc_no_drop_with(make)
    }

    /// [`alloc_with`](Self::alloc_with), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let ctx = tmempool::Context::new("tables");
    /// let table = ctx.try_alloc_with(|| [0u16; 4000])?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn try_alloc_with<T: 'static>(&self, make: impl FnOnce() -> T) -> Result<&mut T, AllocError>
    where
        K: Owns<T>,
    {
        if !mem::needs_drop::<T>() {
            return self.try_alloc_no_drop_with(make);
        }
        let at = self.state.cut_owned::<T>()?;
        // SAFETY: memory for a T that nobody else has, which lives as long as the context, which is borrowed
        // as long as the reference. T is 'static, so that it can be dropped whenever the context is.
        unsafe {
            at.write(make());
            self.state.own(at);
            Ok(&mut *at.as_ptr())
        }
    }

    /// Gives the context `value`, which is never dropped: its memory just goes.
    ///
    /// The value may borrow, from this context too, as the nodes of a graph do.
    ///
    /// # Panics
    /// If there is no memory: see [`try_alloc_no_drop`](Self::try_alloc_no_drop).
    ///
    /// ```
    /// enum Expr<'a> {
    ///     Number(f64),
    ///     Sum(&'a Expr<'a>, &'a Expr<'a>),
    /// }
    /// impl Expr<'_> {
    ///     fn value(&self) -> f64 {
    ///         match self {
    ///             Expr::Number(number) => *number,
    ///             Expr::Sum(a, b) => a.value() + b.value(),
    ///         }
    ///     }
    /// }
    /// let ast = tmempool::Context::new("ast");
    /// let two = ast.alloc_no_drop(Expr::Number(2.0));
    /// let four = ast.alloc_no_drop(Expr::Sum(two, two));
    /// assert_eq!(four.value(), 4.0);
    /// ```
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn alloc_no_drop<T>(&self, value: T) -> &mut T {
        self.alloc_no_drop_with(|| value)
    }

    /// [`alloc_no_drop`](Self::alloc_no_drop), for those who can go on without. Without memory the value is
    /// dropped.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let ctx = tmempool::Context::new("numbers");
    /// let number = ctx.try_alloc_no_drop(7)?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn try_alloc_no_drop<T>(&self, value: T) -> Result<&mut T, AllocError> {
        self.try_alloc_no_drop_with(|| value)
    }

    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    fn alloc_no_drop_with<T>(&self, make: impl FnOnce() -> T) -> &mut T {
        let at = self.state.cut_or_panic(Layout::new::<T>());
        // SAFETY: cut for a T.
        unsafe { self.fill(at.cast(), make) }
    }

    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    fn try_alloc_no_drop_with<T>(&self, make: impl FnOnce() -> T) -> Result<&mut T, AllocError> {
        let at = self.state.cut(Layout::new::<T>())?;
        // SAFETY: cut for a T.
        Ok(unsafe { self.fill(at.cast(), make) })
    }

    /// Puts what `make` makes into memory that was cut for it.
    ///
    /// # Safety
    /// The memory is this context's, large enough, and nobody else's.
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    unsafe fn fill<T>(&self, at: NonNull<T>, make: impl FnOnce() -> T) -> &mut T {
        // SAFETY: the caller's; it lives as long as the context, which is borrowed as long as the reference.
        unsafe {
            at.write(make());
            &mut *at.as_ptr()
        }
    }

    /// Gives the context a copy of `source`.
    ///
    /// # Panics
    /// If there is no memory: see [`try_alloc_slice_copy`](Self::try_alloc_slice_copy).
    ///
    /// ```
    /// let ctx = tmempool::Context::new("numbers");
    /// let numbers = ctx.alloc_slice_copy(&[3, 1, 2]);
    /// numbers.sort();
    /// assert_eq!(numbers, [1, 2, 3]);
    /// ```
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn alloc_slice_copy<T: Copy>(&self, source: &[T]) -> &mut [T] {
        let at = self.state.cut_or_panic(Layout::for_value(source)).cast::<T>();
        // SAFETY: cut for as many values.
        unsafe { self.copy(at, source) }
    }

    /// [`alloc_slice_copy`](Self::alloc_slice_copy), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let ctx = tmempool::Context::new("numbers");
    /// let numbers = ctx.try_alloc_slice_copy(&[3, 1, 2])?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn try_alloc_slice_copy<T: Copy>(&self, source: &[T]) -> Result<&mut [T], AllocError> {
        let at = self.state.cut(Layout::for_value(source))?.cast::<T>();
        // SAFETY: cut for as many values.
        Ok(unsafe { self.copy(at, source) })
    }

    /// Copies `source` into memory that was cut for it.
    ///
    /// # Safety
    /// As for [`fill`](Self::fill).
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    unsafe fn copy<T: Copy>(&self, at: NonNull<T>, source: &[T]) -> &mut [T] {
        // SAFETY: the caller's; it lives as long as the context, which is borrowed as long as the reference.
        unsafe {
            at.copy_from_nonoverlapping(NonNull::from_ref(source).cast(), source.len());
            core::slice::from_raw_parts_mut(at.as_ptr(), source.len())
        }
    }

    /// Gives the context `len` values, each made by `make` from its index, which are dropped with it.
    ///
    /// # Panics
    /// If there is no memory: see [`try_alloc_slice_with`](Self::try_alloc_slice_with). Should `make` panic, the
    /// values made so far are dropped.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("names");
    /// let names = ctx.alloc_slice_with(3, |i| format!("thread {i}"));
    /// assert_eq!(names[2], "thread 2");
    /// ```
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn alloc_slice_with<T: 'static>(&self, len: usize, make: impl FnMut(usize) -> T) -> &mut [T]
    where
        K: Owns<T>,
    {
        or_panic(self.try_alloc_slice_with(len, make))
    }

    /// [`alloc_slice_with`](Self::alloc_slice_with), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`]: `make` has not been called.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("squares");
    /// let squares = ctx.try_alloc_slice_with(5, |i| i * i)?;
    /// assert_eq!(squares, [0, 1, 4, 9, 16]);
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn try_alloc_slice_with<T: 'static>(
        &self,
        len: usize,
        mut make: impl FnMut(usize) -> T,
    ) -> Result<&mut [T], AllocError>
    where
        K: Owns<T>,
    {
        let owned = mem::needs_drop::<T>();
        let at = if owned {
            self.state.cut_owned_slice::<T>(len)?
        } else {
            self.state.cut(Layout::array::<T>(len).map_err(|_| AllocError::TooLarge)?)?.cast()
        };
        let mut made = Made { at, len: 0 };
        while made.len < len {
            let value = make(made.len);
            // SAFETY: memory for `len` values; this one is not written yet.
            unsafe { at.add(made.len).write(value) };
            made.len += 1;
        }
        mem::forget(made);
        // SAFETY: all values are written, and nobody else drops them. For the rest, as in `try_alloc_with`.
        unsafe {
            if owned {
                self.state.own_slice(at, len);
            }
            Ok(core::slice::from_raw_parts_mut(at.as_ptr(), len))
        }
    }

    /// Gives the context a copy of `text`.
    ///
    /// # Panics
    /// If there is no memory: see [`try_alloc_str`](Self::try_alloc_str).
    ///
    /// ```
    /// let ctx = tmempool::Context::new("words");
    /// let word = ctx.alloc_str("mill");
    /// word.make_ascii_uppercase();
    /// assert_eq!(word, "MILL");
    /// ```
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn alloc_str(&self, text: &str) -> &mut str {
        let bytes = self.alloc_slice_copy(text.as_bytes());
        // SAFETY: a copy of a string.
        unsafe { core::str::from_utf8_unchecked_mut(bytes) }
    }

    /// [`alloc_str`](Self::alloc_str), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let ctx = tmempool::Context::new("words");
    /// let word = ctx.try_alloc_str("mill")?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn try_alloc_str(&self, text: &str) -> Result<&mut str, AllocError> {
        let bytes = self.try_alloc_slice_copy(text.as_bytes())?;
        // SAFETY: a copy of a string.
        Ok(unsafe { core::str::from_utf8_unchecked_mut(bytes) })
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
    pub fn move_to<'to, P: Kind>(self, to: &'to Context<P>) -> Child<'to, K>
    where
        K: MovesTo<P>,
    {
        // The core would have the two change places, and `to` would lie where nobody keeps it alive.
        assert!(!self.chunk().is_above(to.chunk()), "tmempool: a context cannot be moved below itself");
        // SAFETY: both are alive, and this thread uses their trees.
        if let Err(error) = unsafe { ops::steal(Some(to.chunk()), self.chunk()) } {
            panic!("tmempool: a context cannot be moved: {error:?}");
        }
        let state = self.state;
        mem::forget(self);
        // SAFETY: the handle that had it is forgotten; the new parent is borrowed.
        unsafe { Child::of_state(state) }
    }

    /// Bytes in this context and all below, without headers: what is handed out, and the memory that waits
    /// for further values.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("parser");
    /// let before = ctx.total_size();
    /// ctx.alloc([0u8; 1000]);
    /// assert!(ctx.total_size() >= before + 1000);
    /// ```
    pub fn total_size(&self) -> usize {
        // SAFETY: alive, and this thread uses its tree.
        unsafe { ops::total_size(self.chunk()) }
    }

    /// How many chunks there are in the tree of this context: itself, the contexts below it, the memory of
    /// collections, named boxes, and the blocks that values and small boxes lie in.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("parser");
    /// assert_eq!(ctx.total_blocks(), 1);
    /// let buffer = ctx.boxed_named(c"buffer", [0u8; 100]);
    /// assert_eq!(ctx.total_blocks(), 2);
    /// ```
    pub fn total_blocks(&self) -> usize {
        // SAFETY: alive, and this thread uses its tree.
        unsafe { ops::total_blocks(self.chunk()) }
    }

    /// How many chunks lie right below this context.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("parser");
    /// let (a, b) = (ctx.child("a"), ctx.child("b"));
    /// assert_eq!(ctx.child_count(), 2);
    /// ```
    pub fn child_count(&self) -> usize {
        self.chunk().children().count()
    }

    /// How many values wait to be dropped with this context.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("parser");
    /// ctx.alloc(7); // nothing to drop
    /// ctx.alloc(String::from("mill"));
    /// assert_eq!(ctx.owned_values(), 1);
    /// ```
    pub fn owned_values(&self) -> usize {
        self.state.count()
    }

    /// Limits what this context and all below it may take, headers included, to `max` bytes. What lies
    /// below from now on is refused with [`AllocError::LimitReached`]; what is there stays. 0 is no limit.
    ///
    /// Limits nest. The members of a pool do not count; the pool does, with all its room.
    ///
    /// # Errors
    /// [`AllocError::OutOfMemory`]: nothing has changed.
    ///
    /// ```
    /// use tmempool::{AllocError, Context};
    ///
    /// let ctx = Context::new("request");
    /// ctx.set_limit(10_000)?;
    /// assert!(ctx.try_alloc([0u8; 1_000]).is_ok());
    /// assert_eq!(ctx.try_alloc([0u8; 20_000]).err(), Some(AllocError::LimitReached));
    /// # Ok::<(), AllocError>(())
    /// ```
    pub fn set_limit(&self, max: usize) -> Result<(), AllocError> {
        // SAFETY: alive, and this thread uses its tree.
        unsafe { ops::set_limit(self.chunk(), max) }
    }

    /// The limit that was set on this context itself: bytes that may be used, and that are.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("request");
    /// assert!(ctx.limit().is_none());
    /// ctx.set_limit(10_000)?;
    /// assert_eq!(ctx.limit().unwrap().max, 10_000);
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    pub fn limit(&self) -> Option<crate::tree::Limit> {
        self.chunk().limit()
    }
}

/// Frees the chunk of a context, or of a box, which nobody uses any more.
///
/// # Safety
/// See [`ops`].
pub(super) unsafe fn free(chunk: Chunk) -> Result<(), FreeError> {
    unwind::resume_after(|| {
        // SAFETY: the caller's.
        match unsafe { ops::free(chunk, LOCATION.as_ptr()) } {
            // Somebody else has a hold on it: ours goes.
            // SAFETY: the caller's; it lives on.
            Err(FreeError::HasReferences) => unsafe { ops::unlink(chunk.parent(), chunk, LOCATION.as_ptr()) },
            other => other,
        }
    })
}

impl<K: Kind> Drop for Context<K> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: nothing of the context is borrowed, and this thread uses its tree.
        unsafe { free_quick_or(self.chunk(), free_whole) }
    }
}

/// Frees `chunk`, the short way if it goes.
///
/// # Safety
/// As for [`free`].
#[inline(always)]
pub(super) unsafe fn free_quick_or(chunk: Chunk, slow: unsafe fn(Chunk)) {
    // SAFETY: the caller's.
    unsafe {
        if !ops::free_quick(chunk, LOCATION.as_ptr()) {
            slow(chunk);
        }
    }
}

/// [`free`], where nobody can be told that it was refused.
///
/// # Safety
/// As for [`free`].
#[cold]
#[inline(never)]
pub(super) unsafe fn free_whole(chunk: Chunk) {
    // SAFETY: the caller's.
    let freed = unsafe { free(chunk) };
    debug_assert!(!matches!(freed, Err(FreeError::Corrupt(_))), "{freed:?}");
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

/// Values written so far, which are dropped if the making of the next one panics.
struct Made<T> {
    at: NonNull<T>,
    len: usize,
}

impl<T> Drop for Made<T> {
    fn drop(&mut self) {
        // SAFETY: this many are written, and nobody else drops them.
        unsafe { NonNull::slice_from_raw_parts(self.at, self.len).drop_in_place() };
    }
}

/// The value, or a panic that says why there is none.
#[inline(always)]
pub(super) fn or_panic<T>(result: Result<T, AllocError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => refuse(error),
    }
}

#[cold]
#[inline(never)]
fn refuse(error: AllocError) -> ! {
    panic!("tmempool: {error}")
}
