//! Boxes made by a context, and given back to it.

use core::alloc::Layout;
use core::ffi::CStr;
use core::marker::PhantomData;
use core::mem;
use core::ptr::NonNull;

use super::{CtxBox, is_small};
use crate::error::AllocError;
use crate::face::context::{Context, or_panic};
use crate::face::kind::{Kind, Owns};
use crate::face::place;

/// The name of a large box that is given none.
const NAME: &CStr = c"CtxBox";

impl<K: Kind> Context<K> {
    /// `value` in a box of this context.
    ///
    /// # Panics
    /// If there is no memory: see [`try_boxed`](Self::try_boxed).
    ///
    /// ```
    /// let ctx = tmempool::Context::new("request");
    /// let mut numbers = ctx.boxed(vec![1, 2]);
    /// numbers.push(3);
    /// assert_eq!(*numbers, [1, 2, 3]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn boxed<T>(&self, value: T) -> CtxBox<'_, T> {
        or_panic(self.try_boxed(value))
    }

    /// [`boxed`](Self::boxed), for those who can go on without. Without memory the value is dropped.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let ctx = tmempool::Context::new("request");
    /// let number = ctx.try_boxed(7)?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    #[inline]
    pub fn try_boxed<T>(&self, value: T) -> Result<CtxBox<'_, T>, AllocError> {
        if size_of::<T>() == 0 {
            mem::forget(value);
            return Ok(CtxBox { value: NonNull::dangling(), room: None, owns: PhantomData });
        }
        if !is_small::<T>() {
            return self.try_boxed_named(NAME, value);
        }
        let at = self.state().take_room(size_of::<T>())?.cast::<T>();
        // SAFETY: room for a T, which nobody else has.
        unsafe { at.write(value) };
        Ok(CtxBox { value: at, room: Some(self.state()), owns: PhantomData })
    }

    /// `value` in a box with a chunk of its own, which reports show as `name`. A value of no size has none.
    ///
    /// # Panics
    /// If there is no memory: see [`try_boxed_named`](Self::try_boxed_named).
    ///
    /// ```
    /// let ctx = tmempool::Context::new("request");
    /// let buffer = ctx.boxed_named(c"buffer", [0u8; 100]);
    /// assert!(ctx.report().to_string().contains("buffer"));
    /// ```
    #[inline]
    #[track_caller]
    pub fn boxed_named<T>(&self, name: &'static CStr, value: T) -> CtxBox<'_, T> {
        or_panic(self.try_boxed_named(name, value))
    }

    /// [`boxed_named`](Self::boxed_named), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let ctx = tmempool::Context::new("request");
    /// let buffer = ctx.try_boxed_named(c"buffer", [0u8; 100])?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    #[inline]
    pub fn try_boxed_named<T>(&self, name: &'static CStr, value: T) -> Result<CtxBox<'_, T>, AllocError> {
        if size_of::<T>() == 0 {
            return self.try_boxed(value);
        }
        // SAFETY: the context is alive, and this thread uses its tree; the memory is fresh, and large enough.
        unsafe {
            let at = place::alloc(self.chunk(), Layout::new::<T>(), name.as_ptr())?.cast::<T>();
            at.write(value);
            Ok(CtxBox { value: at, room: None, owns: PhantomData })
        }
    }

    /// Makes `boxed` a value of this context, wherever it was: it is dropped with the context from now on.
    ///
    /// # Panics
    /// If there is no memory: see [`try_adopt`](Self::try_adopt).
    ///
    /// ```
    /// let (request, session) = (tmempool::Context::new("request"), tmempool::Context::new("session"));
    /// let token = request.boxed(String::from("7a3f"));
    /// let token: &mut String = session.adopt(token);
    /// drop(request);
    /// assert_eq!(token, "7a3f");
    /// ```
    #[allow(clippy::mut_from_ref, reason = "the box was the only one that had it")]
    #[track_caller]
    pub fn adopt<T: 'static>(&self, boxed: CtxBox<'_, T>) -> &mut T
    where
        K: Owns<T>,
    {
        match self.try_adopt(boxed) {
            Ok(value) => value,
            Err((_, error)) => or_panic(Err(error)),
        }
    }

    /// [`adopt`](Self::adopt), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`], and the box, as it was.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("request");
    /// let token = ctx.try_adopt(ctx.boxed(String::from("7a3f"))).expect("memory");
    /// assert_eq!(token, "7a3f");
    /// ```
    #[allow(clippy::mut_from_ref, reason = "the box was the only one that had it")]
    pub fn try_adopt<'b, T: 'static>(
        &self,
        boxed: CtxBox<'b, T>,
    ) -> Result<&mut T, (CtxBox<'b, T>, AllocError)>
    where
        K: Owns<T>,
    {
        // The value comes out of its box only once there is memory for it.
        let mut boxed = Some(boxed);
        let adopted = self.try_alloc_with(|| match boxed.take() {
            Some(boxed) => boxed.into_inner(),
            None => unreachable!("called once"),
        });
        match (adopted, boxed) {
            (Err(error), Some(boxed)) => Err((boxed, error)),
            (adopted, _) => Ok(or_panic(adopted)),
        }
    }
}
