//! Memory for the books of pools (records, stacks, tables): slots of the calling thread's heap. Whoever has one may give
//! it back, in any thread.
//!
//! Here, and nowhere else, do pools touch heaps.

use core::ptr::NonNull;

use crate::mem::give;
use crate::mem::here::Change;
use crate::mem::size::{self, SLOT_MAX};
use crate::mem::threads;

/// `bytes` of memory, aligned to 16, undefined. `None` without memory.
pub(super) fn take(bytes: usize) -> Option<NonNull<u8>> {
    let _change = Change::begin();
    let heap = threads::current()?;
    let taken = if bytes <= SLOT_MAX { heap.take(size::class_of(bytes)) } else { heap.take_single(bytes) };
    taken.map(|(at, _)| at)
}

/// Gives back what [`take`] gave.
///
/// # Safety
/// Nobody uses it any more.
pub(super) unsafe fn give(at: NonNull<u8>) {
    let _change = Change::begin();
    // SAFETY: the start of a slot or block that was taken from a heap; the caller's.
    unsafe { give::give(at) }
}

/// Makes sure that the calling thread has a heap, so that its end is seen. `None` without memory.
pub(super) fn watch_thread() -> Option<()> {
    let _change = Change::begin();
    threads::current().map(|_| ())
}
