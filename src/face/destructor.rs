//! Closures that are asked before a context is freed, and may refuse.
//!
//! They are kept by generational keys, so that one that is no longer wanted can be taken away. A context
//! asks them newest first, before any of its values is dropped; the first that refuses keeps all of it.

use core::cell::Cell;
use core::ptr::NonNull;
use std::boxed::Box;
use std::vec::Vec;

use slotmap::SlotMap;

use super::context::{Context, free};
use super::kind::{Kind, Owns};
use super::state::StateRef;
use super::unwind;
use crate::error::{AllocError, FreeError};

slotmap::new_key_type! {
    /// Names a closure given to [`Context::on_free`]. A key of one context says nothing to another.
    ///
    /// ```
    /// use tmempool::{Context, DestructorKey, Verdict};
    ///
    /// let (ctx, other) = (Context::new("ctx"), Context::new("other"));
    /// let key: DestructorKey = ctx.on_free(|| Verdict::Free)?;
    /// assert!(!other.cancel(key));
    /// assert!(ctx.cancel(key));
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    pub struct DestructorKey;
}

/// What a closure says to the end of its context.
///
/// ```
/// use tmempool::{Context, Verdict};
///
/// let ctx = Context::new("connection");
/// let mut asked = 0;
/// ctx.on_free(move || {
///     asked += 1;
///     if asked < 3 { Verdict::Keep } else { Verdict::Free }
/// })?;
/// let ctx = ctx.free().unwrap_err();
/// let ctx = ctx.free().unwrap_err();
/// assert!(ctx.free().is_ok());
/// # Ok::<(), tmempool::AllocError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be freed.
    Free,
    /// It must live on.
    Keep,
}

type Closure = Box<dyn FnMut() -> Verdict>;

/// The closures of a context.
pub(super) struct Closures {
    by_key: SlotMap<DestructorKey, Closure>,
    /// Oldest first.
    order: Vec<DestructorKey>,
}

/// Where a state keeps its closures: a box that is this context's alone.
pub(super) type ClosuresCell = Cell<Option<NonNull<Closures>>>;

/// Asks the closures of a context whether it may be freed. If so, they are gone; a panic is no refusal.
pub(super) fn may_go(cell: &ClosuresCell) -> bool {
    let Some(closures) = cell.take() else { return true };
    // SAFETY: made from a box by `on_free`, and out of the cell, so that nobody else has it.
    let mut closures = unsafe { Box::from_raw(closures.as_ptr()) };
    let (mut left, mut kept) = (closures.order.len(), false);
    unwind::contain(|| {
        while left > 0 && !kept {
            left -= 1;
            let key = closures.order[left];
            kept = closures.by_key.get_mut(key).is_some_and(|closure| closure() == Verdict::Keep);
        }
    });
    if kept {
        cell.set(Some(NonNull::from(Box::leak(closures))));
        return false;
    }
    let mut closures = Some(closures);
    unwind::contain(|| drop(closures.take()));
    true
}

impl<K: Kind> Context<K> {
    /// Has `closure` asked before the context is freed, and before its values are dropped. It may refuse.
    ///
    /// A context that was refused its end stays where it is in the tree; when its parent is freed it is asked
    /// again, and if it still refuses it moves on to its parent's parent, or stays without a parent: talloc's
    /// rule. Nothing is lost by it but memory. Whoever wants to know calls [`free`](Self::free).
    ///
    /// # Errors
    /// [`AllocError`]: the closure is dropped.
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    /// use tmempool::{Context, Verdict};
    ///
    /// let busy = Rc::new(Cell::new(true));
    /// let ctx = Context::new("connection");
    /// let asked = busy.clone();
    /// ctx.on_free(move || if asked.get() { Verdict::Keep } else { Verdict::Free })?;
    ///
    /// let ctx = ctx.free().expect_err("it is busy");
    /// busy.set(false);
    /// assert!(ctx.free().is_ok());
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    pub fn on_free<F>(&self, closure: F) -> Result<DestructorKey, AllocError>
    where
        F: FnMut() -> Verdict + 'static,
        K: Owns<F>,
    {
        let state = self.state();
        state.need_destructor()?;
        Ok(with_closures(state, |closures| {
            let key = closures.by_key.insert(Box::new(closure));
            closures.order.push(key);
            key
        }))
    }

    /// Takes back the closure with this `key`. Says whether there was one.
    ///
    /// ```
    /// use tmempool::{Context, Verdict};
    ///
    /// let ctx = Context::new("connection");
    /// let key = ctx.on_free(|| Verdict::Keep)?;
    /// assert!(ctx.cancel(key));
    /// assert!(!ctx.cancel(key));
    /// assert!(ctx.free().is_ok());
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    pub fn cancel(&self, key: DestructorKey) -> bool {
        if self.state().closures().get().is_none() {
            return false;
        }
        // Dropped only when the closures are in their place again, as its drop is foreign code.
        let gone = with_closures(self.state(), |closures| {
            closures.order.retain(|&other| other != key);
            closures.by_key.remove(key)
        });
        gone.is_some()
    }

    /// Frees the context, or gives it back if a closure given to [`on_free`](Self::on_free) refuses.
    ///
    /// # Errors
    /// The context, as it was.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("connection");
    /// assert!(ctx.free().is_ok());
    /// ```
    pub fn free(self) -> Result<(), Self> {
        // The handle must not free it once more, should a value's drop panic.
        let ctx = core::mem::ManuallyDrop::new(self);
        // SAFETY: nothing of the context is borrowed, and this thread uses its tree.
        match unsafe { free(ctx.chunk()) } {
            Err(FreeError::Vetoed) => Err(core::mem::ManuallyDrop::into_inner(ctx)),
            _ => Ok(()),
        }
    }
}

/// Does something with the closures of a context, which has a destructor that frees them. No foreign code runs
/// meanwhile.
fn with_closures<R>(state: StateRef, f: impl FnOnce(&mut Closures) -> R) -> R {
    let mut closures = match state.closures().take() {
        // SAFETY: made from a box below, and out of the cell, so that nobody else has it.
        Some(closures) => unsafe { Box::from_raw(closures.as_ptr()) },
        None => Box::new(Closures { by_key: SlotMap::with_key(), order: Vec::new() }),
    };
    let result = f(&mut closures);
    state.closures().set(Some(NonNull::from(Box::leak(closures))));
    result
}
