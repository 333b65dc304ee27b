//! Values of a context: dropped with it, or never.

use core::alloc::Layout;
use core::mem;
use core::ptr::NonNull;

use super::{Context, or_panic};
use crate::error::AllocError;
use crate::face::kind::{Kind, Owns};

impl<K: Kind> Context<K> {
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
    #[track_caller]
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
    #[track_caller]
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
    #[track_caller]
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
    #[track_caller]
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
}
