//! Shared heaps: a heap that any thread may use, one at a time, behind a lock.
//!
//! Whoever [enters](Shared::enter) a shared heap has its lock and is its owner, so that all that holds for a thread's
//! own heap holds for it until it leaves, and an address that leads to the heap leads to the lock. The layer above has a
//! shared heap for each shared context, and guards with it all that belongs to the context.
//!
//! Lock order: [`CREATION`], then shared heaps, the newer before the older, then all other locks. What is known of a
//! chunk before its heap has been entered may have changed since, even the heap: enter first, then look again.
//!
//! The lock is not fair, but who has waited for long has the next turn.
//!
//! A heap stops being shared when the layer above has no use for it and nobody has paused in it who may come back. It is
//! then like the heap of a thread that has ended, but waits for the next shared context: what lies in the heap of a thread,
//! the null context for one, never finds itself in a shared one. So a `Shared` may be out of date, but never leads nowhere.

use core::cell::Cell;
use core::sync::atomic::{
    AtomicBool, AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

mod forks;
mod spares;

pub(in crate::mem) use forks::{forget_the_lost, release_all, take_all};
pub(in crate::mem) use spares::{forget_spares, spares_lock};

use super::heap::HeapRef;
use super::heaps::Heaps;
use super::lock::Lock;
use super::os;
use super::owner::SHARED;
use super::pauses::Pauses;
use super::threads;
use spares::SPARES;

/// What a shared heap has more than others.
#[derive(Debug)]
pub(in crate::mem) struct Gate {
    lock: Lock,
    /// Whether the heap is shared; changed under the lock.
    shared: AtomicBool,
    /// Whether the layer above has a use for it.
    used: Cell<bool>,
    /// Who has left it to come back.
    pauses: Pauses,
    /// The lock was taken for a fork.
    forks: Cell<bool>,
    /// How often it was entered since a thread last had to wait for it.
    tenure: Cell<u32>,
    /// How long who waits leaves the lock alone; changed under it.
    patience: AtomicU32,
    /// How many wait in spite of that, and have waited for long.
    hungry: AtomicU32,
    /// The place in the list of heaps: the newer, the higher. Never changes.
    pub(in crate::mem) rank: Cell<usize>,
    /// Whether it is for shared contexts alone. Set before the heap is in a list, and never changes.
    reserved: Cell<bool>,
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

/// How many calls a thread should make before the next has its turn. Each turn costs some hundred nanoseconds, until
/// what the lock guards has come from one processor's cache to the other's: more than ten calls do. So where threads take
/// the lock from each other more often, those who wait learn to leave it alone for longer.
const TENURE: u32 = 1000;
/// The most that they learn, in rests of the processor: some microseconds.
const PATIENCE_MAX: u32 = 511;

/// So many looks in vain, some tens of microseconds, are a long time.
const LOOKS: usize = 8;
/// How often a thread that steps aside looks whether another has come in: some ten microseconds.
const STEPS: usize = 50;

/// Whether there ever was a shared heap.
static USED: AtomicBool = AtomicBool::new(false);

/// Whether there ever was a shared heap.
pub fn has_been_used() -> bool {
    USED.load(Acquire)
}

/// The heaps that are shared, or were.
pub(in crate::mem) static HEAPS: Heaps = Heaps::new();

/// Held while heaps become shared.
static CREATION: Lock = Lock::new();

impl Gate {
    pub(in crate::mem) const fn new() -> Gate {
        Gate {
            lock: Lock::new(),
            shared: AtomicBool::new(false),
            used: Cell::new(false),
            pauses: Pauses::new(),
            forks: Cell::new(false),
            tenure: Cell::new(0),
            patience: AtomicU32::new(0),
            hungry: AtomicU32::new(0),
            rank: Cell::new(0),
            reserved: Cell::new(false),
            next_spare: Cell::new(None),
        }
    }

    /// Gives back what it has mapped. Nobody uses the heap any more.
    pub(in crate::mem) fn release(&self) {
        self.pauses.release();
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
                heap.gate.reserved.set(true);
                HEAPS.add(heap);
                heap
            }
        };
        heap.gate.lock.take();
        heap.gate.used.set(true);
        heap.gate.shared.store(true, Release);
        Some(Shared(heap))
    }

    /// A heap that was shared, which the calling thread owns from now on.
    fn take_spare() -> Option<HeapRef> {
        // Not one in which somebody is just collecting what was freed, or that a fork has left behind for good.
        SPARES.take(|spare| spare.owner.adopt(os::thread_pointer()) || spare.adopt_lost())
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
        self.take();
        self.admit()
    }

    #[inline]
    fn take(self) {
        let gate = &self.0.gate;
        if gate.lock.try_take() {
            gate.tenure.set(gate.tenure.get().saturating_add(1));
        } else {
            self.take_over();
        }
    }

    /// Takes the lock after another thread. See [`TENURE`]; but who has waited for long is *hungry*, and the others
    /// [step aside](Shared::step_aside).
    #[cold]
    #[inline(never)]
    fn take_over(self) {
        let gate = &self.0.gate;
        let patience = gate.patience.load(Relaxed);
        let mut is_hungry = false;
        gate.lock.take_after(|look| {
            if look == LOOKS && !is_hungry {
                is_hungry = true;
                gate.hungry.fetch_add(1, Relaxed);
            }
            if is_hungry { 0 } else { patience }
        });
        if is_hungry {
            gate.hungry.fetch_sub(1, Relaxed);
        }
        let now = if gate.tenure.replace(0) < TENURE { patience * 2 + 1 } else { patience / 2 };
        gate.patience.store(now.min(PATIENCE_MAX), Relaxed);
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
        if !self.0.gate.used.get() && self.0.gate.pauses.are_over() {
            return self.retire();
        }
        self.0.owner.pass(SHARED);
        self.0.gate.lock.release();
        if self.0.gate.hungry.load(Relaxed) > 0 {
            self.step_aside();
        }
    }

    /// Keeps the calling thread, which has just left, from coming back before one that has waited for long; for a moment,
    /// for that one may sleep.
    #[cold]
    #[inline(never)]
    fn step_aside(self) {
        let hungry = &self.0.gate.hungry;
        let before = hungry.load(Relaxed);
        let mut steps = 0..STEPS;
        while hungry.load(Relaxed) >= before.max(1) && steps.next().is_some() {
            // SAFETY: has no preconditions.
            unsafe { libc::sched_yield() };
        }
    }

    /// Leaves, to come back: it stays shared until then, or until the thread ends.
    pub fn pause(self) {
        self.0.gate.pauses.begin(os::thread_pointer());
        if let Some(own) = threads::current() {
            own.pauses.set(own.pauses.get().saturating_add(1));
        }
        self.leave();
    }

    /// Comes back.
    pub fn resume(self) {
        self.take();
        self.0.owner.pass(os::thread_pointer());
        self.0.gate.pauses.end(os::thread_pointer());
        if let Some(own) = threads::current() {
            own.pauses.set(own.pauses.get().saturating_sub(1));
        }
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
        SPARES.push(heap);
    }
}

