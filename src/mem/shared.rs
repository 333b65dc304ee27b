//! Shared heaps: a heap that any thread may use, one at a time, behind a lock.
//!
//! Whoever [enters](Shared::enter) a shared heap has its lock and is its owner, so that all that holds for a thread's
//! own heap holds for it until it leaves, and an address that leads to the heap leads to the lock. The layer above has a
//! shared heap for each shared context, and guards with it all that belongs to the context.
//!
//! Lock order: [`CREATION`], then shared heaps, the newer before the older, then all other locks. What is known of a
//! chunk before its heap has been entered may have changed since, even the heap: enter first, then look again.
//!
//! A heap stops being shared when the layer above has no use for it and nobody has paused in it. It is then like the heap
//! of a thread that has ended, and waits for the next shared context or thread. So a `Shared` may be out of date, but
//! never leads nowhere.

use core::cell::Cell;
use core::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Release},
};

use super::heap::HeapRef;
use super::lock::Lock;
use super::os;
use super::owner::SHARED;
use super::threads;

/// What a shared heap has more than others.
#[derive(Debug)]
pub(super) struct Gate {
    lock: Lock,
    /// Whether the heap is shared; changed under the lock.
    shared: AtomicBool,
    /// Whether the layer above has a use for it.
    used: Cell<bool>,
    /// How many have left it to come back.
    pauses: Cell<u32>,
    /// The lock was taken for a fork.
    forks: Cell<bool>,
    /// The place in the list of all heaps: the newer, the higher. Never changes.
    pub(super) rank: Cell<usize>,
    /// The next heap in the list of spare ones.
    next_spare: Cell<Option<HeapRef>>,
}

/// A heap that is shared, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared(HeapRef);

/// How it went to [enter](Shared::enter) a shared heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Entering {
    /// The calling thread is in it.
    Done,
    /// It is shared no more.
    Gone,
    /// The calling thread was in it before: a signal handler has interrupted it there.
    Inside,
}

/// Whether there ever was a shared heap.
static USED: AtomicBool = AtomicBool::new(false);

/// Whether there ever was a shared heap.
pub fn has_been_used() -> bool {
    USED.load(Acquire)
}

/// Held while heaps become shared, and while the list of spare ones changes.
static CREATION: Lock = Lock::new();

/// Heaps that were shared; a thread may have adopted one since: guarded by [`CREATION`].
struct Spares(Cell<Option<HeapRef>>);

// SAFETY: touched only while CREATION is held.
unsafe impl Sync for Spares {}

static SPARES: Spares = Spares(Cell::new(None));

impl Gate {
    pub(super) const fn new() -> Gate {
        Gate {
            lock: Lock::new(),
            shared: AtomicBool::new(false),
            used: Cell::new(false),
            pauses: Cell::new(0),
            forks: Cell::new(false),
            rank: Cell::new(0),
            next_spare: Cell::new(None),
        }
    }
}

impl Shared {
    /// A shared heap with nothing in it, which the calling thread has entered. `None` when there is no memory for it.
    pub fn create() -> Option<Shared> {
        threads::current()?;
        let _held = CREATION.hold();
        USED.store(true, Release);
        let heap = match Shared::take_spare() {
            Some(spare) => spare,
            None => {
                let heap = HeapRef::create(os::thread_pointer())?;
                threads::add(heap);
                heap
            }
        };
        heap.gate.lock.take();
        heap.gate.used.set(true);
        heap.gate.shared.store(true, Release);
        Some(Shared(heap))
    }

    /// A heap that was shared, and that nobody has adopted since. The caller holds [`CREATION`], and owns it then.
    fn take_spare() -> Option<HeapRef> {
        while let Some(spare) = SPARES.0.take() {
            SPARES.0.set(spare.gate.next_spare.take());
            if spare.owner.adopt(os::thread_pointer()) {
                return Some(spare);
            }
        }
        None
    }

    /// `heap`, if it is shared.
    #[inline]
    pub fn of(heap: HeapRef) -> Option<Shared> {
        heap.gate.shared.load(Acquire).then_some(Shared(heap))
    }

    /// The heap.
    #[inline(always)]
    pub fn heap(self) -> HeapRef {
        self.0
    }

