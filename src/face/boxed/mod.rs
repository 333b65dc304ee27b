//! A box whose memory belongs to a context, and whose value belongs to the box.
//!
//! The value is dropped by the box, on the stack's terms, so it may borrow whatever outlives the box. A
//! box that is leaked leaves its memory to the context, and its value is never dropped.
//!
//! A small value lies in its context's blocks, like those that the context owns itself; when it is moved to
//! another context, its bytes move. A large one, or one with a name, has a chunk of its own.

mod make;
mod traits;

use core::marker::PhantomData;
use core::mem;
use core::ptr::NonNull;

use super::context::{Context, free_quick_or, free_whole, or_panic};
use super::kind::Kind;
use super::place::{self, PAYLOAD_ALIGN};
use super::state::{LARGEST_ROOM, StateRef};
use crate::error::{AllocError, StealError};
use crate::ops;
use crate::tree::Chunk;

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
    #[track_caller]
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
