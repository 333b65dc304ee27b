//! The ways back of a slot or a block to its heap.
//!
//! Its own thread puts a slot on the span's free list ([`ReadySpan::give`]); any other hands it over by the span's
//! remote list and the heap's mailbox ([`hand_back`]), which the owner empties when it next runs out of slots, and
//! [collects](collected). A span that got a slot back is [settled](settle) where it belongs: a full one waits for
//! use, one with nothing in it rests (`idle`) or goes back to its segment.

use core::ptr::NonNull;
use core::sync::atomic::{Ordering::Release, compiler_fence};

use super::heap::HeapRef;
use super::here::{self, Change};
use super::inherited;
use super::os;
use super::owner::LOST;
use super::remote::{Chain, Mailed, Slot};
use super::segment;
use super::span::{SpanRef, State};
use super::ties::Ties;

/// Gives a slot, or a block with a span of its own, back to its heap, from any thread.
///
/// # Safety
/// `at` came from [`HeapRef::take`], [`HeapRef::take_single`] or [`HeapRef::take_large`], and nobody uses it any more.
#[inline(always)]
pub unsafe fn give(at: NonNull<u8>) {
    // SAFETY: the caller's: it lies in a span in use.
    let span = unsafe { SpanRef::of(at.addr().get()) };
    // SAFETY: as above.
    unsafe { give_to(span, at) }
}

/// [`give`], for a caller that has looked the span up already.
///
/// # Safety
/// As for [`give`]; `span` is the head of the span that `at` lies in.
#[inline(always)]
pub unsafe fn give_to(span: SpanRef, at: NonNull<u8>) {
    match ready_span(span) {
        // SAFETY: as just seen, and the caller's.
        Some(ready) => unsafe { ready.give(at) },
        // SAFETY: the caller's.
        None => unsafe { give_slow(span, at) },
    }
}

/// A span of the calling thread's heap that was found to take slots back the short way: for who gives one back right
/// after.
pub struct ReadySpan(SpanRef);

/// `span`, if it is one of slots of the calling thread's heap. `None` says nothing.
#[inline(always)]
fn ready_span(span: SpanRef) -> Option<ReadySpan> {
    HeapRef::from_raw(span.taker()).is_some_and(HeapRef::is_mine).then_some(ReadySpan(span))
}

/// [`ready_span`] for who begins a change with that.
#[inline(always)]
pub fn begin_ready(span: SpanRef) -> Option<(ReadySpan, Change)> {
    let change = here::begin_in(span.taker())?;
    Some((ReadySpan(span), change))
}

/// A span that got a slot back, at the end of a change, and is to be [settled](settle): when this is dropped, with which the
/// change ends. Whoever got it does that last, by a call for which it needs no room on the stack.
#[must_use]
pub struct Unsettled {
    span: SpanRef,
    _change: Change,
}

impl Drop for Unsettled {
    #[inline(always)]
    fn drop(&mut self) {
        settle(self.span);
    }
}

impl ReadySpan {
    /// `span`, of whose [taker](Span::taker) the calling thread is known to be the owner.
    ///
    /// # Safety
    /// As it says.
    #[inline(always)]
    pub(super) unsafe fn assume(span: SpanRef) -> ReadySpan {
        ReadySpan(span)
    }

    /// [`give_to`] that span.
    ///
    /// # Safety
    /// As for [`give_to`]; nothing was taken or given back meanwhile.
    #[inline(always)]
    pub unsafe fn give(self, at: NonNull<u8>) {
        if put_back(self.0, at.cast()) {
            settle(self.0);
        }
    }

    /// [`give`](ReadySpan::give), which is the last of `change`. What it returns is not done yet.
    ///
    /// # Safety
    /// As for that.
    #[inline(always)]
    pub unsafe fn give_last(self, at: NonNull<u8>, change: Change) -> Option<Unsettled> {
        if put_back(self.0, at.cast()) {
            return Some(Unsettled { span: self.0, _change: change });
        }
        drop(change);
        None
    }
}