    /// Whether the calling thread is in it.
    #[inline(always)]
    pub fn is_entered(self) -> bool {
        self.0.is_mine()
    }

    /// Whether it is to be entered before `other`.
    pub fn goes_before(self, other: Shared) -> bool {
        self.0.gate.rank.get() > other.0.gate.rank.get()
    }

    /// Waits for the lock. Only those that go before this one may have been entered by the calling thread.
    #[inline]
    pub fn enter(self) -> Entering {
        if self.is_entered() && Shared::of(self.0).is_some() {
            return Entering::Inside;
        }
        self.0.gate.lock.take();
        self.admit()
    }

    /// [`enter`](Shared::enter), if the lock is free. Says whether the calling thread is in it now.
    pub fn try_enter(self) -> bool {
        self.0.gate.lock.try_take() && self.admit() == Entering::Done
    }

    #[inline]
    fn admit(self) -> Entering {
        if Shared::of(self.0).is_none() {
            self.0.gate.lock.release();
            return Entering::Gone;
        }
        self.0.owner.pass(os::thread_pointer());
        Entering::Done
    }

    /// The calling thread, which is in it, leaves.
    #[inline]
    pub fn leave(self) {
        debug_assert!(self.is_entered());
        if !self.0.gate.used.get() && self.0.gate.pauses.get() == 0 {
            return self.retire();
        }
        self.0.owner.pass(SHARED);
        self.0.gate.lock.release();
    }

    /// Leaves, to come back: it stays shared until then.
    pub fn pause(self) {
        self.0.gate.pauses.set(self.0.gate.pauses.get() + 1);
        self.leave();
    }

    /// Comes back.
    pub fn resume(self) {
        self.0.gate.lock.take();
        self.0.owner.pass(os::thread_pointer());
        self.0.gate.pauses.set(self.0.gate.pauses.get() - 1);
    }

    /// Whether a thread sleeps until the calling thread leaves.
    #[inline]
    pub fn is_waited_for(self) -> bool {
        self.0.gate.lock.is_waited_for()
    }

    /// Nothing belongs to it any more but what others will free: whoever leaves it as the last one makes an ordinary
    /// heap of it.
    pub fn abandon(self) {
        self.0.gate.used.set(false);
    }

    #[cold]
    fn retire(self) {
        let heap = self.0;
        heap.collect();
        heap.lay_down();
        heap.annex().set(None);
        heap.gate.shared.store(false, Release);
        heap.gate.lock.release();
        heap.leave();
        let _held = CREATION.hold();
        heap.gate.next_spare.set(SPARES.0.replace(Some(heap)));
    }
}

/// Takes the locks of all heaps, for a fork, but those that the calling thread has: a signal handler forks, and the thread
/// goes on there, in both processes.
pub(super) fn take_all(heaps: impl Iterator<Item = HeapRef>) {
    CREATION.take();
    for heap in heaps.filter(|&heap| !(heap.is_mine() && Shared::of(heap).is_some())) {
        heap.gate.lock.take();
        heap.gate.forks.set(true);
        if Shared::of(heap).is_some() {
            heap.owner.pass(os::thread_pointer());
        }
    }
}

/// Releases what [`take_all`] took.
pub(super) fn release_all(heaps: impl Iterator<Item = HeapRef>) {
    for heap in heaps.filter(|heap| heap.gate.forks.take()) {
        if Shared::of(heap).is_some() {
            heap.owner.pass(SHARED);
        }
        heap.gate.lock.release();
    }
    CREATION.release();
}

/// Takes back what others have freed of shared heaps, and gives back what is free in them, as far as no thread is in
/// them.
pub(super) fn tidy(heaps: impl Iterator<Item = HeapRef>) {
    for shared in heaps.filter_map(Shared::of).filter(|shared| shared.try_enter()) {
        shared.0.collect();
        shared.0.retire_empty_spans();
        shared.leave();
    }
}

/// Whether nobody but who enters it may own `heap`.
pub(super) fn is_reserved(heap: HeapRef) -> bool {
    heap.owner.is(SHARED) || Shared::of(heap).is_some()
}
