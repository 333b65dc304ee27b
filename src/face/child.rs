//! A context below another.

use core::fmt;
use core::marker::PhantomData;
use core::mem;
use core::ops::Deref;

use super::context::Context;
use super::kind::{Kind, Local, MovesTo};
use super::state::StateRef;

/// A context below another, which is borrowed for `'p`. It is a [`Context`] in all but its end: dropped, it goes with
/// all below it; leaked, it goes with its parent.
///
/// ```
/// use tmempool::{Child, Context};
///
/// fn greet(ctx: &Context) -> &str {
///     ctx.alloc_str("good morning")
/// }
/// let server = Context::new("server");
/// let request: Child<'_> = server.child("request");
/// assert_eq!(greet(&request), "good morning");
/// ```
///
/// It cannot outlive its parent, however the two are declared:
///
/// ```compile_fail
/// let request;
/// let server = tmempool::Context::new("server");
/// request = server.child("request");
/// ```
pub struct Child<'p, K: Kind = Local> {
    /// It is never given out by `&mut`: it could be swapped with one that has another parent, or none.
    ctx: Context<K>,
    /// Part of a tree that its parent's thread uses, so it is not sent.
    parent: PhantomData<(&'p (), *const ())>,
}

/// A context with room of its own, taken ahead: see [`Context::pool`].
///
/// ```
/// use tmempool::{Context, Pool};
///
/// let server = Context::new("server");
/// let request: Pool<'_> = server.pool(64 << 10);
/// ```
pub type Pool<'p, K = Local> = Child<'p, K>;

impl<'p, K: Kind> Child<'p, K> {
    /// The context with `state`, for as long as what it lies below is borrowed.
    ///
    /// # Safety
    /// Nobody else frees it; its parent is borrowed for `'p`, or it has none; it may own what its kind says.
    pub(super) unsafe fn of_state(state: StateRef) -> Self {
        // SAFETY: the caller's.
        Child { ctx: unsafe { Context::of_state(state) }, parent: PhantomData }
    }

    /// The context, whose end is the caller's affair.
    pub(super) fn into_state(self) -> StateRef {
        let state = self.ctx.state();
        mem::forget(self);
        state
    }

    /// Drops all values and frees all below: see [`Context::reset`].
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let mut request = server.pool(64 << 10);
    /// request.alloc_str("/mill/7");
    /// request.reset();
    /// ```
    pub fn reset(&mut self) {
        self.ctx.reset();
    }

    /// Makes `to` the parent: see [`Context::move_to`].
    ///
    /// ```
    /// use tmempool::Context;
    ///
    /// let (a, b) = (Context::new("a"), Context::new("b"));
    /// let child = a.child("child").move_to(&b);
    /// drop(a);
    /// assert_eq!(child.name(), "child");
    /// ```
    #[track_caller]
    pub fn move_to<'to, P: Kind>(self, to: &'to Context<P>) -> Child<'to, K>
    where
        K: MovesTo<P>,
    {
        // SAFETY: the handle that had it is gone.
        unsafe { Context::<K>::of_state(self.into_state()) }.move_to(to)
    }

    /// Frees the context, or gives it back if it refuses: see [`Context::free`].
    ///
    /// # Errors
    /// The context, as it was.
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// assert!(server.child("request").free().is_ok());
    /// ```
    #[cfg(feature = "std")]
    pub fn free(self) -> Result<(), Self> {
        // SAFETY: the handle that had it is gone; what comes back has the same parent.
        unsafe {
            let ctx = Context::<K>::of_state(self.into_state());
            ctx.free().map_err(|ctx| {
                let state = ctx.state();
                mem::forget(ctx);
                Child::of_state(state)
            })
        }
    }
}

impl<K: Kind> Deref for Child<'_, K> {
    type Target = Context<K>;

    #[inline]
    fn deref(&self) -> &Context<K> {
        &self.ctx
    }
}

/// What frees the context is the drop of the field. That this is here, and names `'p`, is what has the compiler see
/// to it that the parent is still borrowed then.
impl<K: Kind> Drop for Child<'_, K> {
    #[inline]
    fn drop(&mut self) {}
}

impl<K: Kind> fmt::Debug for Child<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ctx.fmt(f)
    }
}
