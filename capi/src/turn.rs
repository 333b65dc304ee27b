//! Whose turn it is to use handles: a lock that one thread may take several times.
//!
//! It is held while a watcher runs, which may use handles in its thread's turn; so it is not one of the
//! locks that are never held while foreign code runs, and is taken before all of those. In a forked
//! child, the thread that forked has it if it had it before; else it is free: trees that another thread was in the middle of
//! changing are lost to the child anyway, as with all functions.
//!
//! Who calls this: `handle.rs` alone.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use tmempool::mem::lock::Lock;
use tmempool::mem::os;

static LOCK: Lock = Lock::new();
/// The thread that has it; 0 while nobody has. A thread finds itself here only if it does have it.
static OWNER: AtomicUsize = AtomicUsize::new(0);
/// How many times the owner has taken it.
static DEPTH: AtomicU32 = AtomicU32::new(0);
/// Whether forks are watched.
static WATCHED: AtomicU32 = AtomicU32::new(0);

/// The calling thread's turn, until it is dropped.
pub(crate) struct Turn(());

impl Turn {
    /// Waits for the turn.
    #[inline]
    pub(crate) fn take() -> Turn {
        take();
        Turn(())
    }
}

impl Drop for Turn {
    #[inline]
    fn drop(&mut self) {
        give();
    }
}

/// Waits for the turn; [`give`] ends it. Says how many times the thread has it now.
#[inline]
pub(crate) fn take() -> u32 {
    let me = os::thread_pointer();
    if OWNER.load(Relaxed) == me {
        let depth = DEPTH.load(Relaxed) + 1;
        DEPTH.store(depth, Relaxed);
        return depth;
    }
    LOCK.take();
    OWNER.store(me, Relaxed);
    DEPTH.store(1, Relaxed);
    if WATCHED.load(Relaxed) == 0 {
        watch_forks();
    }
    1
}

/// Ends what [`take`] began. Says how many times the thread still has the turn; None if it did not have it.
#[inline]
pub(crate) fn give() -> Option<u32> {
    if OWNER.load(Relaxed) != os::thread_pointer() {
        return None;
    }
    let depth = DEPTH.load(Relaxed) - 1;
    DEPTH.store(depth, Relaxed);
    if depth == 0 {
        OWNER.store(0, Relaxed);
        LOCK.release();
    }
    Some(depth)
}

#[cold]
fn watch_forks() {
    WATCHED.store(1, Relaxed);
    // SAFETY: a function of this library, which touches the words above only.
    unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
}

unsafe extern "C" fn in_child() {
    let owner = OWNER.load(Relaxed);
    if owner != os::thread_pointer() {
        OWNER.store(0, Relaxed);
        DEPTH.store(0, Relaxed);
        LOCK.release();
    }
}
