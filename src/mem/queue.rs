//! A queue of threads, each of which waits for a pointer: first come, first served.
//!
//! A thread's place in the queue lies on its stack. Who has something to give hands it to the first in the
//! queue itself, so that nobody who comes later can take it; the thread that waits is told by a word of its
//! own. The queue is changed under the lock of whoever owns it, and that lock also decides between a pointer
//! that is handed over and a waiter that gives up: the waiter leaves the queue under the lock, and if it
//! is no longer in it, it has been given something and takes it.
//!
//! ```text
//! WAITING ─────── the waiter looks for a while, then sleeps ──▶ ASLEEP
//!    │                                                            │
//!    ├── give ──▶ GIVEN    the pointer is the waiter's ◀── give ──┤
//!    ├── end ───▶ ENDED    there will be none ◀──────────── end ──┤
//!    └── leave: out of the queue, nothing was given ◀───── leave ─┘
//! ```
//! Once its word is GIVEN or ENDED, a waiter may return at any moment, and its place be gone: who gives
//! touches nothing of it after that, and wakes by its address alone.

use core::ffi::c_void;
use core::ptr::{self, NonNull};

use super::os;
use super::sync::{
    AtomicU32, Cell,
    Ordering::{Acquire, Relaxed, Release},
    SPINS,
};

const WAITING: u32 = 0;
const GIVEN: u32 = 1;
const ENDED: u32 = 2;
const ASLEEP: u32 = 3;

/// For how many rests of the processor a thread waits between two looks, of which it takes [`SPINS`] before it sleeps: in
/// all some microseconds, as long as a thread takes to wake up. So one that is given something while another is woken
/// finds that other one still awake when it has something to give in turn, and not both sleep at each turn.
const RESTS: u32 = 4;

/// A thread's place in a queue.
#[derive(Debug)]
pub struct Waiter {
    word: AtomicU32,
    /// What it was given; written before the word says so.
    gift: Cell<*mut c_void>,
    next: Cell<*const Waiter>,
    prev: Cell<*const Waiter>,
}

/// How a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// With a pointer.
    Given(NonNull<c_void>),
    /// The queue is no more. The waiter is out of it, and touches nothing of its owner's.
    Ended,
    /// The time is up. The waiter is in the queue until it [leaves](Queue::leave).
    TimedOut,
}

/// A waiter that must be woken, once the lock is free, if it sleeps: the address of its word.
#[derive(Debug)]
#[must_use]
pub struct Wake(Option<usize>);

impl Wake {
    /// Wakes it, if it still sleeps.
    pub fn now(self) {
        if let Some(address) = self.0 {
            os::wake_at(address);
        }
    }
}

impl Waiter {
    /// In no queue.
    pub const fn new() -> Waiter {
        Waiter {
            word: AtomicU32::new(WAITING),
            gift: Cell::new(ptr::null_mut()),
            next: Cell::new(ptr::null()),
            prev: Cell::new(ptr::null()),
        }
    }

    /// Sleeps until it is given something, the queue ends, or the clock of [`os::nanoseconds`] passes
    /// `deadline`. It has entered a queue, whose lock is free.
    pub fn wait(&self, deadline: Option<u64>) -> Waited {
        for _ in 0..SPINS {
            if self.word.load(Relaxed) != WAITING {
                break;
            }
            (0..RESTS).for_each(|_| core::hint::spin_loop());
        }
        loop {
            match self.word.load(Acquire) {
                WAITING => {
                    let _ = self.word.compare_exchange(WAITING, ASLEEP, Relaxed, Relaxed);
                    continue;
                }
                ASLEEP => {}
                GIVEN => match NonNull::new(self.gift.get()) {
                    Some(gift) => return Waited::Given(gift),
                    None => return Waited::Ended,
                },
                _ => return Waited::Ended,
            }
            if !os::wait_until(&self.word, ASLEEP, deadline) {
                return Waited::TimedOut;
            }
        }
    }
}

impl Default for Waiter {
    fn default() -> Waiter {
        Waiter::new()
    }
}

/// See the module. All of it is used under the owner's lock.
#[derive(Debug)]
pub struct Queue {
    first: Cell<*const Waiter>,
    last: Cell<*const Waiter>,
}

impl Queue {
    /// With nobody in it.
    pub const fn new() -> Queue {
        Queue { first: Cell::new(ptr::null()), last: Cell::new(ptr::null()) }
    }

    /// Puts `waiter` at the end.
    ///
    /// # Safety
    /// The lock is held. The waiter is in no queue, and stays where it is until it has been told that it
    /// was given something or that the queue has ended, or has [left](Queue::leave).
    pub unsafe fn enter(&self, waiter: &Waiter) {
        let last = self.last.get();
        waiter.word.store(WAITING, Relaxed);
        waiter.gift.set(ptr::null_mut());
        waiter.next.set(ptr::null());
        waiter.prev.set(last);
        // SAFETY: who is in the queue is there.
        match unsafe { last.as_ref() } {
            Some(last) => last.next.set(waiter),
            None => self.first.set(waiter),
        }
        self.last.set(waiter);
    }

    /// Gives `gift` to the first waiter, if there is one.
    ///
    /// # Safety
    /// The lock is held.
    pub unsafe fn give(&self, gift: NonNull<c_void>) -> Option<Wake> {
        // SAFETY: the caller's.
        unsafe { self.dismiss_first(gift.as_ptr(), GIVEN) }
    }

    /// Tells the first waiter that there is nothing to wait for any more, if there is one.
    ///
    /// # Safety
    /// The lock is held.
    pub unsafe fn end(&self) -> Option<Wake> {
        // SAFETY: the caller's.
        unsafe { self.dismiss_first(ptr::null_mut(), ENDED) }
    }

    unsafe fn dismiss_first(&self, gift: *mut c_void, verdict: u32) -> Option<Wake> {
        // SAFETY: who is in the queue is there; the caller holds the lock.
        let waiter = unsafe { self.first.get().as_ref() }?;
        self.unlink(waiter);
        waiter.gift.set(gift);
        let word = ptr::from_ref(&waiter.word).addr();
        // The last that is done with the place: the waiter may be gone now.
        let sleeps = waiter.word.swap(verdict, Release) == ASLEEP;
        Some(Wake(sleeps.then_some(word)))
    }

    /// Takes a waiter whose time is up out of the queue; or takes what it has been given meanwhile.
    ///
    /// # Safety
    /// The lock is held; the waiter has entered this queue.
    pub unsafe fn leave(&self, waiter: &Waiter) -> Option<NonNull<c_void>> {
        // It is given and ended under the lock alone.
        if matches!(waiter.word.load(Relaxed), WAITING | ASLEEP) {
            self.unlink(waiter);
            return None;
        }
        NonNull::new(waiter.gift.get())
    }

    fn unlink(&self, waiter: &Waiter) {
        let (next, prev) = (waiter.next.get(), waiter.prev.get());
        // SAFETY: neighbours in the queue are there.
        unsafe {
            match prev.as_ref() {
                Some(prev) => prev.next.set(next),
                None => self.first.set(next),
            }
            match next.as_ref() {
                Some(next) => next.prev.set(prev),
                None => self.last.set(prev),
            }
        }
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.first.get().is_null()
    }

    /// Forgets all who are in it, without a word to them: threads that a fork has left behind.
    pub fn forget(&self) {
        self.first.set(ptr::null());
        self.last.set(ptr::null());
    }
}

impl Default for Queue {
    fn default() -> Queue {
        Queue::new()
    }
}
