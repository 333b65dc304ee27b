//! Changes of a magazine, by its thread.
//!
//! A signal handler may interrupt its thread in the middle of one. Therefore a magazine is *marked* for the length of
//! each: it has another badge then, so that the look that finds a thread's magazine does not find this one, at no
//! further cost. Whoever comes the long way to a magazine of its own that is marked is such a handler, and the
//! process ends with a reason. As a magazine changes by way of a [`Change`] only, none changes without a mark.
//!
//! What depends on each other is done in one change: that there is room, and what comes into it; that it is empty, and the
//! stack that is taken in. Nothing that was read before is relied on, for until then the handler may do anything. No foreign code runs
//! in a change, so that none is left by a jump. Where the lock of the cache is needed, too, it is taken first.

use core::ffi::c_void;
use core::mem;
use core::ptr::NonNull;
use core::sync::atomic::{
    Ordering::{Relaxed, Release, SeqCst},
    compiler_fence,
};

use super::magazine::{Badge, Magazine, NOBODY};
use super::slab::{CACHED, IN_USE, Round};
use super::stack::Stack;

/// A magazine in the middle of a change, from the beginning until this is dropped. See the module.
pub(super) struct Change<'a> {
    magazine: &'a Magazine,
    /// Its badge, when this is dropped.
    idle: usize,
}

/// Room for an object, on top of all others.
pub(super) struct Room<'a> {
    magazine: &'a Magazine,
    at: *mut Round,
}

impl Room<'_> {
    #[inline(always)]
    fn fill(self, round: Round) {
        // SAFETY: a place for a round, above the top.
        unsafe { self.at.write(round) };
        self.magazine.top.store(self.at, Relaxed);
    }

    /// Puts an object in that a user has freed.
    #[inline(always)]
    pub(super) fn take_back(self, round: Round) {
        let magazine = self.magazine;
        self.fill(round);
        magazine.count_frees(1);
    }
}

/// A magazine on the way to be filled: what is on top of its stack stands here until it is closed.
pub(super) struct Filling<'a> {
    magazine: &'a Magazine,
    top: *mut Round,
    limit: *mut Round,
}

impl Filling<'_> {
    /// How many more objects there is room for in this stack.
    #[inline(always)]
    pub(super) fn room(&self) -> usize {
        (self.limit.addr() - self.top.addr()) / size_of::<Round>()
    }

    /// Puts an object in. There is room.
    #[inline(always)]
    pub(super) fn push(&mut self, round: Round) {
        debug_assert!(self.room() > 0, "there is room");
        self.top = self.top.wrapping_add(1);
        // SAFETY: a place for a round, which nobody else has.
        unsafe { self.top.write(round) };
    }

    /// Ends its use. Returns how many came.
    #[inline(always)]
    fn end(self) -> usize {
        let before = self.magazine.top.load(Relaxed);
        self.magazine.top.store(self.top, Relaxed);
        (self.top.addr() - before.addr()) / size_of::<Round>()
    }

    /// Ends its use: no user has freed what came.
    #[inline(always)]
    pub(super) fn close(self) {
        let magazine = self.magazine;
        magazine.count_moved(self.end() as i64);
    }

    /// Ends its use: users have freed what came.
    #[inline(always)]
    pub(super) fn close_freed(self) {
        let magazine = self.magazine;
        magazine.count_frees(self.end() as u64);
    }
}

impl<'a> Change<'a> {
    /// Marks the magazine, which has this badge.
    ///
    /// # Safety
    /// The caller alone may change it now.
    #[inline(always)]
    pub(super) unsafe fn new(magazine: &'a Magazine, badge: Badge) -> Change<'a> {
        magazine.badge.store(badge.busy, Relaxed);
        // All that follows comes after it in the program, which is what a signal handler sees.
        compiler_fence(SeqCst);
        Change { magazine, idle: badge.idle }
    }

    /// What is changed.
    pub(super) fn magazine(&self) -> &'a Magazine {
        self.magazine
    }

    /// Takes the object that was put in last, for a user. `None` where there is none, or it was taken already.
    #[inline(always)]
    pub(super) fn pop_quick(&mut self) -> Option<NonNull<u8>> {
        let magazine = self.magazine;
        let top = magazine.top.load(Relaxed);
        // SAFETY: a round.
        let round = unsafe { top.read() };
        if round.state() != CACHED {
            return None;
        }
        round.set_state(IN_USE);
        magazine.top.store(top.wrapping_sub(1), Relaxed);
        Some(round.object)
    }

    /// Takes the object that was put in last, for a user.
    pub(super) fn pop(&mut self) -> Option<NonNull<u8>> {
        loop {
            let object = self.pop_quick();
            if object.is_some() {
                return object;
            }
            let current = self.magazine.current();
            if self.magazine.top.load(Relaxed) == current.bottom() {
                self.magazine.go_to(current.below()?, self.magazine.capacity());
            } else {
                // What two threads freed at the same moment is in two magazines, and is taken once.
                self.magazine.top.store(self.magazine.top.load(Relaxed).wrapping_sub(1), Relaxed);
                self.magazine.count_moved(-1);
            }
        }
    }

