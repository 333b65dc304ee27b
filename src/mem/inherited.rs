//! What a forked child makes of the heaps of threads that did not come along.
//!
//! The child has its parent's memory as it was at one moment, in the middle of whatever other threads did. What
//! the segments' lock guards is whole, for the lock is held over the fork. What threads do to heaps without a
//! lock may be cut short:
//!
//! - *A remote free* whose slots are on their span's list, but the span not in a mailbox. [`mail_anew`] puts every span
//!   with such slots into the mailbox of its heap, while the child has one thread. Slots that were gathered for their
//!   span (`bulk`), and are on no list yet, stay in use.
//! - *The work of an owner*. Its heap is lost: no thread of the child has it. [`recover`] makes it whole, when the
//!   first thread comes that needs a heap, or that frees something in this one.
//!
//! A heap is made whole from what an owner keeps true at every moment, because it writes in that order: a span's
//! free list starts at `free` and holds slots that nobody has. Every other slot that was ever carved counts as in
//! use; that may be too many by what the owner had in its hands just then, a span's worth at most, which stays
//! unused in the child.
//!
//! The order of the owner's writes is the program's on x86 and to the compiler (`heap`), and the child sees an
//! initial part of each thread's. Where processors reorder writes, lost heaps stay lost: what lies in them can
//! be used and freed, and serves nobody after that.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::heap::HeapRef;
use super::segment;
use super::span::{SpanRef, State};

/// Whether writes are seen in the order in which they were made.
pub(super) const IN_ORDER: bool = cfg!(any(target_arch = "x86_64", target_arch = "x86"));

/// Whether a thread has ever freed what another had allocated: then it may have been cut short in it.
static REMOTE_FREES: AtomicBool = AtomicBool::new(false);

/// A thread is about to free what is another's.
#[inline]
pub(super) fn note_remote_free() {
    if !REMOTE_FREES.load(Relaxed) {
        REMOTE_FREES.store(true, Relaxed);
    }
}

/// Puts each span with slots that were handed back, whole as a push leaves it, into the mailbox of its heap, and no other.
///
/// # Safety
/// The process has one thread.
pub(super) unsafe fn mail_anew(heaps: impl Iterator<Item = HeapRef>) {
    if !REMOTE_FREES.load(Relaxed) {
        return;
    }
    heaps.for_each(HeapRef::clear_mailbox);
    // SAFETY: the caller's.
    unsafe {
        segment::for_each_span(&mut |span| {
            if holds_slots(span) && span.has_remote() {
                span.find_last_remote();
                HeapRef::of_span(span).post(span);
            }
        });
    }
}

/// Makes a lost heap whole. The calling thread is its owner since just now.
pub(super) fn recover(heap: HeapRef) {
    heap.forget_spans();
    let mut empty = None;
    segment::for_each_span_locked(&mut |span| {
        if !holds_slots(span) || HeapRef::of_span(span) != heap {
            return;
        }
        count(span);
        if span.used.get() == 0 {
            // Given back when the lock is free again.
            span.ties().next.set(empty);
            empty = Some(span);
        } else {
            heap.take_up(span);
        }
    });
    while let Some(span) = empty {
        empty = span.ties().next.get();
        segment::release_from(heap, span);
    }
}

/// Whether it is a span of some heap's slots.
fn holds_slots(span: SpanRef) -> bool {
    matches!(span.state(), State::Current | State::Partial | State::Full)
}

/// Counts the slots of a span that are not on its free list. The list ends where it is not what it should be.
fn count(span: SpanRef) {
    let carved = span.carved();
    let mut free = 0;
    let mut link = &span.free;
    while let Some(slot) = link.get() {
        let at = slot.addr().get();
        let is_slot = (span.start()..span.start() + carved as usize * span.stride()).contains(&at)
            // SAFETY: as just seen, it lies in the span.
            && unsafe { SpanRef::of(at) }.slot_around(at) == at;
        // SAFETY: it lies in the span, at a slot.
        if !is_slot || free == carved || is_in_use(span, unsafe { slot.as_ref() }.stamp as u32) {
            link.set(None);
            break;
        }
        free += 1;
        // SAFETY: as above; spans stay where they are while their heap is this thread's.
        link = unsafe { &(*slot.as_ptr()).next };
    }
    span.used.set(carved - free);
}

/// Whether a slot with this first word is what the layers above have written a tag to.
fn is_in_use(span: SpanRef, stamp: u32) -> bool {
    let tag = span.tag() & !0xff;
    stamp & !0xff == tag || stamp & !0xff == !span.tag() & !0xff
}
