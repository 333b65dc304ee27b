//! A heap and its spans, as far as threads meet in them. What only the owner touches in the library is a
//! checked cell here, so that a second owner would be found out.

use core::ptr::NonNull;

use super::owner::{NOBODY, Owner};
use super::remote::{Chain, Mailbox, Mailed, Remote, Slot};
use super::sync::Cell;

/// A slot with what its last user wrote to it.
#[repr(C)]
#[derive(Debug)]
pub struct Object {
    slot: Slot,
    written: Cell<u32>,
}

/// A span: its remote list, and how many of its slots are in use as far as the owner knows.
#[derive(Debug)]
pub struct Span {
    remote: Remote<Span>,
    used: Cell<u32>,
}

impl Mailed for Span {
    fn remote(&self) -> &Remote<Span> {
        &self.remote
    }
}

/// A heap of `SPANS` spans with `OBJECTS` objects each, all of them in use.
#[derive(Debug)]
pub struct Heap<const SPANS: usize, const OBJECTS: usize> {
    owner: Owner,
    mailbox: Mailbox<Span>,
    spans: [Span; SPANS],
    objects: [[Object; OBJECTS]; SPANS],
}

// SAFETY: what is in it says itself when threads use it at once that must not.
unsafe impl<const S: usize, const O: usize> Sync for Heap<S, O> {}
// SAFETY: as above.
unsafe impl<const S: usize, const O: usize> Send for Heap<S, O> {}

/// What an object holds while it is in use.
const WRITTEN: u32 = 42;

impl<const SPANS: usize, const OBJECTS: usize> Heap<SPANS, OBJECTS> {
    /// The heap of `owner`; of nobody if that is 0. Made in the first thread of a model.
    pub fn new(owner: usize) -> Self {
        let heap = Heap {
            owner: Owner::new(owner),
            mailbox: Mailbox::new(),
            spans: core::array::from_fn(|_| Span { remote: Remote::new(), used: Cell::new(OBJECTS as u32) }),
            objects: core::array::from_fn(|_| {
                core::array::from_fn(|_| Object {
                    slot: Slot { stamp: 0, next: Cell::new(None) },
                    written: Cell::new(0),
                })
            }),
        };
        // Each atomic and each cell is made here, in this thread.
        heap.owner.is(owner);
        let busy = Owner::new(1);
        for span in &heap.spans {
            span.used.touch();
            // SAFETY: the mailbox is emptied before the span moves.
            unsafe { heap.mailbox.mail(NonNull::from_ref(span), &busy, 1, &mut |_, _| ()) };
            heap.mailbox.empty(&mut |_, _| ());
        }
        for object in heap.objects.iter().flatten() {
            object.slot.next.touch();
            object.written.touch();
        }
        heap
    }

    /// The thread `me`, not the owner, frees an object.
    pub fn give(&self, me: usize, span: usize, object: usize) {
        self.give_all(me, span, &[object]);
    }

    /// The thread `me`, not the owner, frees some objects of a span at once.
    pub fn give_all(&self, me: usize, span: usize, objects: &[usize]) {
        let slots = objects.iter().map(|&object| {
            let object = &self.objects[span][object];
            object.written.set(WRITTEN);
            NonNull::from_ref(object).cast()
        });
        let chain = slots.fold(None, |chain: Option<Chain>, slot| match chain {
            Some(mut chain) => {
                // SAFETY: each model frees each object once.
                unsafe { chain.add(slot) };
                Some(chain)
            }
            None => Some(Chain::of(slot)),
        });
        let span = &self.spans[span];
        // SAFETY: as above.
        unsafe {
            if span.remote.push(chain.expect("an object")) {
                self.mailbox.mail(NonNull::from_ref(span), &self.owner, me, &mut collected);
            }
        }
    }

    /// The owner collects.
    pub fn collect(&self) {
        self.mailbox.empty(&mut collected);
    }

    /// The owner `me` ends.
    pub fn leave(&self, me: usize) {
        self.collect();
        self.owner.leave();
        self.mailbox.empty_unowned(&self.owner, me, &mut collected);
    }

    /// `thread`, which has the lock of this shared heap, is its owner; or no longer.
    pub(super) fn pass(&self, thread: usize) {
        self.owner.pass(thread);
    }

    /// Makes `me` the owner if nobody is.
    pub fn adopt(&self, me: usize) -> bool {
        self.owner.adopt(me)
    }

    /// The owner uses what only the owner may.
    pub fn use_as_owner(&self) {
        for span in &self.spans {
            span.used.set(span.used.get());
        }
    }

    /// How many objects have not been collected. No other thread is left.
    pub fn in_use(&self) -> u32 {
        self.spans.iter().map(|span| span.used.get()).sum()
    }

    /// Whether nobody owns it.
    pub fn is_unowned(&self) -> bool {
        self.owner.is(NOBODY)
    }
}

fn collected(span: NonNull<Span>, chain: Chain) {
    // SAFETY: part of the heap.
    let span = unsafe { span.as_ref() };
    let mut count = 0;
    let mut slots = Some(chain.first);
    while let Some(slot) = slots {
        // SAFETY: the slot is the start of an object.
        let object = unsafe { slot.cast::<Object>().as_ref() };
        assert_eq!(object.written.replace(0), WRITTEN, "collected what was not freed");
        count += 1;
        slots = object.slot.next.get();
        assert_eq!(slots.is_none(), slot == chain.last, "the chain does not end with its last slot");
    }
    assert_eq!(count, chain.count, "the slots were counted wrongly");
    span.used.set(span.used.get() - count);
}
