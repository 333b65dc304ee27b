//! Values with several owners: talloc's references, with types.
//!
//! A shared value has a chunk of its own below the context that made it, and each further context that wants
//! it holds a reference. It lives until the last of them lets it go, whichever that is, and passes from a
//! parent that is freed to one of the others. A [`CtxRef`] stands for one hold: as many as a context
//! has, or has leaked, as many holds it has.
//!
//! Trees with a value in common must stay on one thread, so only [`Local`] contexts share.

use core::alloc::Layout;
use core::ffi::{CStr, c_int, c_void};
use core::fmt;
use core::marker::PhantomData;
use core::mem;
use core::ops::Deref;
use core::ptr::NonNull;

use super::context::{Context, or_panic};
use super::kind::Local;
use super::state::LOCATION;
use super::{place, unwind};
use crate::error::AllocError;
use crate::ops;
use crate::tree::Chunk;

/// The name of a shared value.
const NAME: &CStr = c"CtxRef";

/// A context's hold on a value that it may share with others. Dropped, it lets the value go.
///
/// ```
/// use tmempool::Context;
///
/// let (a, b) = (Context::new("a"), Context::new("b"));
/// let ours = a.share(String::from("mill"));
/// let theirs = b.reference(&ours);
/// drop(ours);
/// drop(a); // the value is b's now
/// assert_eq!(*theirs, "mill");
/// ```
///
/// The hold is the context's, so that it does not outlive that:
///
/// ```compile_fail
/// # use tmempool::Context;
/// let (a, b) = (Context::new("a"), Context::new("b"));
/// let ours = a.share(String::from("mill"));
/// let theirs = b.reference(&ours);
/// drop(b);
/// assert_eq!(*theirs, "mill");
/// ```
pub struct CtxRef<'c, T: 'static> {
    value: NonNull<T>,
    owner: Chunk,
    /// Shares a `T`, by a hold of a context that is borrowed.
    holds: PhantomData<(&'c (), T)>,
}

impl Context<Local> {
    /// A value that other contexts can hold, too. It is dropped when the last of them lets it go.
    ///
    /// # Panics
    /// If there is no memory: see [`try_share`](Self::try_share).
    ///
    /// ```
    /// let ctx = tmempool::Context::new("config");
    /// let words = ctx.share(vec!["a", "b"]);
    /// assert_eq!(words.len(), 2);
    /// ```
    #[track_caller]
    pub fn share<T: 'static>(&self, value: T) -> CtxRef<'_, T> {
        or_panic(self.try_share(value))
    }

    /// [`share`](Self::share), for those who can go on without. Without memory the value is dropped.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let ctx = tmempool::Context::new("config");
    /// let words = ctx.try_share(vec!["a", "b"])?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    pub fn try_share<T: 'static>(&self, value: T) -> Result<CtxRef<'_, T>, AllocError> {
        // SAFETY: the context is alive, and this thread uses its tree; the memory is fresh, and large
        // enough. The destructor is for the type that is written.
        unsafe {
            let at = place::alloc(self.chunk(), Layout::new::<T>(), NAME.as_ptr())?.cast::<T>();
            let chunk = place::chunk_of(at.cast(), align_of::<T>());
            if mem::needs_drop::<T>()
                && let Err(error) = ops::set_destructor(chunk, Some(drop_shared::<T>))
            {
                let _ = ops::free(chunk, LOCATION.as_ptr());
                return Err(error);
            }
            at.write(value);
            Ok(CtxRef { value: at, owner: self.chunk(), holds: PhantomData })
        }
    }

    /// A further hold on a value, by this context.
    ///
    /// # Panics
    /// If there is no memory: see [`try_reference`](Self::try_reference).
    ///
    /// ```
    /// let (a, b) = (tmempool::Context::new("a"), tmempool::Context::new("b"));
    /// let ours = a.share(7);
    /// let theirs = b.reference(&ours);
    /// assert_eq!(*ours, *theirs);
    /// assert!(b.report().to_string().contains("reference to: CtxRef"));
    /// ```
    #[track_caller]
    pub fn reference<T: 'static>(&self, value: &CtxRef<'_, T>) -> CtxRef<'_, T> {
        or_panic(self.try_reference(value))
    }

    /// [`reference`](Self::reference), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let (a, b) = (tmempool::Context::new("a"), tmempool::Context::new("b"));
    /// let ours = a.share(7);
    /// let theirs = b.try_reference(&ours)?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    pub fn try_reference<T: 'static>(&self, value: &CtxRef<'_, T>) -> Result<CtxRef<'_, T>, AllocError> {
        // SAFETY: both are alive, and this thread uses their trees.
        unsafe { ops::reference(Some(self.chunk()), value.chunk(), LOCATION.as_ptr())? };
        Ok(CtxRef { value: value.value, owner: self.chunk(), holds: PhantomData })
    }
}

impl<T> CtxRef<'_, T> {
    fn chunk(&self) -> Chunk {
        // SAFETY: placed so, and alive as long as anyone holds it.
        unsafe { place::chunk_of(self.value.cast(), align_of::<T>()) }
    }

    /// How many contexts hold the value; one that holds it twice counts twice.
    ///
    /// ```
    /// let (a, b) = (tmempool::Context::new("a"), tmempool::Context::new("b"));
    /// let ours = a.share(7);
    /// let theirs = b.reference(&ours);
    /// assert_eq!(ours.holders(), 2);
    /// drop(theirs);
    /// assert_eq!(ours.holders(), 1);
    /// ```
    pub fn holders(&self) -> usize {
        // SAFETY: alive, and this thread uses its tree.
        1 + unsafe { ops::reference_count(self.chunk()) }
    }

    /// Whether two holds are on the same value.
    ///
    /// ```
    /// let (a, b) = (tmempool::Context::new("a"), tmempool::Context::new("b"));
    /// let ours = a.share(7);
    /// assert!(ours.is_same(&b.reference(&ours)));
    /// assert!(!ours.is_same(&a.share(7)));
    /// ```
    pub fn is_same(&self, other: &CtxRef<'_, T>) -> bool {
        self.chunk() == other.chunk()
    }
}

/// The destructor of a shared value.
unsafe extern "C" fn drop_shared<T>(payload: *mut c_void) -> c_int {
    // SAFETY: set on the chunk of a shared T, which is dropped here and nowhere else.
    unsafe {
        let chunk = Chunk::of_payload(NonNull::new_unchecked(payload));
        let mut value = Some(place::value_in(chunk, Layout::new::<T>()).cast::<T>());
        unwind::contain(|| {
            if let Some(value) = value.take() {
                value.drop_in_place();
            }
        });
    }
    0
}

impl<T> Drop for CtxRef<'_, T> {
    fn drop(&mut self) {
        let (chunk, owner) = (self.chunk(), self.owner);
        // SAFETY: the owner is alive, has this hold, and nobody uses the value by it any more.
        let gone = unwind::resume_after(|| unsafe { ops::unlink(Some(owner), chunk, LOCATION.as_ptr()) });
        debug_assert!(gone.is_ok(), "{gone:?}");
    }
}

impl<T> Deref for CtxRef<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: alive as long as it is held.
        unsafe { self.value.as_ref() }
    }
}

impl<T: fmt::Debug> fmt::Debug for CtxRef<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for CtxRef<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
