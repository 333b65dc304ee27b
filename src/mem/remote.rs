//! Remote frees: how a slot that one thread frees comes back to the heap of another.
//!
//! ```text
//! span: remote list ── slot ── slot ── slot        pushed by any thread, taken whole by the owner
//!   ↑ mailed when its list was empty
//! heap: mailbox ── span ── span                    likewise
//! ```
//! The first slot on a span's empty list also puts the span into the mailbox of its heap. So a batch of
//! frees costs the owner one look at each span, and other threads one exchange a slot, and none waits.
//!
//! Invariants: a span whose list is not empty is in its heap's mailbox, or its first pusher is about to put it
//! there; a span is in the mailbox once at most. Whoever mails to a heap that nobody owns empties the mailbox
//! itself (`owner`).

use core::ptr::{self, NonNull};

use super::owner::Owner;
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

/// What a span has for the frees of other threads.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Remote<S> {
    slots: AtomicPtr<Slot>,
    /// The next span in the mailbox, while this one is in it.
    mailed: Cell<Option<NonNull<S>>>,
}

/// What can be put into a [`Mailbox`].
pub(super) trait Mailed: Sized {
    fn remote(&self) -> &Remote<Self>;
}

/// The spans of a heap to which other threads have handed slots back.
#[derive(Debug)]
pub(super) struct Mailbox<S>(AtomicPtr<S>);

impl<S> Remote<S> {
    pub(super) const fn new() -> Remote<S> {
        Remote { slots: AtomicPtr::new(ptr::null_mut()), mailed: Cell::new(None) }
    }

    /// Hands a slot back, from any thread. Says whether it was the first since the owner last took them: then
    /// the caller mails the span to its heap.
    ///
    /// # Safety
    /// The slot is the caller's, who does not touch it after this.
    #[inline]
    pub(super) unsafe fn push(&self, slot: NonNull<Slot>) -> bool {
        let mut first = self.slots.load(Relaxed);
        loop {
            // SAFETY: the slot belongs to the caller until it is pushed.
            unsafe { slot.as_ref() }.next.set(NonNull::new(first));
            // Release: whoever takes the slot sees what was written to it. Acquire: whoever finds the list
            // empty comes after the one who emptied it, and may mail the span anew.
            match self.slots.compare_exchange_weak(first, slot.as_ptr(), AcqRel, Relaxed) {
                Ok(_) => return first.is_null(),
                Err(now) => first = now,
            }
        }
    }

    /// Whether there is anything that was handed back.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.load(Relaxed).is_null()
    }

    /// Takes all that was handed back. The caller owns the heap.
    pub(super) fn take(&self) -> Option<NonNull<Slot>> {
        // Release: with the Acquire in `push`.
        NonNull::new(self.slots.swap(ptr::null_mut(), AcqRel))
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
        collect: &mut impl FnMut(NonNull<S>, NonNull<Slot>),
    ) {
        self.post(span);
        if owner.is_gone() {
            self.empty_unowned(owner, me, collect);
        }
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

    /// Empties the mailbox and calls `collect` with each slot and the span that it belongs to. The caller
    /// owns the heap.
    pub(super) fn empty(&self, collect: &mut impl FnMut(NonNull<S>, NonNull<Slot>)) {
        let mut next = NonNull::new(self.0.swap(ptr::null_mut(), Acquire));
        while let Some(span) = next {
            // SAFETY: a span that is in the mailbox has a slot that was not collected yet.
            let remote = unsafe { span.as_ref() }.remote();
            // Read before the list is emptied: after that the span may be mailed again, or be gone.
            next = remote.mailed.get();
            let mut slots = remote.take();
            while let Some(slot) = slots {
                // SAFETY: a slot on the remote list is free, and ours since the list was taken.
                slots = unsafe { slot.as_ref() }.next.get();
                collect(span, slot);
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
        collect: &mut impl FnMut(NonNull<S>, NonNull<Slot>),
    ) {
        // Not empty again: whoever mailed that saw an owner.
        while !self.0.load(Relaxed).is_null() && owner.adopt(me) {
            self.empty(collect);
            owner.leave();
        }
    }
}
