//! A box whose memory belongs to a context, and whose value belongs to the box.
//!
//! The value is dropped by the box, on the stack's terms, so it may borrow whatever outlives the box. A
//! box that is leaked leaves its memory to the context, and its value is never dropped.
//!
//! A small value lies in its context's blocks, like those that the context owns itself; when it is moved to
//! another context, its bytes move. A large one, or one with a name, has a chunk of its own.

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

use super::context::{Context, free_quick_or, free_whole, or_panic};
use super::kind::{Kind, Owns};
use super::place::{self, PAYLOAD_ALIGN};
use super::state::{LARGEST_ROOM, StateRef};
use crate::error::{AllocError, StealError};
use crate::ops;
use crate::tree::Chunk;

/// The name of a large box that is given none.
const NAME: &CStr = c"CtxBox";

/// A value in the memory of a context, which can be freed early and moved to another context.
///
/// It is `'c` that ties it to the context.
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
    /// The context whose room the value lies in; none if it has a chunk of its own, or no size.
    room: Option<StateRef>,
    /// Owns a `T`, in memory of a context that is borrowed.
    owns: PhantomData<(&'c (), T)>,
}

/// The largest value that lies in its context's blocks, in bytes: it is copied when it is moved to another.
const SMALL: usize = 256;
const _: () = assert!(SMALL <= LARGEST_ROOM);

/// Whether a `T` lies in its context's blocks.
const fn is_small<T>() -> bool {
    size_of::<T>() > 0 && size_of::<T>() <= SMALL && align_of::<T>() <= PAYLOAD_ALIGN
}

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

impl<'c, T> CtxBox<'c, T> {
    /// Moves the box to `to`, whose lifetime it has from now on.
    ///
    /// # Panics
    /// If there is no memory: see [`try_move_to`](Self::try_move_to).
    ///
    /// ```
    /// let (a, b) = (tmempool::Context::new("a"), tmempool::Context::new("b"));
    /// let number = a.boxed(7).move_to(&b);
    /// drop(a);
    /// assert_eq!(*number, 7);
    /// ```
    pub fn move_to<'to, K: Kind>(self, to: &'to Context<K>) -> CtxBox<'to, T> {
        match self.try_move_to(to) {
            Ok(moved) => moved,
            Err((_, error)) => or_panic(Err(error)),
        }
    }

    /// [`move_to`](Self::move_to), for those who can go on without. A value with a chunk of its own stays where
    /// it lies, and its move does not fail, but into or out of a shared context of C's.
    ///
    /// # Errors
    /// [`AllocError`], and the box, as it was.
    ///
    /// ```
    /// let (a, b) = (tmempool::Context::new("a"), tmempool::Context::new("b"));
    /// let page = a.boxed([0u8; 4096]);
    /// let at = &raw const *page;
    /// let page = page.try_move_to(&b).expect("it only gets another parent");
    /// assert_eq!(&raw const *page, at);
    /// ```
    pub fn try_move_to<'to, K: Kind>(
        self,
        to: &'to Context<K>,
    ) -> Result<CtxBox<'to, T>, (Self, AllocError)> {
        let (mut value, mut room) = (self.value, self.room);
        if let Some(old) = self.room {
            match to.state().take_room(size_of::<T>()) {
                // SAFETY: two different rooms, each for a T; the old one is nobody's after this.
                Ok(at) => unsafe {
                    (value, room) = (at.cast(), Some(to.state()));
                    value.copy_from_nonoverlapping(self.value, 1);
                    old.give_room(self.value.cast(), size_of::<T>());
                },
                Err(error) => return Err((self, error)),
            }
        } else if let Some(chunk) = self.chunk() {
            // SAFETY: both are alive, and this thread uses their trees. A box has nothing below it.
            let stolen = unsafe { ops::steal(Some(to.chunk()), chunk) };
            match stolen {
                Ok(()) => {}
                Err(StealError::OutOfMemory) => return Err((self, AllocError::OutOfMemory)),
                Err(_) => return Err((self, AllocError::Refused)),
            }
        }
        mem::forget(self);
        Ok(CtxBox { value, room, owns: PhantomData })
    }

    /// The chunk, if it has one of its own.
    #[inline(always)]
    fn chunk(&self) -> Option<Chunk> {
        if self.room.is_some() || size_of::<T>() == 0 {
            return None;
        }
        // SAFETY: placed so, and alive as long as the box.
        Some(unsafe { place::chunk_of(self.value.cast(), align_of::<T>()) })
    }

    /// Frees the memory.
    ///
    /// # Safety
    /// Nobody uses the box any more, and its value has been dropped or moved out.
    #[inline(always)]
    unsafe fn free(&self) {
        // SAFETY: the caller's; a box's chunk has no destructor, and nothing below it.
        unsafe {
            if let Some(room) = self.room {
                room.give_room(self.value.cast(), size_of::<T>());
            } else if let Some(chunk) = self.chunk() {
                free_quick_or(chunk, free_whole);
            }
        }
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
            self.free();
            mem::forget(self);
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
        // SAFETY: nobody else has it, and its memory lives as long as the context, which is borrowed for 'c.
        unsafe { value.as_mut() }
    }
}

impl<T> Drop for CtxBox<'_, T> {
    #[inline]
    fn drop(&mut self) {
        /// Frees the memory, even when the value's drop panics.
        struct Memory<'a, 'c, T>(&'a CtxBox<'c, T>);
        impl<T> Drop for Memory<'_, '_, T> {
            #[inline]
            fn drop(&mut self) {
                // SAFETY: the value has been dropped, and the box is gone after this.
                unsafe { self.0.free() }
            }
        }
        let value = self.value;
        let _memory = Memory(self);
        // SAFETY: the box owns its value, and is gone after this.
        unsafe { value.drop_in_place() };
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
