//! Remote frees: how slots that one thread frees come back to the heap of another.
//!
//! ```text
//! span: remote list ── slot ── slot ── slot        pushed by any thread, taken whole by the owner
//!   ↑ mailed when its list was empty
//! heap: mailbox ── span ── span                    likewise
//! ```
//! The first slot on a span's empty list also puts the span into the mailbox of its heap. So a batch of
//! frees costs the owner one look at each span, and none waits. Slots are pushed as a [`Chain`], one or many with one
//! exchange. The list knows how many it has, and its last one, so that the owner need not walk along it.
//!
//! Invariants: a span whose list is not empty is in its heap's mailbox, or its first pusher is about to put it
//! there; a span is in the mailbox once at most. So what is written to a span as it is mailed is the first pusher's until
//! the mail, and the owner's from then on until it takes the list. Whoever mails to a heap that nobody owns empties the
//! mailbox itself (`owner`).

use core::ptr::{self, NonNull};

use super::geometry::{ADDRESS_BITS, SLICE};
use super::owner::Owner;
use super::size::MIN_SLOT;
use super::sync::{
    AtomicPtr, Cell,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// A free slot: a link, in the slot's second word. All the rest of a free slot is left as its last
/// user left it, so that a stamp in the first word stays readable.
#[repr(C)]
#[derive(Debug)]
pub struct Slot {
    pub(super) stamp: u64,
    pub(super) next: Cell<Option<NonNull<Slot>>>,
}

/// Free slots of one span, each linked to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    pub(super) first: NonNull<Slot>,
    pub(super) last: NonNull<Slot>,
    pub(super) count: u32,
}

impl Chain {
    /// The first one of a chain.
    #[inline]
    pub(super) fn of(slot: NonNull<Slot>) -> Chain {
        Chain { first: slot, last: slot, count: 1 }
    }

    /// Puts another one before the others.
    ///
    /// # Safety
    /// The slot is of the same span, and the caller's, as those of the chain are.
    #[inline]
    pub(super) unsafe fn add(&mut self, slot: NonNull<Slot>) {
        // SAFETY: the caller's.
        unsafe { slot.as_ref() }.next.set(Some(self.first));
        self.first = slot;
        self.count += 1;
    }
}

/// What a span has for the frees of other threads.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Remote<S> {
    /// The first slot, and how many there are in the bits that no address has.
    slots: AtomicPtr<Slot>,
    /// The last one, while the span is in the mailbox.
    last: Cell<Option<NonNull<Slot>>>,
    /// The next span in the mailbox, while this one is in it.
    mailed: Cell<Option<NonNull<S>>>,
}

const ONE: usize = 1 << ADDRESS_BITS;
const _: () = assert!(SLICE / MIN_SLOT <= usize::MAX / ONE, "the slots of a span can be counted");

/// `first` as the first of a list of `count` slots.
fn with_count(first: NonNull<Slot>, count: u32) -> *mut Slot {
    first.as_ptr().map_addr(|at| at | (count as usize * ONE))
}

fn first_of(list: *mut Slot) -> Option<NonNull<Slot>> {
    NonNull::new(list.map_addr(|at| at % ONE))
}

fn count_of(list: *mut Slot) -> u32 {
    (list.addr() / ONE) as u32
}

/// What can be put into a [`Mailbox`].
pub(super) trait Mailed: Sized {
    fn remote(&self) -> &Remote<Self>;
}

/// The spans of a heap to which other threads have handed slots back.
#[derive(Debug)]
pub(super) struct Mailbox<S>(AtomicPtr<S>);

impl<S> Remote<S> {
    /// With nothing. So are zeros.
    #[allow(dead_code, reason = "a span's is made of zeros; models and tests make theirs")]
    pub(super) const fn new() -> Remote<S> {
        let slots = AtomicPtr::new(ptr::null_mut());
        Remote { slots, last: Cell::new(None), mailed: Cell::new(None) }
    }

    /// Hands slots back, from any thread. Says whether they were the first since the owner last took them: then
    /// the caller mails the span to its heap.
    ///
    /// # Safety
    /// The slots are the span's, and the caller's, who does not touch them after this.
    #[inline]
    pub(super) unsafe fn push(&self, chain: Chain) -> bool {
        let mut before = self.slots.load(Relaxed);
        loop {
            let first = first_of(before);
            // SAFETY: the slots belong to the caller until they are pushed.
            unsafe { chain.last.as_ref() }.next.set(first);
            // Release: whoever takes the slots sees what was written to them. Acquire: whoever finds the list
            // empty comes after the one who emptied it, and may mail the span anew.
            let after = with_count(chain.first, count_of(before) + chain.count);
            match self.slots.compare_exchange_weak(before, after, AcqRel, Relaxed) {
                Ok(_) if first.is_some() => return false,
                Ok(_) => {
                    self.last.set(Some(chain.last));
                    return true;
                }
                Err(now) => before = now,
            }
        }
    }

