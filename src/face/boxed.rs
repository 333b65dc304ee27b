//! A box whose memory belongs to a context, and whose value belongs to the box.
//!
//! The value is dropped by the box, on the stack's terms, so it may borrow whatever outlives the box. A
//! box that is leaked leaves its memory to the context, and its value is never dropped.

use core::alloc::Layout;
use core::borrow::{Borrow, BorrowMut};
use core::cmp::Ordering;
use core::ffi::CStr;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::mem;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use super::context::{Context, free, or_panic};
use super::kind::{Kind, Owns};
use super::place;
use crate::error::AllocError;
use crate::ops;
use crate::tree::Chunk;

/// The name of a box, where it is given none.
const NAME: &CStr = c"CtxBox";

/// A value in a chunk of its own below a context, which can be freed early and moved to another context.
///
/// It is `'c` that ties it to the context. Reports show it by its name.
///
/// ```
/// use tmempool::{Context, CtxBox};
///
/// let (request, session) = (Context::new("request"), Context::new("session"));
/// let token = request.boxed(String::from("7a3f"));
/// let draft = request.boxed(String::from("…"));
/// drop(draft); // freed early
/// let token: CtxBox<'_, String> = token.move_to(&session); // outlives the request now
/// drop(request);
/// assert_eq!(*token, "7a3f");
/// ```
///
/// Without the move it does not compile:
///
/// ```compile_fail
/// # use tmempool::Context;
/// let request = Context::new("request");
/// let token = request.boxed(String::from("7a3f"));
/// drop(request);
/// assert_eq!(*token, "7a3f");
/// ```
pub struct CtxBox<'c, T> {
    value: NonNull<T>,
    /// Owns a `T`, in memory of a context that is borrowed.
    owns: PhantomData<(&'c (), T)>,
}

impl<'p, K: Kind> Context<'p, K> {
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
        self.try_boxed_named(NAME, value)
    }

    /// `value` in a box that reports show as `name`.
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
        // SAFETY: the context is alive, and this thread uses its tree; the memory is fresh, and large enough.
        unsafe {
            let at = place::alloc(self.chunk(), Layout::new::<T>(), name.as_ptr())?.cast::<T>();
            at.write(value);
            Ok(CtxBox { value: at, owns: PhantomData })
        }
    }

    /// Makes `boxed` a value of this context, wherever it was: it is dropped with the context from now on.
    ///
    /// # Panics
    /// If there is no memory for the note of it: see [`try_adopt`](Self::try_adopt).
    ///
    /// ```
    /// let (request, session) = (tmempool::Context::new("request"), tmempool::Context::new("session"));
    /// let token = request.boxed(String::from("7a3f"));
    /// let token: &mut String = session.adopt(token);
    /// drop(request);
    /// assert_eq!(token, "7a3f");
    /// ```
    #[allow(clippy::mut_from_ref, reason = "the box was the only one that had it")]
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
        /// The value of a box that nobody has any more.
        struct Adopted<T>(NonNull<T>);
        impl<T> Drop for Adopted<T> {
            fn drop(&mut self) {
                // SAFETY: the box was given up, so nobody else drops its value; its chunk lies below the
                // context that drops this, and goes after it.
                unsafe { self.0.drop_in_place() }
            }
        }
        let state = self.state();
        if mem::needs_drop::<T>() {
            let entry = match state.cut_owned::<Adopted<T>>() {
                Ok(entry) => entry,
                Err(error) => return Err((boxed, error)),
            };
            // SAFETY: memory for the note, which holds what T's kind allows; nobody drops it but the context.
            unsafe {
                entry.write(Adopted(boxed.value));
                state.own(entry);
            }
        }
        Ok(boxed.move_to(self).leak())
    }
}

impl<'c, T> CtxBox<'c, T> {
    fn chunk(&self) -> Chunk {
        // SAFETY: placed so, and alive as long as the box.
        unsafe { place::chunk_of(self.value.cast(), align_of::<T>()) }
    }

    /// Moves the box to `to`, whose lifetime it has from now on. The value stays where it lies.
    ///
    /// ```
    /// let (a, b) = (tmempool::Context::new("a"), tmempool::Context::new("b"));
    /// let number = a.boxed(7);
    /// let at = &raw const *number;
    /// let number = number.move_to(&b);
    /// assert_eq!(&raw const *number, at);
    /// ```
    pub fn move_to<'to, K: Kind>(self, to: &'to Context<'_, K>) -> CtxBox<'to, T> {
        // SAFETY: both are alive, and this thread uses their trees. A box has nothing below it.
        let moved = unsafe { ops::steal(Some(to.chunk()), self.chunk()) };
        debug_assert!(moved.is_ok(), "{moved:?}");
        let value = self.value;
        mem::forget(self);
        CtxBox { value, owns: PhantomData }
    }

    /// The value, out of its box, whose memory is freed.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("request");
    /// let name: String = ctx.boxed(String::from("mill")).into_inner();
    /// assert_eq!(name, "mill");
    /// ```
    pub fn into_inner(self) -> T {
        // SAFETY: the value is read once, and the box that would drop it is forgotten.
        unsafe {
            let value = self.value.read();
            let chunk = self.chunk();
            mem::forget(self);
            let _ = free(chunk);
            value
        }
    }

    /// Leaves the memory to the context. The value is never dropped; see [`Context::adopt`] for that.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("request");
    /// let number: &mut i32 = ctx.boxed(7).leak();
    /// *number += 1;
    /// ```
    pub fn leak(self) -> &'c mut T {
        let mut value = self.value;
        mem::forget(self);
        // SAFETY: nobody else has it, and its chunk lives as long as the context, which is borrowed for 'c.
        unsafe { value.as_mut() }
    }
}

impl<T> Drop for CtxBox<'_, T> {
    #[inline]
    fn drop(&mut self) {
        /// Frees the chunk, even when the value's drop panics.
        struct Memory(Chunk);
        impl Drop for Memory {
            #[inline]
            fn drop(&mut self) {
                // SAFETY: nobody uses it any more; it has no destructor, and nothing below it.
                unsafe {
                    if !ops::free_quick(self.0, super::state::LOCATION.as_ptr()) {
                        let _ = free(self.0);
                    }
                }
            }
        }
        let _memory = Memory(self.chunk());
        // SAFETY: the box owns its value, and is gone after this.
        unsafe { self.value.drop_in_place() };
    }
}

impl<T> Deref for CtxBox<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the box owns a live value.
        unsafe { self.value.as_ref() }
    }
}

impl<T> DerefMut for CtxBox<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the box owns a live value.
        unsafe { self.value.as_mut() }
    }
}

impl<T> AsRef<T> for CtxBox<'_, T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T> AsMut<T> for CtxBox<'_, T> {
    fn as_mut(&mut self) -> &mut T {
        self
    }
}

impl<T> Borrow<T> for CtxBox<'_, T> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T> BorrowMut<T> for CtxBox<'_, T> {
    fn borrow_mut(&mut self) -> &mut T {
        self
    }
}

impl<T: fmt::Debug> fmt::Debug for CtxBox<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for CtxBox<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: PartialEq> PartialEq for CtxBox<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for CtxBox<'_, T> {}

impl<T: PartialOrd> PartialOrd for CtxBox<'_, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (**self).partial_cmp(&**other)
    }
}

impl<T: Ord> Ord for CtxBox<'_, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl<T: Hash> Hash for CtxBox<'_, T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}
