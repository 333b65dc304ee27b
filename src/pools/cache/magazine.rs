//! Magazines: the free objects that a thread has at hand for itself, in a cache.
//!
//! A magazine belongs to one thread, named by its thread pointer; only that thread takes from it and puts
//! into it, without a lock. Which one is whose, `places` knows.
//!
//! ```text
//!  lower stack               upper stack
//! │ object │ … │ object │   │ object │ … │        │
//!                                      top      limit
//! ```
//! It is two stacks of equal size, and begins to use the upper one when the lower one is full. So where a thread takes one
//! object too many, or frees one, half a magazine lies between that and the next time that it has to ask others: a full
//! stack comes from them or goes to them. Which two stacks it has changes under the lock of the cache; that its top goes from
//! one to the other, does not concern others.
//!
//! Frees are counted one by one. Allocations are not: they are what came in and is neither in the magazine nor went
//! another way.

use core::ffi::c_void;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{
    AtomicPtr, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Relaxed, Release},
};

use super::front::Key;
use super::slab::{CACHED, IN_USE, Round};
use super::stack::Stack;
use crate::mem::heap;
use crate::mem::size;
use crate::mem::threads;

/// Owner of a magazine that is nobody's.
pub(super) const NOBODY: usize = 0;
/// Owner of one that is being made ready. No thread pointer.
const SOMEBODY: usize = 1;

/// See the module: one line of the processor's caches. Zeros are a magazine that is nobody's.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Magazine {
    /// 0, so that nobody who walks over slots takes it for a chunk.
    _not_a_tag: u32,
    /// Rounds of a stack.
    capacity: AtomicU32,
    /// What its cache is known by.
    key: AtomicUsize,
    /// The thread pointer of its thread.
    owner: AtomicUsize,
    /// The round that was put in last, or the one at the bottom of its stack.
    top: AtomicPtr<Round>,
    /// The last place for a round in that stack.
    limit: AtomicPtr<Round>,
    frees: AtomicU64,
    /// Objects that came in otherwise than by a free, less those that went otherwise than by an allocation.
    moved: AtomicU64,
    /// The next one of those where it is in a list.
    pub(super) next: AtomicPtr<Magazine>,
}

const _: () = assert!(size_of::<Magazine>() == 64);

/// What the magazines of a cache have done together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) allocations: u64,
    pub(super) frees: u64,
    pub(super) cached: usize,
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

/// Both stacks of a magazine.
fn make_stacks(capacity: usize) -> Option<[Stack; 2]> {
    let lower = Stack::create(capacity)?;
    let Some(upper) = Stack::create(capacity) else {
        // SAFETY: made above.
        unsafe { lower.end() };
        return None;
    };
    Some([lower, upper])
}

impl Magazine {
    /// One that is nobody's.
    pub(super) const fn vacant() -> Magazine {
        Magazine {
            _not_a_tag: 0,
            capacity: AtomicU32::new(0),
            key: AtomicUsize::new(0),
            owner: AtomicUsize::new(NOBODY),
            top: AtomicPtr::new(null_mut()),
            limit: AtomicPtr::new(null_mut()),
            frees: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            next: AtomicPtr::new(null_mut()),
        }
    }

    /// One with two stacks for `capacity` objects each, in memory of its own.
    pub(super) fn create(capacity: usize) -> Option<NonNull<Magazine>> {
        let at = threads::current()?.take(size::class_of(size_of::<Magazine>()))?.0.cast::<Magazine>();
        // SAFETY: a slot of this many bytes, nobody else's.
        let magazine = unsafe {
            at.write(Magazine::vacant());
            at.as_ref()
        };
        if magazine.claim(Key::NONE, SOMEBODY, capacity) {
            return Some(at);
        }
        // SAFETY: taken above.
        unsafe { heap::give(at.cast()) };
        None
    }

    /// Gives one from [`create`](Magazine::create) back.
    ///
    /// # Safety
    /// Nobody uses it any more.
    pub(super) unsafe fn end(at: NonNull<Magazine>) {
        // SAFETY: the caller's.
        unsafe {
            at.as_ref().vacate();
            heap::give(at.cast());
        }
    }