    /// Whether there is anything that was handed back.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.load(Relaxed).is_null()
    }

    /// Takes all that was handed back. The caller owns the heap, and the span was in the mailbox.
    pub(super) fn take(&self) -> Option<Chain> {
        // Read before the list is emptied: after that it is the next first pusher's.
        let last = self.last.get();
        // Release: with the Acquire in `push`.
        let list = self.slots.swap(ptr::null_mut(), AcqRel);
        Some(Chain { first: first_of(list)?, last: last?, count: count_of(list) })
    }

    /// Looks for the last slot, which the first pusher may not have come to note. The process has one thread.
    pub(super) fn find_last(&self) {
        let first = first_of(self.slots.load(Relaxed));
        // SAFETY: slots on the list are free, and nobody else is there.
        self.last.set(core::iter::successors(first, |slot| unsafe { slot.as_ref() }.next.get()).last());
    }
}

impl<S: Mailed> Mailbox<S> {
    pub(super) const fn new() -> Mailbox<S> {
        Mailbox(AtomicPtr::new(ptr::null_mut()))
    }

    /// Puts `span` in, from the thread whose [`Remote::push`] was the first, and empties the mailbox like
    /// [`empty_unowned`](Mailbox::empty_unowned) if there is no `owner`. The calling thread is `me`.
    ///
    /// # Safety
    /// The span is in use while a slot of it has not been collected.
    pub(super) unsafe fn mail(
        &self,
        span: NonNull<S>,
        owner: &Owner,
        me: usize,
        collect: &mut impl FnMut(NonNull<S>, Chain),
    ) {
        self.post(span);
        if owner.is_gone() {
            self.empty_unowned(owner, me, collect);
        }
    }

    /// Whether nothing is in it. The owner asks this first: an exchange waits for all stores before it.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.load(Relaxed).is_null()
    }

    /// Takes all spans out, whatever has been handed back to them. No other thread uses the mailbox.
    pub(super) fn clear(&self) {
        self.0.store(ptr::null_mut(), Relaxed);
    }

    /// Puts `span` in, which is in no mailbox.
    pub(super) fn post(&self, span: NonNull<S>) {
        let mut first = self.0.load(Relaxed);
        loop {
            // SAFETY: a span that has a slot that was not collected yet: `mail`.
            unsafe { span.as_ref() }.remote().mailed.set(NonNull::new(first));
            match self.0.compare_exchange_weak(first, span.as_ptr(), Release, Relaxed) {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }

    /// Empties the mailbox and calls `collect` with each span and the slots that were handed back to it. The caller
    /// owns the heap.
    pub(super) fn empty(&self, collect: &mut impl FnMut(NonNull<S>, Chain)) {
        let mut next = NonNull::new(self.0.swap(ptr::null_mut(), Acquire));
        while let Some(span) = next {
            // SAFETY: a span that is in the mailbox has a slot that was not collected yet.
            let remote = unsafe { span.as_ref() }.remote();
            // Read before the list is emptied: after that the span may be mailed again, or be gone.
            next = remote.mailed.get();
            if let Some(chain) = remote.take() {
                collect(span, chain);
            }
        }
    }

    /// Empties the mailbox of a heap that nobody owns, so that what is freed after its thread has ended comes
    /// back, too. The calling thread, `me`, owns the heap meanwhile.
    #[cold]
    pub(super) fn empty_unowned(
        &self,
        owner: &Owner,
        me: usize,
        collect: &mut impl FnMut(NonNull<S>, Chain),
    ) {
        // Not empty again: whoever mailed that saw an owner.
        while !self.0.load(Relaxed).is_null() && owner.adopt(me) {
            self.empty(collect);
            owner.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Span(Remote<Span>);

    impl Mailed for Span {
        fn remote(&self) -> &Remote<Span> {
            &self.0
        }
    }

    #[test]
    fn slots_whose_pusher_was_cut_short_before_it_mailed_come_back() {
        let (span, mailbox) = (Span(Remote::new()), Mailbox::new());
        let slots = [const { Slot { stamp: 0, next: Cell::new(None) } }; 3];
        let [first, second, third] = slots.each_ref().map(NonNull::from_ref);
        let mut chain = Chain::of(first);
        // SAFETY: the slots are nobody else's.
        unsafe {
            chain.add(second);
            assert!(span.0.push(chain));
            assert!(!span.0.push(Chain::of(third)));
        }
        // As if the first push had ended where a fork found it.
        span.0.last.set(None);
        span.0.find_last();
        mailbox.post(NonNull::from_ref(&span));
        let mut taken = None;
        mailbox.empty(&mut |_, chain| assert!(taken.replace(chain).is_none()));
        let taken = taken.unwrap();
        assert_eq!((taken.first, taken.last, taken.count), (third, first, 3));
        assert!(span.0.is_empty());
    }
}
