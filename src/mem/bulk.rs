//! Many slots given back at once, while nothing else happens in the thread.
//!
//! Those of the thread's own heap go to their spans one by one, once it is known whose the heap is. Those of other
//! threads' heaps are gathered by span first, and each span gets its own with one exchange (`remote`). Chunks of a tree
//! lie in the spans that were current when it was built, one for each size; so there are some places, each for one span
//! at a time.
//!
//! What has been gathered is in nobody's hands but the thread's: until it is handed back, its owner cannot use it, and in
//! the child of a fork nobody can. So it is never much more than `MOST` bytes.

use core::mem::MaybeUninit;
use core::ptr::NonNull;

use super::geometry::DESCRIPTOR;
use super::give::{self, ReadySpan};
use super::heap::{Heap, HeapRef};
use super::remote::{Chain, Slot};
use super::span::{SpanRef, State};
use crate::hint::seldom;

/// For how many spans slots are gathered.
const PLACES: usize = 32;
/// How many bytes are gathered.
const MOST: u32 = 64 << 10;

/// Slots of one span.
struct Parcel {
    span: SpanRef,
    chain: Chain,
}

/// See the module. What has been gathered is handed back when this is dropped.
pub(crate) struct Bulk {
    /// A heap that was found to be the calling thread's, or one that no span has.
    mine: NonNull<Heap>,
    /// The places with a parcel, a bit each.
    filled: u32,
    /// Bytes in the parcels.
    gathered: u32,
    parcels: [MaybeUninit<Parcel>; PLACES],
}

const _: () = assert!(PLACES == u32::BITS as usize);

impl Bulk {
    /// Nothing has been given back.
    #[inline(always)]
    pub(crate) fn new() -> Bulk {
        Bulk {
            mine: NonNull::dangling(),
            filled: 0,
            gathered: 0,
            parcels: [const { MaybeUninit::uninit() }; PLACES],
        }
    }

    /// [`give::give_to`].
    ///
    /// # Safety
    /// As for that.
    #[inline(always)]
    pub(crate) unsafe fn give(&mut self, span: SpanRef, at: NonNull<u8>) {
        if span.taker() != self.mine.as_ptr() {
            seldom();
            if !self.learns_from(span) {
                // SAFETY: the caller's.
                return unsafe { self.give_other(span, at) };
            }
        }
        // SAFETY: its heap is the calling thread's; the rest is the caller's.
        unsafe { ReadySpan::assume(span).give(at) };
    }

    /// Whether `span` is one of slots of the calling thread's heap, which is known from now on. No says nothing.
    #[inline(always)]
    fn learns_from(&mut self, span: SpanRef) -> bool {
        let Some(heap) = HeapRef::from_raw(span.taker()).filter(|heap| heap.is_mine()) else { return false };
        self.mine = heap.as_non_null();
        true
    }

    /// # Safety
    /// As for [`give`](Bulk::give).
    #[cold]
    #[inline(never)]
    unsafe fn give_other(&mut self, span: SpanRef, at: NonNull<u8>) {
        if span.state() != State::Single && !HeapRef::of_span(span).is_mine() {
            return self.gather(span, at.cast());
        }
        // SAFETY: the caller's.
        unsafe { give::give_slow(span, at) };
    }

    fn gather(&mut self, span: SpanRef, slot: NonNull<Slot>) {
        let place = span.as_non_null().addr().get() / DESCRIPTOR % PLACES;
        if self.filled & 1 << place != 0 {
            // SAFETY: the place is filled.
            let parcel = unsafe { self.parcels[place].assume_init_mut() };
            if parcel.span == span {
                // SAFETY: another slot of the span; nobody uses it any more.
                unsafe { parcel.chain.add(slot) };
            } else {
                give::hand_back(parcel.span, parcel.chain);
                *parcel = Parcel { span, chain: Chain::of(slot) };
            }
        } else {
            self.parcels[place].write(Parcel { span, chain: Chain::of(slot) });
            self.filled |= 1 << place;
        }
        // Its lines are in the other processor's cache, so this is worth it on short lists, too.
        span.prefetch_before(slot.cast());
        self.gathered += span.room() as u32;
        if self.gathered > MOST {
            self.hand_back();
        }
    }

    #[cold]
    #[inline(never)]
    fn hand_back(&mut self) {
        while self.filled != 0 {
            let place = self.filled.trailing_zeros() as usize;
            self.filled &= self.filled - 1;
            // SAFETY: the place was filled.
            let parcel = unsafe { self.parcels[place].assume_init_ref() };
            give::hand_back(parcel.span, parcel.chain);
        }
        self.gathered = 0;
    }
}

impl Drop for Bulk {
    #[inline(always)]
    fn drop(&mut self) {
        if self.filled != 0 {
            self.hand_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::os;
    use std::vec::Vec;

    #[test]
    fn slots_of_more_spans_than_there_are_places_come_back_to_each() {
        const CLASSES: usize = PLACES + 8;
        let heap = HeapRef::create(os::thread_pointer()).unwrap();
        let slot = |class| heap.take(class).unwrap().0;
        let kept: Vec<_> = (0..CLASSES).map(slot).collect();
        let freed: Vec<_> = (0..40 * CLASSES).map(|i| slot(i * i % CLASSES).expose_provenance()).collect();
        std::thread::spawn(move || {
            let mut bulk = Bulk::new();
            for address in freed {
                let at = NonNull::with_exposed_provenance(address);
                // SAFETY: a slot of the heap that was taken once, and is given back once.
                unsafe { bulk.give(SpanRef::of(address.get()), at) };
            }
        })
        .join()
        .unwrap();
        heap.collect();
        for at in kept {
            // SAFETY: it lies in a span in use.
            let span = unsafe { SpanRef::of(at.addr().get()) };
            assert_eq!(span.count_free(), span.carved() - 1);
            // SAFETY: taken above.
            unsafe { give::give(at) };
        }
        heap.retire_empty_spans();
        // SAFETY: all that was taken has been given back.
        unsafe { heap.destroy() };
    }
}
