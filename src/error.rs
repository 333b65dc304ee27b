//! What can go wrong, as values. Only the C interface turns them into NULL, errno, an abort or a
//! log line.

use core::ffi::c_char;
use core::fmt;

/// What a pointer that is not a live chunk turned out to be.
///
/// ```
/// use tmempool::{Context, Fault, RawError};
///
/// let raw = Context::new("C's").into_raw();
/// // SAFETY: it came from `into_raw`, on this thread.
/// let ctx: Context = unsafe { Context::from_raw(raw) }?;
/// drop(ctx);
/// // SAFETY: any number may be asked about.
/// let stale: Result<Context, _> = unsafe { Context::from_raw(raw) };
/// assert!(matches!(stale.err(), Some(RawError::Fault(Fault::Freed { .. }))));
/// # Ok::<(), RawError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It was a chunk and has been freed, first perhaps at `location` (null when that is not known).
    Freed {
        /// Where it was freed: the string that was given to the free, or null.
        location: *const c_char,
    },
    /// It was never a chunk, or its header has been overwritten.
    Unknown,
    /// It belongs to a shared context that this very thread is in the middle of using: a signal handler has interrupted
    /// it there.
    Interrupted,
}

/// Why memory was not given.
///
/// ```
/// use tmempool::{AllocError, Context};
///
/// let ctx = Context::new("request");
/// assert_eq!(ctx.try_pool(1 << 30).err(), Some(AllocError::TooLarge));
/// ctx.set_limit(1000)?;
/// assert_eq!(ctx.try_pool(1 << 20).err(), Some(AllocError::LimitReached));
/// # Ok::<(), AllocError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocError {
    /// The size is at or above [`MAX_SIZE`](crate::ops::MAX_SIZE).
    TooLarge,
    /// The system has no more memory for this process.
    OutOfMemory,
    /// A memory limit on the parent, or on one of its ancestors, would be passed.
    LimitReached,
    /// The chunk may not change: it is referenced, a pool, or being freed.
    Refused,
}

/// Why a chunk was not freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreeError {
    /// Others hold references to it, so that it is not known which parent is meant.
    HasReferences,
    /// Its destructor said no, or is running at this moment.
    Vetoed,
    /// The context given is neither its parent nor holds a reference to it.
    NotOwned,
    /// Another shared context was needed and is in use, and to wait for it the calling thread had to leave its own: it
    /// has come back, nothing has happened, and the call is to be made again from the start, pointers included.
    Again,
    /// Below it lies what is no live chunk: a header was overwritten, or freed behind the tree's back.
    /// What had not been freed until then stays as it was, out of reach.
    Corrupt(Fault),
}

/// Why a chunk was not moved to another parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StealError {
    /// The new parent lies below the chunk.
    Cycle,
    /// The chunk is being freed, or what lies below it is.
    Dying,
    /// The context given as the old parent is neither its parent nor holds a reference to it.
    NotOwned,
    /// A shared context, or a tree with one in it, was to come below another.
    SharedContext,
    /// There is no memory for what a chunk needs that comes into another shared context than it was made in.
    OutOfMemory,
}

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AllocError::TooLarge => {
                "the size or alignment is too large: a single block must be smaller than 256 MiB"
            }
            AllocError::OutOfMemory => "out of memory",
            AllocError::LimitReached => "a memory limit would be passed",
            AllocError::Refused => "the block may not change now",
        })
    }
}

impl core::error::Error for AllocError {}
