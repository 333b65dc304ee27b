//! To and from C's talloc world: contexts as `void *`.
//!
//! Both worlds must be one allocator: the C functions of the crate `tmempool-capi`, linked into the same
//! program. A `libtmempool.so` or `libtalloc.so.2` that is loaded beside the program is another one; its
//! pointers are not known here, and are refused.
//!
//! A context of this layer has its state in its own payload. A chunk of C's has another payload, so its state
//! lies in a child of it, and is freed, values and all, when the chunk is, by whomever.

use core::ffi::c_void;
use core::mem::ManuallyDrop;

use super::context::Context;
use super::kind::Kind;
use super::state::{self, StateRef};
use crate::error::{AllocError, Fault};
use crate::ops;
use crate::tree::Chunk;

/// The name of the state of a chunk of C's.
const NAME: &str = "rust values";

/// Why a pointer of C's did not become a context.
///
/// ```
/// use tmempool::{Context, Fault, RawError};
///
/// let no_chunk = std::ptr::null_mut();
/// // SAFETY: any number may be asked about.
/// let refused: Result<Context, RawError> = unsafe { Context::from_raw(no_chunk) };
/// assert_eq!(refused.err(), Some(RawError::Fault(Fault::Unknown)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawError {
    /// It is no live chunk of this allocator.
    Fault(Fault),
    /// There is no memory for the state.
    Alloc(AllocError),
    /// It belongs to a shared context of C's, which has to be entered for each use.
    Shared,
}

impl core::fmt::Display for RawError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            RawError::Fault(Fault::Freed { .. }) => f.write_str("the pointer leads to a freed chunk"),
            RawError::Fault(Fault::Interrupted) => {
                f.write_str("a signal handler has interrupted the thread inside a shared context")
            }
            RawError::Fault(Fault::Unknown) => f.write_str("the pointer is not one of this allocator's"),
            RawError::Alloc(error) => error.fmt(f),
            RawError::Shared => f.write_str("the pointer leads into a shared context"),
        }
    }
}

impl core::error::Error for RawError {}

impl<K: Kind> Context<K> {
    /// Gives the context to C, as a `TALLOC_CTX *` that C frees. Its values are dropped then.
    ///
    /// Nothing is unsafe about this; what C does with it is. It may move the context, refer to it, name it anew, and
    /// allocate below it, but not change its size or its destructor. It must free it on this thread, unless it is
    /// [`Sendable`](crate::Sendable), and a value whose drop panics then aborts the process.
    ///
    /// ```
    /// use tmempool::Context;
    ///
    /// let ctx = Context::new("for C");
    /// ctx.alloc(String::from("value"));
    /// let raw = ctx.into_raw();
    /// // … C uses it, and gives it back:
    /// // SAFETY: it came from `into_raw`, on this thread, and C does not use it any more.
    /// let ctx: Context = unsafe { Context::from_raw(raw) }?;
    /// assert_eq!(ctx.owned_values(), 1);
    /// # Ok::<(), tmempool::RawError>(())
    /// ```
    pub fn into_raw(self) -> *mut c_void {
        ManuallyDrop::new(self).chunk().ptr()
    }

    /// Takes a chunk from C: dropped, it is freed, as by `talloc_free()`, with its destructor and all below it.
    /// It stays where it is in its tree until then.
    ///
    /// # Safety
    /// - The pointer came from [`into_raw`](Self::into_raw), or from C, which gives up its right to free it,
    ///   to move it, and to free what lies above it.
    /// - No other thread uses its tree as long as the context, or what came of it, is in use.
    /// - A chunk that came from `into_raw` has the same kind as before.
    ///
    /// # Errors
    /// [`RawError`]: nothing has changed.
    ///
    /// ```
    /// use tmempool::{Context, Fault, RawError};
    ///
    /// let number = Box::new(7);
    /// let stranger = (&raw const *number).cast_mut().cast();
    /// // SAFETY: any number may be asked about.
    /// let refused: Result<Context, _> = unsafe { Context::from_raw(stranger) };
    /// assert_eq!(refused.err(), Some(RawError::Fault(Fault::Unknown)));
    /// ```
    pub unsafe fn from_raw(raw: *mut c_void) -> Result<Self, RawError> {
        // SAFETY: any number may be asked about; the rest is the caller's.
        unsafe { Ok(Context::of_state(state_of(raw)?)) }
    }
}

impl<K: Kind> Context<K> {
    /// The context as C knows it, which stays this one's: C may allocate below it, but neither free nor move it.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("parent of C's chunks");
    /// assert!(!ctx.as_raw().is_null());
    /// ```
    pub fn as_raw(&self) -> *mut c_void {
        self.chunk().ptr()
    }

    /// Lets `f` use a chunk of C's as a context, which stays C's. What `f` allocates and leaves there is
    /// dropped and freed with the chunk.
    ///
    /// # Safety
    /// As for [`from_raw`](Context::from_raw), but that C gets its rights back after this. It must
    /// free the chunk on this thread, unless `K` is not [`Local`](crate::Local).
    ///
    /// # Errors
    /// [`RawError`]: `f` has not been called.
    ///
    /// ```
    /// use tmempool::Context;
    ///
    /// let parent = Context::new("C's");
    /// let length = unsafe {
    ///     Context::<tmempool::Local>::with_raw(parent.as_raw(), |ctx| ctx.alloc_str("text").len())
    /// };
    /// assert_eq!(length, Ok(4));
    /// ```
    pub unsafe fn with_raw<R>(raw: *mut c_void, f: impl FnOnce(&Context<K>) -> R) -> Result<R, RawError> {
        // SAFETY: any number may be asked about; the rest is the caller's.
        let ctx = unsafe { ManuallyDrop::new(Context::of_state(state_of(raw)?)) };
        Ok(f(&ctx))
    }
}

/// The state of the chunk at `raw`: its own, or one among its newest children, or a new one.
///
/// # Safety
/// If it is a chunk, this thread uses its tree.
unsafe fn state_of(raw: *mut c_void) -> Result<StateRef, RawError> {
    // SAFETY: the caller's; any number may be asked about.
    unsafe {
        let chunk = Chunk::check(raw).map_err(RawError::Fault)?;
        if ops::is_shared(chunk) {
            return Err(RawError::Shared);
        }
        if let Some(own) = StateRef::held_by(chunk) {
            return Ok(own);
        }
        let mut newest = chunk.children().take(4);
        if let Some(found) = newest.find_map(|c| StateRef::held_by(c).filter(|s| s.chunk() == chunk)) {
            return Ok(found);
        }
        let (least, most) = state::sizes(NAME.len()).map_err(RawError::Alloc)?;
        let holder = ops::alloc(Some(chunk), most).or_else(|_| ops::alloc(Some(chunk), least));
        let holder = holder.map_err(RawError::Alloc)?;
        Ok(StateRef::create(holder, chunk, NAME, 0))
    }
}
