//! In the place of the library's `mem::os`: the sleep of a thread, as the kernel promises it and no better.

use loom::sync::{Condvar, Mutex};

use super::sync::{AtomicU32, AtomicUsize, Ordering::Relaxed};

loom::lazy_static! {
    /// Held while a thread looks at its word and falls asleep, and while one is woken: in the kernel, too, no
    /// wake-up comes in between.
    static ref QUEUE: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
}

/// In a model all threads are one of the system's, so none is known again.
pub(super) fn thread_pointer() -> usize {
    usize::MAX & !1
}

pub(super) fn would_wait_for_itself() {}

/// Sleeps while `word` is `it_is`.
pub(super) fn wait_while(word: &AtomicUsize, it_is: usize) {
    let held = QUEUE.0.lock().unwrap();
    if word.load(Relaxed) == it_is {
        drop(QUEUE.1.wait(held).unwrap());
    }
}

/// Wakes one of the threads that wait for `word`.
pub(super) fn wake_one(_word: &AtomicUsize) {
    let _held = QUEUE.0.lock().unwrap();
    QUEUE.1.notify_one();
}

loom::lazy_static! {
    /// The same, for the words of waiters in a queue: a place that is woken late may be another's.
    static ref WAITERS: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
}

/// Sleeps while `word` is `while_it_is`; a deadline passes at once. Says whether there is still time.
pub(super) fn wait_until(word: &AtomicU32, while_it_is: u32, deadline: Option<u64>) -> bool {
    let held = WAITERS.0.lock().unwrap();
    if word.load(Relaxed) == while_it_is {
        if deadline.is_some() {
            return false;
        }
        drop(WAITERS.1.wait(held).unwrap());
    }
    true
}

/// Wakes who waits at this address, and others for nothing.
pub(super) fn wake_at(_address: usize) {
    let _held = WAITERS.0.lock().unwrap();
    WAITERS.1.notify_all();
}