    /// Takes up to `n` objects for users, those of the stack in use that were put in last. Returns how many.
    ///
    /// # Safety
    /// `out` leads to `n` places.
    #[inline(always)]
    pub(super) unsafe fn pop_many(&mut self, n: usize, out: *mut *mut c_void) -> usize {
        let mut top = self.magazine.top.load(Relaxed);
        let mut taken = 0;
        while taken < n {
            // SAFETY: a round, the one at the bottom or above it.
            let round = unsafe { top.read() };
            if round.state() != CACHED {
                break;
            }
            round.set_state(IN_USE);
            // SAFETY: the caller's.
            unsafe { out.add(taken).write(round.object.as_ptr().cast()) };
            top = top.wrapping_sub(1);
            taken += 1;
        }
        self.magazine.top.store(top, Relaxed);
        taken
    }

    /// An object went to a user without having been in the magazine.
    pub(super) fn count_allocation(&mut self) {
        self.magazine.count_moved(1);
    }

    /// The place for one more object, if the stack in use has one.
    #[inline(always)]
    pub(super) fn room_quick(&mut self) -> Option<Room<'_>> {
        let top = self.magazine.top.load(Relaxed);
        (top != self.magazine.limit.load(Relaxed))
            .then_some(Room { magazine: self.magazine, at: top.wrapping_add(1) })
    }

    /// The place for one more object, if there is one.
    pub(super) fn room(&mut self) -> Option<Room<'_>> {
        let magazine = self.magazine;
        if magazine.top.load(Relaxed) == magazine.limit.load(Relaxed) {
            magazine.go_to(magazine.current().above()?, 0);
        }
        self.room_quick()
    }

    /// Puts an object in that no user has freed, if there is room.
    pub(super) fn push(&mut self, round: Round) -> bool {
        let Some(room) = self.room() else { return false };
        room.fill(round);
        self.magazine.count_moved(1);
        true
    }

    /// The stack that is in use is to be filled.
    #[inline(always)]
    pub(super) fn filling(&mut self) -> Filling<'_> {
        Filling {
            magazine: self.magazine,
            top: self.magazine.top.load(Relaxed),
            limit: self.magazine.limit.load(Relaxed),
        }
    }

    /// Takes a full stack in. The magazine is empty; its thread holds the lock of the cache.
    pub(super) fn load(&mut self, full: Stack) {
        debug_assert!(self.magazine.count() == 0, "nothing is lost");
        let [empty, upper] = self.magazine.stacks();
        full.put_under(upper);
        self.magazine.go_to(full, self.magazine.capacity());
        self.magazine.count_moved(self.magazine.capacity() as i64);
        // SAFETY: it is no magazine's any more, and there is nothing in it.
        unsafe { empty.end() };
    }

    /// Exchanges the full lower stack for an empty one, which `leave` gives for it. The magazine is full; its
    /// thread holds the lock of the cache.
    pub(super) fn unload(&mut self, leave: impl FnOnce(Stack) -> Stack) {
        debug_assert!(self.magazine.count() == 2 * self.magazine.capacity(), "what leaves is full");
        let [full, upper] = self.magazine.stacks();
        let empty = leave(full);
        upper.put_under(empty);
        self.magazine.go_to(empty, 0);
        self.magazine.count_moved(-(self.magazine.capacity() as i64));
    }

    /// Takes out all that is in it. The caller holds the lock of the cache.
    pub(super) fn drain(&mut self, mut to: impl FnMut(&[Round])) {
        let (stacks, counts) = (self.magazine.stacks(), self.magazine.counts());
        for (stack, n) in stacks.into_iter().zip(counts) {
            // SAFETY: as many are in it.
            to(unsafe { stack.lowest(n) });
        }
        self.magazine.go_to(stacks[0], 0);
        self.magazine.count_moved(-(counts.into_iter().sum::<usize>() as i64));
    }

    /// Drops what is in it. Its thread is no more.
    pub(super) fn forget(&mut self) {
        self.drain(|_| {});
    }

    /// It is nobody's any more, and what is in it is dropped.
    ///
    /// # Safety
    /// It is claimed; its thread does not use it any more.
    pub(super) unsafe fn vacate(self) {
        let magazine = self.magazine;
        // The mark goes with the badge.
        mem::forget(self);
        // SAFETY: its stacks, which nobody uses any more.
        magazine.stacks().into_iter().for_each(|stack| unsafe { stack.end() });
        magazine.badge.store(0, Relaxed);
        magazine.owner.store(NOBODY, Release);
    }
}

impl Drop for Change<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        compiler_fence(SeqCst);
        self.magazine.badge.store(self.idle, Relaxed);
    }
}
