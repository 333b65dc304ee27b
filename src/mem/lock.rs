//! A lock: one word that says who has taken it, and that threads sleep on meanwhile.
//!
//! Not recursive: a thread that would wait for itself, because a signal handler has interrupted it while it had the lock,
//! ends the process with a reason. As the word is all there is, no instruction lies between having the lock and
//! being known to have it.
//!
//! Never held while foreign code (a destructor, a callback) runs. All locks, static ones and those of shared heaps and of
//! turns, are taken around a fork (see `threads`), so that in the child each is free, and what it guards whole.
//!
//! Not fair: a thread that releases the lock and wants it again at once most often gets it, with all that it guards
//! still in its cache. A waiting thread looks for a while before it sleeps, also after it was woken, so that a lock in
//! demand costs a system call now and then, and not at each turn.

use super::os;
use super::sync::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
    SPINS,
};

const FREE: usize = 0;
/// Added to the thread pointer of who has the lock, where a thread may sleep until it is free.
const WAITED_FOR: usize = 1;

/// A mutual exclusion lock. See the module.
#[derive(Debug)]
pub struct Lock {
    /// The thread pointer of who has it; [`FREE`] if nobody does.
    word: AtomicUsize,
}

/// Holds a [`Lock`] until it is dropped.
#[derive(Debug)]
pub struct Held<'a>(&'a Lock);

impl Lock {
    /// A free lock.
    pub const fn new() -> Lock {
        Lock { word: AtomicUsize::new(FREE) }
    }

    /// Waits until the lock is free and takes it.
    #[inline]
    pub fn hold(&self) -> Held<'_> {
        self.take();
        Held(self)
    }

    /// [`hold`](Lock::hold), for what is done behind the lock in some tens of nanoseconds, and over and over: who finds the lock
    /// taken leaves it alone for `rests` rests of the processor before each look. What one thread then does meanwhile, it
    /// does with all that the lock guards in its cache.
    #[inline]
    pub fn hold_patiently(&self, rests: u32) -> Held<'_> {
        self.take_patiently(rests);
        Held(self)
    }

    /// Takes the lock without a guard, for fork handlers, which release it in another function.
    #[inline]
    pub fn take(&self) {
        self.take_patiently(0);
    }

    #[inline(always)]
    fn take_patiently(&self, rests: u32) {
        if self.word.compare_exchange(FREE, os::thread_pointer(), Acquire, Relaxed).is_err() {
            self.take_after(|_| rests);
        }
    }

    /// Takes the lock if it is free. Says whether it was.
    #[inline]
    pub fn try_take(&self) -> bool {
        self.word.load(Relaxed) == FREE
            && self.word.compare_exchange(FREE, os::thread_pointer(), Acquire, Relaxed).is_ok()
    }

    /// Whether a thread sleeps until the lock is free.
    #[inline]
    pub fn is_waited_for(&self) -> bool {
        self.word.load(Relaxed) & WAITED_FOR != 0
    }

    /// Releases what [`take`](Lock::take) took; in a forked child, whoever took it.
    #[inline]
    pub fn release(&self) {
        if self.word.swap(FREE, Release) & WAITED_FOR != 0 {
            os::wake_one(&self.word);
        }
    }

    /// Waits for the lock, which was taken just now, and takes it. It is looked at [`SPINS`] times before the thread sleeps,
    /// and again after that; not more often than after so many rests of the processor as `patience` says before each
    /// look.
    #[cold]
    pub(super) fn take_after(&self, mut patience: impl FnMut(usize) -> u32) {
        let me = os::thread_pointer();
        if self.word.load(Relaxed) & !WAITED_FOR == me {
            os::would_wait_for_itself();
        }
        // Once it has slept, it is not known who else does.
        let mut mark = me;
        loop {
            for look in 0..SPINS {
                // Looks ever more rarely: each look takes the line from the thread that works behind the lock, which
                // takes it many times in a row meanwhile.
                for _ in 0..(1 << (look / 4).min(7)).max(patience(look)) {
                    core::hint::spin_loop();
                }
                if self.word.load(Relaxed) == FREE
                    && self.word.compare_exchange(FREE, mark, Acquire, Relaxed).is_ok()
                {
                    return;
                }
            }
            let seen = self.word.load(Relaxed);
            if seen != FREE && self.word.compare_exchange(seen, seen | WAITED_FOR, Relaxed, Relaxed).is_ok() {
                os::wait_while(&self.word, seen | WAITED_FOR);
                mark = me | WAITED_FOR;
            }
        }
    }
}

impl Default for Lock {
    fn default() -> Lock {
        Lock::new()
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::UnsafeCell;

    struct Counter(Lock, UnsafeCell<usize>);
    // SAFETY: the count is touched only while the lock is held.
    unsafe impl Sync for Counter {}

    #[test]
    fn excludes() {
        static COUNTER: Counter = Counter(Lock::new(), UnsafeCell::new(0));
        let threads: std::vec::Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(|| {
                    for _ in 0..20_000 {
                        let _held = COUNTER.0.hold();
                        // SAFETY: the lock is held.
                        unsafe { *COUNTER.1.get() += 1 };
                    }
                })
            })
            .collect();
        for t in threads {
            t.join().unwrap();
        }
        // SAFETY: all threads have ended.
        assert_eq!(unsafe { *COUNTER.1.get() }, 80_000);
    }
}