    /// The thread `owner` takes it for the cache with `key`, with two stacks for `capacity` objects each. Says whether it
    /// could.
    pub(super) fn claim(&self, key: Key, owner: usize, capacity: usize) -> bool {
        if self.owner.load(Relaxed) != NOBODY {
            return false;
        }
        let Some(stacks) = make_stacks(capacity) else { return false };
        if self.owner.compare_exchange(NOBODY, SOMEBODY, AcqRel, Relaxed).is_err() {
            // SAFETY: made above.
            stacks.into_iter().for_each(|stack| unsafe { stack.end() });
            return false;
        }
        self.capacity.store(capacity as u32, Relaxed);
        self.key.store(key.number(), Relaxed);
        stacks[0].put_under(stacks[1]);
        self.go_to(stacks[0], 0);
        self.frees.store(0, Relaxed);
        self.moved.store(0, Relaxed);
        self.owner.store(owner, Release);
        true
    }

    /// It is nobody's any more, and what is in it is dropped.
    ///
    /// # Safety
    /// It is claimed; its thread does not use it any more.
    pub(super) unsafe fn vacate(&self) {
        // SAFETY: its stacks, which nobody uses any more.
        self.stacks().into_iter().for_each(|stack| unsafe { stack.end() });
        self.key.store(0, Relaxed);
        self.owner.store(NOBODY, Release);
    }

    /// Whether it is that of the thread `owner`, in the cache with `key`.
    #[inline(always)]
    pub(super) fn is_of(&self, key: Key, owner: usize) -> bool {
        self.key.load(Relaxed) == key.number() && self.is_owned_by(owner)
    }

    /// Whether it is that of the thread `owner`.
    #[inline(always)]
    pub(super) fn is_owned_by(&self, owner: usize) -> bool {
        self.owner.load(Relaxed) == owner
    }

    fn capacity(&self) -> usize {
        self.capacity.load(Relaxed) as usize
    }

    /// The stack that the top is in. Other threads, which hold the lock of the cache, are told one of the two.
    fn current(&self) -> Stack {
        // SAFETY: in front of the limit lies a stack, of as many rounds.
        unsafe { Stack::at(self.limit.load(Relaxed).wrapping_sub(self.capacity())) }
    }

    /// The lower and the upper stack. The caller is its thread, or holds the lock.
    fn stacks(&self) -> [Stack; 2] {
        let one = self.current();
        [one.below().unwrap_or(one), one.above().unwrap_or(one)]
    }

    /// The top is now that of `stack`, with `n` objects.
    fn go_to(&self, stack: Stack, n: usize) {
        self.limit.store(stack.bottom().wrapping_add(self.capacity()), Relaxed);
        self.top.store(stack.bottom().wrapping_add(n), Relaxed);
    }

    /// How many objects are in each stack. The caller is its thread, or holds the lock.
    fn counts(&self) -> [usize; 2] {
        let [lower, upper] = self.stacks();
        // It says in which stack it is; the limit may be that of the other one at this moment.
        let top = self.top.load(Relaxed).addr();
        let in_stack = |stack: Stack| top.wrapping_sub(stack.bottom().addr()) / size_of::<Round>();
        match in_stack(upper) {
            n if n <= self.capacity() => [self.capacity(), n],
            _ => [in_stack(lower), 0],
        }
    }

    /// How many objects are in it. The caller is its thread, or holds the lock.
    pub(super) fn count(&self) -> usize {
        self.counts().into_iter().sum()
    }

    /// Takes the object that was put in last, for a user. `None` where there is none, or it was taken already. The
    /// magazine is the calling thread's.
    #[inline(always)]
    pub(super) fn pop_quick(&self) -> Option<NonNull<u8>> {
        let top = self.top.load(Relaxed);
        // SAFETY: a round.
        let round = unsafe { top.read() };
        if round.state() != CACHED {
            return None;
        }
        round.set_state(IN_USE);
        self.top.store(top.wrapping_sub(1), Relaxed);
        Some(round.object)
    }

    /// Takes the object that was put in last, for a user. The magazine is the calling thread's.
    pub(super) fn pop(&self) -> Option<NonNull<u8>> {
        loop {
            let object = self.pop_quick();
            if object.is_some() {
                return object;
            }
            let current = self.current();
            if self.top.load(Relaxed) == current.bottom() {
                self.go_to(current.below()?, self.capacity());
            } else {
                // What two threads freed at the same moment is in two magazines, and is taken once.
                self.top.store(self.top.load(Relaxed).wrapping_sub(1), Relaxed);
                self.count_moved(-1);
            }
        }
    }

