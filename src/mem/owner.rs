//! Whose heap it is: the thread that alone may touch a heap's cells, named by its thread pointer.
//!
//! Invariant: between [`Owner::adopt`] and [`Owner::leave`] there is one owner, which sees all that the
//! owners before it did. Used by `heap`, and by `threads` when a thread comes or goes.

use super::sync::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};

/// Owner of a heap that waits for a thread.
pub(super) const NOBODY: usize = 0;
/// Owner of a heap whose thread a fork has left behind, perhaps in the middle of a change: what lies in it can
/// be used and freed, but nobody takes from it until it has been made whole (`inherited`).
pub(super) const LOST: usize = 1;
/// Owner of a shared heap that no thread is in: see `shared`.
pub(super) const SHARED: usize = 2;

/// See the module.
#[derive(Debug)]
pub(super) struct Owner(AtomicUsize);

impl Owner {
    /// A heap of the thread `thread`.
    pub(super) const fn new(thread: usize) -> Owner {
        Owner(AtomicUsize::new(thread))
    }

    /// Whether that is `thread`. Whoever asks for itself gets an answer that stays true: nobody else makes
    /// it owner or takes that from it.
    #[inline(always)]
    pub(super) fn is(&self, thread: usize) -> bool {
        self.0.load(Relaxed) == thread
    }

    /// Makes `thread`, the calling one, the owner if nobody is.
    pub(super) fn adopt(&self, thread: usize) -> bool {
        // Acquire: with the Release of whoever left it.
        self.0.compare_exchange(NOBODY, thread, Acquire, Relaxed).is_ok()
    }

    /// Makes `thread`, the calling one, the owner of a heap that was lost, if nobody has done so yet.
    pub(super) fn adopt_lost(&self, thread: usize) -> bool {
        self.0.compare_exchange(LOST, thread, Acquire, Relaxed).is_ok()
    }

    /// Makes `thread` the owner, whoever was. No other thread touches the heap any more.
    pub(super) fn seize(&self, thread: usize) {
        self.0.swap(thread, Acquire);
    }

    /// The owner leaves. It looks into the heap's mailbox once more after this: see
    /// [`Owner::is_gone`].
    pub(super) fn leave(&self) {
        self.0.store(NOBODY, Release);
        // With the fence in `is_gone`: of one who leaves and looks for mail, and one who mails and looks
        // for an owner, one at least sees what the other has done.
        fence(SeqCst);
    }

    /// Whether nobody is the owner, for a thread that has mailed something just now: then it must empty the
    /// mailbox itself.
    pub(super) fn is_gone(&self) -> bool {
        fence(SeqCst);
        self.0.load(Relaxed) == NOBODY
    }

    /// `thread`, which has the lock of a shared heap, is its owner from now on; or, with [`SHARED`], no longer.
    /// The lock orders what owners do.
    #[inline(always)]
    pub(super) fn pass(&self, thread: usize) {
        self.0.store(thread, Relaxed);
    }

    /// The owner did not come along into a forked child.
    pub(super) fn lose(&self) {
        self.0.store(LOST, Relaxed);
    }
}