/// The calling thread ends, and comes back to no heap: foreign code has ended it during a pause, or jumped out before. It
/// is in none.
#[cold]
pub(in crate::mem) fn forget_my_pauses() {
    for shared in HEAPS.all().filter_map(Shared::of).filter(|shared| shared.enter() == Entering::Done) {
        shared.0.gate.pauses.forget(os::thread_pointer());
        shared.leave();
    }
}

/// Takes back what others have freed of shared heaps, and gives back what is free in them, as far as no thread is in
/// them.
pub(in crate::mem) fn tidy() {
    for shared in HEAPS.all().filter_map(Shared::of).filter(|shared| shared.try_enter()) {
        shared.0.collect();
        shared.0.retire_empty_spans();
        shared.leave();
    }
}

/// Whether `heap` is one for shared contexts, and no thread's own.
pub(in crate::mem) fn is_reserved(heap: HeapRef) -> bool {
    heap.gate.reserved.get()
}

#[cfg(test)]
pub(in crate::mem) mod tests {
    use super::*;
    use std::sync::{Barrier, Mutex};
    use std::thread;

    /// Held by tests that say of a heap that it is shared no more: others might take it for their own.
    pub(in crate::mem) static ALONE: Mutex<()> = Mutex::new(());

    #[test]
    fn nobody_waits_for_threads_that_have_ended_in_a_pause() {
        let _alone = ALONE.lock();
        let create = || {
            let shared = Shared::create().unwrap();
            // Nobody makes one while it is in another: a fork would wait for both.
            shared.leave();
            shared
        };
        let shareds = [create(), create()];
        let heaps = shareds.map(|shared| shared.heap().as_ptr().expose_provenance());
        let end_in_pauses = move || {
            for (heap, times) in heaps.into_iter().zip([1, 2]) {
                let heap = HeapRef::from_raw(core::ptr::with_exposed_provenance_mut(heap));
                let shared = Shared::of(heap.unwrap()).unwrap();
                for _ in 0..times {
                    assert_eq!(shared.enter(), Entering::Done);
                    shared.pause();
                }
            }
        };
        let enter_and_abandon = |shared: Shared| {
            assert_eq!(shared.enter(), Entering::Done);
            shared.abandon();
            shared.leave();
        };
        thread::spawn(end_in_pauses).join().unwrap();
        shareds.into_iter().for_each(enter_and_abandon);
        assert!(shareds.iter().all(|shared| Shared::of(shared.heap()).is_none()));
        // Also if they are the last that had something to do with it.
        let shared = Shared::create().unwrap();
        let heap = shared.heap().as_ptr().expose_provenance();
        shared.pause();
        thread::spawn(move || {
            let heap = HeapRef::from_raw(core::ptr::with_exposed_provenance_mut(heap));
            let shared = Shared::of(heap.unwrap()).unwrap();
            assert_eq!(shared.enter(), Entering::Done);
            shared.abandon();
            shared.pause();
        })
        .join()
        .unwrap();
        assert!(Shared::of(shared.heap()).is_some());
        shared.resume();
        shared.leave();
        assert!(Shared::of(shared.heap()).is_none());
    }