    /// Takes up to `n` objects for users, those of the stack in use that were put in last. Returns how many. The magazine is
    /// the calling thread's.
    ///
    /// # Safety
    /// `out` leads to `n` places.
    #[inline(always)]
    pub(super) unsafe fn pop_many(&self, n: usize, out: *mut *mut c_void) -> usize {
        let mut top = self.top.load(Relaxed);
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
        self.top.store(top, Relaxed);
        taken
    }

    /// An object came in otherwise than by a free, or as many went otherwise than by an allocation.
    fn count_moved(&self, n: i64) {
        self.moved.store(self.moved.load(Relaxed).wrapping_add_signed(n), Relaxed);
    }

    #[inline(always)]
    fn count_frees(&self, n: u64) {
        self.frees.store(self.frees.load(Relaxed) + n, Relaxed);
    }

    /// An object went to a user without having been in the magazine.
    pub(super) fn count_allocation(&self) {
        self.count_moved(1);
    }

    /// The place for one more object, if the stack in use has one. The magazine is the calling thread's.
    #[inline(always)]
    pub(super) fn room_quick(&self) -> Option<Room<'_>> {
        let top = self.top.load(Relaxed);
        (top != self.limit.load(Relaxed)).then_some(Room { magazine: self, at: top.wrapping_add(1) })
    }

    /// The place for one more object, if there is one. The magazine is the calling thread's.
    pub(super) fn room(&self) -> Option<Room<'_>> {
        self.room_quick().or_else(|| {
            self.go_to(self.current().above()?, 0);
            self.room_quick()
        })
    }

    /// Puts an object in that no user has freed, if there is room. The magazine is the calling thread's.
    pub(super) fn push(&self, round: Round) -> bool {
        let Some(room) = self.room() else { return false };
        room.fill(round);
        self.count_moved(1);
        true
    }

    /// The stack that is in use is to be filled. The magazine is the calling thread's.
    #[inline(always)]
    pub(super) fn filling(&self) -> Filling<'_> {
        Filling { magazine: self, top: self.top.load(Relaxed), limit: self.limit.load(Relaxed) }
    }

    /// Takes a full stack in. The magazine is empty and the calling thread's; its thread holds the lock of the cache.
    pub(super) fn load(&self, full: Stack) {
        debug_assert!(self.count() == 0, "nothing is lost");
        let [empty, upper] = self.stacks();
        full.put_under(upper);
        self.go_to(full, self.capacity());
        self.count_moved(self.capacity() as i64);
        // SAFETY: it is no magazine's any more, and there is nothing in it.
        unsafe { empty.end() };
    }

    /// Exchanges the full lower stack for an empty one, which `leave` gives for it. The magazine is full and the calling
    /// thread's; its thread holds the lock of the cache.
    pub(super) fn unload(&self, leave: impl FnOnce(Stack) -> Stack) {
        debug_assert!(self.count() == 2 * self.capacity(), "what leaves is full");
        let [full, upper] = self.stacks();
        let empty = leave(full);
        upper.put_under(empty);
        self.go_to(empty, 0);
        self.count_moved(-(self.capacity() as i64));
    }

    /// Takes out all that is in it. The caller is its thread, or it is nobody's, and holds the lock of the cache.
    pub(super) fn drain(&self, mut to: impl FnMut(&[Round])) {
        let (stacks, counts) = (self.stacks(), self.counts());
        for (stack, n) in stacks.into_iter().zip(counts) {
            // SAFETY: as many are in it.
            to(unsafe { stack.lowest(n) });
        }
        self.go_to(stacks[0], 0);
        self.count_moved(-(counts.into_iter().sum::<usize>() as i64));
    }

    /// Drops what is in it. Its thread is no more.
    pub(super) fn forget(&self) {
        self.drain(|_| {});
    }

    pub(super) fn add_to(&self, tally: &mut Tally) {
        let (count, frees) = (self.count(), self.frees.load(Relaxed));
        // Of a thread that goes on meanwhile, these may not fit together.
        let came = frees.wrapping_add(self.moved.load(Relaxed));
        tally.allocations += came.wrapping_sub(count as u64).cast_signed().max(0).cast_unsigned();
        tally.frees += frees;
        tally.cached += count;
    }
}
