//! A lock of four bytes: one word that threads sleep on when it is taken.
//!
//! Not recursive. Never held while foreign code (a destructor, a callback) runs.
//!
//! fork: a lock that another thread held at the fork is held by nobody in the child. So a lock that is
//! taken says in which generation of processes it was, and counts for nothing in a later one. (The few
//! locks whose state must be whole in the child are taken around the fork, see `threads`.)

use core::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

const FREE: u32 = 0;
const TAKEN: u32 = 1;
const WAITED_FOR: u32 = 2;
/// What a generation counts in a lock's word.
const GENERATION: u32 = 4;

/// The generation of this process, times [`GENERATION`].
static NOW: AtomicU32 = AtomicU32::new(0);

/// From now on, in a forked child, what other threads had locked is free.
pub(super) fn begin_generation() {
    NOW.fetch_add(GENERATION, Relaxed);
}

/// Whether `word` is that of a lock taken in an earlier generation.
fn is_stale(word: u32, now: u32) -> bool {
    word != FREE && word & !(GENERATION - 1) != now
}

/// A mutual exclusion lock. See the module.
#[derive(Debug)]
pub struct Lock(AtomicU32);

/// Holds a [`Lock`] until it is dropped.
#[derive(Debug)]
pub struct Held<'a>(&'a Lock);

impl Lock {
    /// A free lock.
    pub const fn new() -> Lock {
        Lock(AtomicU32::new(FREE))
    }

    /// Waits until the lock is free and takes it.
    #[inline]
    pub fn hold(&self) -> Held<'_> {
        self.take();
        Held(self)
    }

    /// Takes the lock without a guard, for fork handlers, which release it in another function.
    #[inline]
    pub fn take(&self) {
        let taken = TAKEN | NOW.load(Relaxed);
        if self.0.compare_exchange(FREE, taken, Acquire, Relaxed).is_err() {
            self.take_contended();
        }
    }

    /// Releases what [`take`](Lock::take) took, in a forked child also before the fork.
    #[inline]
    pub fn release(&self) {
        if self.0.swap(FREE, Release) & WAITED_FOR != 0 {
            wake_one(&self.0);
        }
    }

    #[cold]
    fn take_contended(&self) {
        let now = NOW.load(Relaxed);
        for _ in 0..64 {
            let word = self.0.load(Relaxed);
            if (word == FREE || is_stale(word, now))
                && self.0.compare_exchange(word, TAKEN | now, Acquire, Relaxed).is_ok()
            {
                return;
            }
            core::hint::spin_loop();
        }
        loop {
            let before = self.0.swap(WAITED_FOR | now, Acquire);
            if before == FREE || is_stale(before, now) {
                return;
            }
            wait(&self.0, WAITED_FOR | now);
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

fn wait(word: &AtomicU32, while_it_is: u32) {
    const OP: i32 = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    let no_timeout = core::ptr::null::<libc::timespec>();
    // SAFETY: the word is a live, aligned u32; every outcome (woken, changed, interrupted) only
    // makes the caller look again.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), OP, while_it_is, no_timeout) };
}

fn wake_one(word: &AtomicU32) {
    const OP: i32 = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word's address is only used as a name of the queue.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), OP, 1) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::UnsafeCell;

    struct Counter(Lock, UnsafeCell<usize>);
    // SAFETY: the count is touched only while the lock is held.
    unsafe impl Sync for Counter {}

    #[test]
    fn what_was_taken_before_a_fork_is_free_after_it() {
        let lock = Lock::new();
        lock.take();
        assert!(!is_stale(lock.0.load(Relaxed), NOW.load(Relaxed)));
        assert!(is_stale(lock.0.load(Relaxed), NOW.load(Relaxed) + GENERATION));
        lock.release();
        assert_eq!(lock.0.load(Relaxed), FREE);
    }

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
