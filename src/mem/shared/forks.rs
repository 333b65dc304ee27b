//! Shared heaps and forks: all are whole in the child, and free but for those that the thread which forks is in.

use core::sync::atomic::Ordering::Relaxed;

use super::{CREATION, HEAPS, Shared};
use crate::mem::os;
use crate::mem::owner::SHARED;

/// Takes the locks of all shared heaps, for a fork, but those that the calling thread has: a signal handler forks, and the thread
/// goes on there, in both processes.
pub(in crate::mem) fn take_all() {
    CREATION.take();
    for heap in HEAPS.all().filter(|&heap| !(heap.is_mine() && Shared::of(heap).is_some())) {
        heap.gate.lock.take();
        heap.gate.forks.set(true);
        if Shared::of(heap).is_some() {
            heap.owner.pass(os::thread_pointer());
        }
    }
}

/// Releases what [`take_all`] took.
pub(in crate::mem) fn release_all() {
    for heap in HEAPS.all().filter(|heap| heap.gate.forks.take()) {
        if Shared::of(heap).is_some() {
            heap.owner.pass(SHARED);
        }
        heap.gate.lock.release();
    }
    CREATION.release();
}

/// In the child of a fork: threads that are not there come back to no heap, and what was only kept for them goes.
///
/// # Safety
/// The process has one thread.
pub(in crate::mem) unsafe fn forget_the_lost() {
    for shared in HEAPS.all().filter_map(Shared::of).filter(|shared| shared.try_enter()) {
        shared.0.gate.pauses.forget_all_but(os::thread_pointer());
        // Nobody waits any more, for whom to step aside.
        shared.0.gate.hungry.store(0, Relaxed);
        shared.leave();
    }
}