    /// More threads than there are places for without memory.
    #[test]
    #[cfg_attr(miri, ignore = "Miri knows no forks")]
    fn in_the_child_of_a_fork_nobody_waits_for_threads_that_paused() {
        const THREADS: usize = 20;
        let _alone = ALONE.lock();
        let shared = Shared::create().unwrap();
        shared.leave();
        let paused = Barrier::new(THREADS + 1);
        let forked = Barrier::new(THREADS + 1);
        let address = shared.heap().as_ptr().expose_provenance();
        let in_child = thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let heap = HeapRef::from_raw(core::ptr::with_exposed_provenance_mut(address));
                    let shared = Shared::of(heap.unwrap()).unwrap();
                    assert_eq!(shared.enter(), Entering::Done);
                    shared.pause();
                    paused.wait();
                    forked.wait();
                    shared.resume();
                    shared.leave();
                });
            }
            paused.wait();
            assert_eq!(shared.enter(), Entering::Done);
            shared.abandon();
            shared.leave();
            assert!(Shared::of(shared.heap()).is_some());
            // SAFETY: the child only looks at the heap, and ends.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: has no preconditions.
                unsafe { libc::_exit(i32::from(Shared::of(shared.heap()).is_some())) };
            }
            forked.wait();
            let mut status = -1;
            // SAFETY: `status` is there.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            status
        });
        assert_eq!(in_child, 0);
        assert!(Shared::of(shared.heap()).is_none());
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri knows no forks")]
    fn who_would_wait_for_itself_aborts() {
        // SAFETY: the child uses a lock of its own, and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let lock = Lock::new();
            let _held = lock.hold();
            lock.take();
            // SAFETY: has no preconditions.
            unsafe { libc::_exit(0) };
        }
        let mut status = 0;
        // SAFETY: `status` is there.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGABRT, "{status:#x}");
    }
}
