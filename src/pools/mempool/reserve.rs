//! The reserve: elements that are kept back, and the threads that wait for one. Used under the pool's lock.
//!
//! Invariants: who waits, waits because there is nothing; so either the queue is empty, or the reserve is. And what is here,
//! what is out, and what is still to come from the source are together never fewer elements than are to be kept back.

use core::ffi::c_void;
use core::ptr::NonNull;

use super::stack::Stack;
use crate::error::AllocError;
use crate::mem::queue::{Queue, Waiter, Wake};
use crate::process;

/// See the module.
#[derive(Debug)]
pub(super) struct Reserve {
    /// How many elements are kept back at most.
    min: usize,
    elements: Stack,
    /// How many have been promised and not come yet.
    to_come: usize,
    queue: Queue,
    /// Of which process the waiters are: [`process::births`].
    births: u32,
}

/// What becomes of an element that comes back.
pub(super) enum Put {
    /// It is the first waiter's.
    HandedOver(Wake),
    /// It is kept back.
    Kept,
    /// The reserve is full.
    Surplus,
}

impl Reserve {
    /// An empty one, for `min` elements, all of which are still to come.
    pub(super) fn new(min: usize) -> Result<Reserve, AllocError> {
        let elements = Stack::with_room(min)?;
        Ok(Reserve { min, elements, to_come: min, queue: Queue::new(), births: process::births() })
    }

    /// Forgets the waiters that a fork has left behind.
    pub(super) fn enter_process(&mut self) {
        let births = process::births();
        if self.births != births {
            self.births = births;
            self.queue.forget();
        }
    }

    /// How many elements it keeps back when it is full.
    pub(super) fn min(&self) -> usize {
        self.min
    }

    /// Whether an element that comes back is wanted here, for a waiter or for the reserve.
    pub(super) fn is_wanting(&self) -> bool {
        self.elements.len() < self.min
    }

    /// Whether it is certain that elements are out.
    pub(super) fn has_lent(&self) -> bool {
        self.elements.len() + self.to_come < self.min
    }

    /// Whether `element` is among those that came back last.
    pub(super) fn has(&self, element: NonNull<c_void>) -> bool {
        self.elements.has(element)
    }

    /// Whether a thread waits, which the next element is for.
    pub(super) fn is_waited_for(&self) -> bool {
        !self.queue.is_empty()
    }

    /// An element, if there is one.
    pub(super) fn take(&mut self) -> Option<NonNull<c_void>> {
        self.elements.pop()
    }

    /// Puts `waiter` behind all others.
    ///
    /// # Safety
    /// As for [`Queue::enter`].
    pub(super) unsafe fn enter(&mut self, waiter: &Waiter) {
        // SAFETY: the caller's.
        unsafe { self.queue.enter(waiter) };
    }

    /// See [`Queue::leave`].
    ///
    /// # Safety
    /// As there.
    pub(super) unsafe fn leave(&mut self, waiter: &Waiter) -> Option<NonNull<c_void>> {
        // SAFETY: the caller's.
        unsafe { self.queue.leave(waiter) }
    }

    /// Hands over or keeps an element.
    ///
    /// # Safety
    /// The lock is held.
    pub(super) unsafe fn put(&mut self, element: NonNull<c_void>) -> Put {
        // SAFETY: the caller's.
        if let Some(wake) = unsafe { self.queue.give(element) } {
            return Put::HandedOver(wake);
        }
        if !self.is_wanting() {
            return Put::Surplus;
        }
        self.elements.push(element);
        Put::Kept
    }

    /// Sends the first waiter away, if there is one.
    ///
    /// # Safety
    /// The lock is held.
    pub(super) unsafe fn dismiss(&mut self) -> Option<Wake> {
        // SAFETY: the caller's.
        unsafe { self.queue.end() }
    }

    /// From now on keeps back fewer; what there is beyond them is taken one by one.
    pub(super) fn shrink_to(&mut self, min: usize) {
        self.min = min;
    }

    /// An element beyond those that are to be kept back.
    pub(super) fn take_surplus(&mut self) -> Option<NonNull<c_void>> {
        if self.elements.len() > self.min { self.elements.pop() } else { None }
    }

    /// From now on keeps back `min`, more than until now, in `room`, which is empty and large enough. What is more is still to
    /// come. The memory that it has no use for is the caller's to give back.
    pub(super) fn grow_to(&mut self, min: usize, room: &mut Stack) {
        self.elements.iter().for_each(|element| room.push(element));
        core::mem::swap(&mut self.elements, room);
        self.to_come += min - self.min;
        self.min = min;
    }

    /// One of those that were still to come has come, and has been [put](Reserve::put) where it is wanted.
    pub(super) fn has_come(&mut self) {
        self.to_come -= 1;
    }

    /// Calls `touch` for each element, and touches the table itself.
    pub(super) fn touch(&mut self, touch: impl Fn(NonNull<c_void>)) {
        self.elements.touch();
        self.elements.iter().for_each(touch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(reserve: &mut Reserve, address: usize) {
        let element = NonNull::new(core::ptr::without_provenance_mut(address)).unwrap();
        // SAFETY: nobody else has the reserve.
        assert!(matches!(unsafe { reserve.put(element) }, Put::Kept));
    }

    #[test]
    fn what_is_still_to_come_is_not_out() {
        let mut reserve = Reserve::new(2).unwrap();
        for address in [16, 32] {
            assert!(reserve.is_wanting() && !reserve.has_lent());
            put(&mut reserve, address);
            reserve.has_come();
        }
        assert!(!reserve.is_wanting() && !reserve.has_lent());
        reserve.grow_to(3, &mut Stack::with_room(3).unwrap());
        assert!(reserve.is_wanting() && !reserve.has_lent());
        let element = reserve.take().unwrap();
        assert!(reserve.has_lent());
        put(&mut reserve, element.addr().get());
        assert!(!reserve.has_lent());
        put(&mut reserve, 48);
        reserve.has_come();
        assert!(!reserve.is_wanting() && !reserve.has_lent());
    }
}