/// [`give`] of one slot and [`give_to`] of another, in the middle of a change: whose heap it is, is asked once.
///
/// # Safety
/// As for these.
#[inline(always)]
pub unsafe fn give_two(first: NonNull<u8>, span: SpanRef, second: NonNull<u8>) {
    // SAFETY: the caller's. As long as the second slot is in use, its span takes it back whatever becomes of the first's.
    unsafe {
        let firsts = SpanRef::of(first.addr().get());
        let taker = span.taker();
        if here::is_own(taker) && firsts.taker() == taker {
            ReadySpan(firsts).give(first);
            ReadySpan(span).give(second);
        } else {
            give_slow(firsts, first);
            give_slow(span, second);
        }
    }
}

/// [`give_to`] any span.
///
/// # Safety
/// As for [`give_to`].
#[cold]
#[inline(never)]
pub(super) unsafe fn give_slow(span: SpanRef, at: NonNull<u8>) {
    let heap = HeapRef::of_span(span);
    match (span.state() == State::Single, heap.is_mine()) {
        (true, true) => heap.rest_block(span),
        (true, false) => segment::release(span),
        (false, true) => {
            put_back(span, at.cast());
            settle(span);
        }
        (false, false) => hand_back(span, Chain::of(at.cast())),
    }
}

/// [`give`] of what [`HeapRef::take_lone`] gave.
///
/// # Safety
/// As for [`give`].
#[inline]
pub unsafe fn give_lone(at: NonNull<u8>) {
    // SAFETY: the caller's.
    let span = unsafe { SpanRef::of(at.addr().get()) };
    let heap = HeapRef::of_span(span);
    if heap.is_mine() {
        heap.lone.give();
        heap.rest_block(span);
    } else {
        heap.lone.give_from_elsewhere();
        segment::release(span);
    }
}

/// Gives slots of a span back to the heap of another thread. Nobody uses them any more.
pub(super) fn hand_back(span: SpanRef, slots: Chain) {
    let heap = HeapRef::of_span(span);
    inherited::note_remote_free();
    // SAFETY: the caller's: nobody uses the slots any more; until they are collected, they keep the span in use.
    unsafe {
        if span.ties().remote().push(slots) {
            heap.mailbox.mail(span.mail(), &heap.owner, os::thread_pointer(), &mut collected_unowned);
        }
    }
    if heap.owner.is(LOST) && heap.adopt_lost() {
        heap.collect();
        heap.leave();
    }
}

/// What the owner does with slots that other threads freed: they come before those that are free already.
pub(super) fn collected(ties: NonNull<Ties>, slots: Chain) {
    let span = SpanRef::from_mail(ties);
    if span.state() == State::Full {
        reopen(span, span.carved());
    }
    if let Some(free) = span.free.get() {
        // SAFETY: the slot is free, and the owner's since it was taken.
        unsafe { slots.last.as_ref() }.next.set(Some(free));
    }
    // In this order: see `inherited`.
    compiler_fence(Release);
    span.free.set(Some(slots.first));
    debug_assert!(span.state() == State::Current || span.used.get() >= slots.count, "they were in use");
    span.used.set(span.used.get().wrapping_sub(slots.count));
    settle(span);
}

/// The same in a heap that nobody owns, which keeps no span with nothing in it.
pub(super) fn collected_unowned(ties: NonNull<Ties>, slots: Chain) {
    // Asked first: the span may be gone after that.
    let heap = HeapRef::of_span(SpanRef::from_mail(ties));
    collected(ties, slots);
    heap.release_idle();
}

/// The owner's half of a free of a slot of `span`. Says whether that must be [settled](settle) now, where no option changes
/// what a free does.
#[inline(always)]
fn put_back(span: SpanRef, slot: NonNull<Slot>) -> bool {
    // SAFETY: the slot is free now, and slots are large enough for the link.
    unsafe { slot.as_ref() }.next.set(span.free.get());
    // In this order: see `inherited`.
    compiler_fence(Release);
    span.free.set(Some(slot));
    debug_assert!(span.state() == State::Current || span.used.get() > 0, "it was in use");
    span.used.set(span.used.get().wrapping_sub(1));
    span.used.get() == 0 && span.state() != State::Current
}

