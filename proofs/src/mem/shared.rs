//! A shared heap: the steps of the library's `mem::shared`, one by one, on its real lock, owner and mailbox.
//!
//! The library's file finds heaps through lists of the process, which have no place in a model; so this follows it by
//! hand: [`enter`](Shared::enter), [`leave`](Shared::leave), and what makes an ordinary heap of a shared one.

use super::heap::Heap;
use super::lock::Lock;
use super::owner::SHARED;
use super::sync::{AtomicU32, Cell, Ordering::Relaxed};

/// A heap and its gate.
#[derive(Debug)]
pub struct Shared<const SPANS: usize, const OBJECTS: usize> {
    heap: Heap<SPANS, OBJECTS>,
    lock: Lock,
    /// 1 while it is shared; changed under the lock.
    shared: AtomicU32,
    /// Whether the layer above has a use for it.
    used: Cell<bool>,
}

// SAFETY: what is in it says itself when threads use it at once that must not.
unsafe impl<const S: usize, const O: usize> Sync for Shared<S, O> {}
// SAFETY: as above.
unsafe impl<const S: usize, const O: usize> Send for Shared<S, O> {}

impl<const SPANS: usize, const OBJECTS: usize> Shared<SPANS, OBJECTS> {
    /// One that no thread is in. Made in the first thread of a model.
    pub fn new() -> Self {
        let shared = Shared {
            heap: Heap::new(SHARED),
            lock: Lock::new(),
            shared: AtomicU32::new(1),
            used: Cell::new(true),
        };
        drop(shared.lock.hold());
        shared.shared.touch();
        shared.used.touch();
        shared
    }

    /// The heap.
    pub fn heap(&self) -> &Heap<SPANS, OBJECTS> {
        &self.heap
    }

    /// The thread `me` waits for the lock. Says whether it is in now, or it is shared no more.
    pub fn enter(&self, me: usize) -> bool {
        self.lock.take();
        if self.shared.load(Relaxed) == 0 {
            self.lock.release();
            return false;
        }
        self.heap.pass(me);
        true
    }

    /// The thread `me`, which is in it, leaves.
    pub fn leave(&self, me: usize) {
        if self.used.get() {
            self.heap.pass(SHARED);
            self.lock.release();
            return;
        }
        self.heap.collect();
        self.shared.store(0, Relaxed);
        self.lock.release();
        self.heap.leave(me);
    }

    /// The layer above has no use for it any more; the calling thread is in it.
    pub fn abandon(&self) {
        self.used.set(false);
    }
}

impl<const SPANS: usize, const OBJECTS: usize> Default for Shared<SPANS, OBJECTS> {
    fn default() -> Self {
        Self::new()
    }
}
