//! Magazines: the free objects that a thread has at hand for itself, in a cache.
//!
//! A magazine belongs to one thread, named by its thread pointer; only that thread takes from it and puts
//! into it, without a lock. A magazine whose thread has ended is empty and waits for another. Which one is whose,
//! `places` knows.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering::Relaxed};

use super::slab::{CACHED, IN_USE, Round};
use crate::mem::size;
use crate::mem::threads;

/// See the module. Behind it lie its rounds.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Magazine {
    /// 0, so that nobody who walks over slots takes it for a chunk.
    _not_a_tag: u32,
    count: AtomicU32,
    capacity: u32,
    /// Allocations that found the magazine empty.
    misses: AtomicU32,
    allocations: AtomicU64,
    frees: AtomicU64,
    /// The next one that waits, where it is in a list of such.
    pub(super) next_spare: AtomicPtr<Magazine>,
}

type RoundCell = UnsafeCell<MaybeUninit<Round>>;

/// What the magazines of a cache have done together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) allocations: u64,
    pub(super) frees: u64,
    pub(super) misses: u64,
    pub(super) cached: usize,
}

/// Room for an object, on top of all others.
pub(super) struct Room<'a> {
    magazine: &'a Magazine,
    count: u32,
}

impl Room<'_> {
    #[inline(always)]
    pub(super) fn fill(self, round: Round) {
        // SAFETY: a place below the capacity.
        unsafe { self.magazine.place(self.count).write(round) };
        self.magazine.count.store(self.count + 1, Relaxed);
    }
}

impl Magazine {
    pub(super) fn create(capacity: usize) -> Option<NonNull<Magazine>> {
        let bytes = size_of::<Magazine>() + capacity * size_of::<RoundCell>();
        let at = threads::current()?.take(size::class_of(bytes))?.0.cast::<Magazine>();
        // SAFETY: a slot of this many bytes, nobody else's.
        unsafe {
            at.write(Magazine {
                _not_a_tag: 0,
                count: AtomicU32::new(0),
                capacity: capacity as u32,
                misses: AtomicU32::new(0),
                allocations: AtomicU64::new(0),
                frees: AtomicU64::new(0),
                next_spare: AtomicPtr::new(null_mut()),
            });
        }
        Some(at)
    }

    /// The place of round `i`.
    #[inline(always)]
    fn place(&self, i: u32) -> *mut Round {
        // SAFETY: the rounds lie behind the magazine; callers stay below the capacity.
        unsafe { core::ptr::from_ref(self).add(1).cast::<Round>().cast_mut().add(i as usize) }
    }

    /// How many objects are in it.
    #[inline(always)]
    pub(super) fn count(&self) -> usize {
        self.count.load(Relaxed) as usize
    }

    /// Takes the object that was put in last, for a user. The magazine is the calling thread's.
    #[inline(always)]
    pub(super) fn pop(&self) -> Option<NonNull<u8>> {
        loop {
            let count = self.count.load(Relaxed).checked_sub(1)?;
            // SAFETY: a round below the top.
            let round = unsafe { self.place(count).read() };
            self.count.store(count, Relaxed);
            // What two threads freed at the same moment is in two magazines, and is taken once.
            if round.state() == CACHED {
                round.set_state(IN_USE);
                self.count_allocation();
                return Some(round.object);
            }
        }
    }

    #[inline(always)]
    pub(super) fn count_allocation(&self) {
        self.allocations.store(self.allocations.load(Relaxed) + 1, Relaxed);
    }

    pub(super) fn count_miss(&self) {
        self.misses.store(self.misses.load(Relaxed).wrapping_add(1), Relaxed);
    }

    #[inline(always)]
    pub(super) fn count_free(&self) {
        self.frees.store(self.frees.load(Relaxed) + 1, Relaxed);
    }

    /// The place for one more object, if there is one. The magazine is the calling thread's.
    #[inline(always)]
    pub(super) fn room(&self) -> Option<Room<'_>> {
        let count = self.count.load(Relaxed);
        (count < self.capacity).then_some(Room { magazine: self, count })
    }

    /// Puts an object in, if there is room. The magazine is the calling thread's.
    #[inline(always)]
    pub(super) fn push(&self, round: Round) -> bool {
        self.room().map(|room| room.fill(round)).is_some()
    }

    /// Takes out up to `n` objects that have been there longest. The magazine is the calling thread's, or nobody's.
    pub(super) fn drain(&self, n: usize, mut to: impl FnMut(Round)) {
        let count = self.count.load(Relaxed);
        let n = (n as u32).min(count);
        for i in 0..n {
            // SAFETY: a round below the top.
            to(unsafe { self.place(i).read() });
        }
        // SAFETY: both ranges lie below the top.
        unsafe { self.place(0).copy_from(self.place(n), (count - n) as usize) };
        self.count.store(count - n, Relaxed);
    }

    /// Drops what is in it. Its thread is no more.
    pub(super) fn forget(&self) {
        self.count.store(0, Relaxed);
    }

    pub(super) fn add_to(&self, tally: &mut Tally) {
        tally.allocations += self.allocations.load(Relaxed);
        tally.frees += self.frees.load(Relaxed);
        tally.misses += u64::from(self.misses.load(Relaxed));
        tally.cached += self.count();
    }
}