/// Puts a span where it belongs after it got a slot back.
#[cold]
#[inline(never)]
fn settle(span: SpanRef) {
    if span.state() == State::Full {
        reopen(span, span.carved() - 1);
    }
    if span.used.get() == 0 && span.state() == State::Partial {
        HeapRef::of_span(span).rest(span);
    }
}

/// `span`, which was full, waits for use, with `used` slots in use.
fn reopen(span: SpanRef, used: u32) {
    span.used.set(used);
    HeapRef::of_span(span).lay_up(span);
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::mem::geometry::SLICE;
    use crate::mem::size;

    const CLASS: usize = 1;

    fn take(heap: HeapRef) -> NonNull<u8> {
        heap.take(CLASS).unwrap().0
    }

    fn span_of(slot: NonNull<u8>) -> SpanRef {
        // SAFETY: it lies in a span in use.
        unsafe { SpanRef::of(slot.expose_provenance().get()) }
    }

    /// All slots of a span.
    fn fill(heap: HeapRef) -> (SpanRef, Vec<NonNull<u8>>) {
        let slots: Vec<_> = (0..SLICE / size::slot_size(CLASS)).map(|_| take(heap)).collect();
        (span_of(slots[0]), slots)
    }

    #[test]
    fn who_takes_the_last_slot_of_a_span_leaves_one_that_waits() {
        let heap = HeapRef::create(os::thread_pointer()).unwrap();
        assert!(heap.take_ready(CLASS).is_none(), "there is no span");
        let (first, mut slots) = fill(heap);
        assert!(heap.take_ready(CLASS).is_none(), "there is none with a free slot");
        slots.push(take(heap));
        let second = span_of(slots[slots.len() - 1]);
        assert_eq!((first.state(), second.state()), (State::Full, State::Current));
        for slot in slots.drain(..3) {
            // SAFETY: taken by `fill`.
            unsafe { give(slot) };
        }
        while second.state() == State::Current {
            slots.push(take(heap));
        }
        assert_eq!((first.state(), second.state()), (State::Current, State::Full));
        for is_last in [false, false, true] {
            let ready = heap.take_ready(CLASS).map(|(slot, _)| slot);
            assert_eq!(ready.is_none(), is_last);
            slots.push(ready.unwrap_or_else(|| take(heap)));
        }
        assert_eq!((first.state(), slots.len()), (State::Full, 2 * SLICE / size::slot_size(CLASS)));
        // SAFETY: all were taken, and are given back once.
        slots.into_iter().for_each(|slot| unsafe { give(slot) });
        heap.retire_empty_spans();
        // SAFETY: all that was taken has been given back.
        unsafe { heap.destroy() };
    }

    #[test]
    fn a_full_span_knows_what_is_in_use_whichever_way_slots_come_back() {
        let heap = HeapRef::create(os::thread_pointer()).unwrap();
        type Way = fn(SpanRef, NonNull<u8>);
        // SAFETY: for both: what is given back below was taken, and nobody uses it.
        let (own, slow): (Way, Way) =
            (|_, slot| unsafe { give(slot) }, |span, slot| unsafe { give_slow(span, slot) });
        let mailed: Way = |span, slot| {
            hand_back(span, Chain::of(slot.cast()));
            HeapRef::of_span(span).collect();
        };
        for way in [own, slow, mailed] {
            let (span, mut slots) = fill(heap);
            let n = slots.len() as u32;
            assert_eq!(span.state(), State::Full);
            way(span, slots.pop().unwrap());
            assert_eq!((span.state(), span.used.get()), (State::Partial, n - 1));
            while let Some(slot) = slots.pop() {
                assert_eq!(span.used.get(), slots.len() as u32 + 1);
                way(span, slot);
            }
        }
        heap.retire_empty_spans();
        // SAFETY: all that was taken has been given back.
        unsafe { heap.destroy() };
    }
}
