//! Magazines: the free objects that a thread has at hand for itself, in a cache.
//!
//! A magazine belongs to one thread, named by its thread pointer; only that thread takes from it and puts
//! into it, without a lock. Which one is whose, `places` knows.
//!
//! ```text
//! bottom                      top                        limit
//! │ no object │ object │ … │ object │            │ … │        │
//! ```
//! At the bottom stands a round that nobody takes for an object: a thread that takes what is on top need not ask whether
//! there is any, for it asks for the object's state in any case.
//!
//! Frees are counted one by one. Allocations are not: they are what came in and is neither in the magazine nor went
//! another way.

use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{
    AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Relaxed, Release},
};

use super::front::Key;
use super::slab::{CACHED, IN_USE, NO_OBJECT, Round};
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
    capacity: AtomicU32,
    /// What its cache is known by.
    key: AtomicUsize,
    /// The thread pointer of its thread.
    owner: AtomicUsize,
    /// The round that was put in last, or the one at the bottom.
    top: AtomicPtr<Round>,
    /// The last place for a round.
    limit: AtomicPtr<Round>,
    frees: AtomicU64,
    /// Objects that came in otherwise than by a free, less those that went otherwise than by an allocation.
    moved: AtomicU64,
    /// The next one of those where it is in a list.
    pub(super) next: AtomicPtr<Magazine>,
}

const _: () = assert!(size_of::<Magazine>() == 64);

/// What lies in front of the rounds, in their slot.
#[repr(C)]
struct Head {
    _not_a_tag: u64,
    _unused: u64,
}

/// The state of what stands at the bottom.
static NONE: AtomicU8 = AtomicU8::new(NO_OBJECT);

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
        let frees = &self.magazine.frees;
        self.fill(round);
        frees.store(frees.load(Relaxed) + 1, Relaxed);
    }
}

/// A magazine on the way to be filled: what is on top stands here until it is closed.
pub(super) struct Filling<'a> {
    magazine: &'a Magazine,
    top: *mut Round,
}

impl Filling<'_> {
    /// Puts an object in. There is room.
    #[inline(always)]
    pub(super) fn push(&mut self, round: Round) {
        debug_assert!(self.top != self.magazine.limit.load(Relaxed), "there is room");
        self.top = self.top.wrapping_add(1);
        // SAFETY: a place for a round, which nobody else has.
        unsafe { self.top.write(round) };
    }

    /// Ends its use.
    #[inline(always)]
    pub(super) fn close(self) {
        let magazine = self.magazine;
        let came = (self.top.addr() - magazine.top.load(Relaxed).addr()) / size_of::<Round>();
        magazine.top.store(self.top, Relaxed);
        magazine.count_moved(came as i64);
    }
}

/// Room for `capacity` rounds: the one at the bottom.
fn make_rounds(capacity: usize) -> Option<*mut Round> {
    let bytes = size_of::<Head>() + (capacity + 1) * size_of::<Round>();
    let at = threads::current()?.take(size::class_of(bytes))?.0.cast::<Head>();
    // SAFETY: a slot of this many bytes, nobody else's.
    unsafe {
        at.write(Head { _not_a_tag: 0, _unused: 0 });
        let bottom = at.add(1).cast::<Round>();
        bottom.write(Round { object: NonNull::dangling(), state: NonNull::from_ref(&NONE) });
        Some(bottom.as_ptr())
    }
}

/// # Safety
/// `bottom` came from [`make_rounds`], and nobody uses it any more.
unsafe fn give_rounds(bottom: *mut Round) {
    // SAFETY: the caller's; the head lies in front.
    unsafe { heap::give(NonNull::new_unchecked(bottom).cast::<Head>().sub(1).cast()) }
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

    /// One with room for `capacity` objects, in memory of its own.
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

    /// The thread `owner` takes it for the cache with `key`, with room for `capacity` objects. Says whether it could.
    pub(super) fn claim(&self, key: Key, owner: usize, capacity: usize) -> bool {
        if self.owner.load(Relaxed) != NOBODY {
            return false;
        }
        let Some(bottom) = make_rounds(capacity) else { return false };
        if self.owner.compare_exchange(NOBODY, SOMEBODY, AcqRel, Relaxed).is_err() {
            // SAFETY: made above.
            unsafe { give_rounds(bottom) };
            return false;
        }
        self.capacity.store(capacity as u32, Relaxed);
        self.key.store(key.number(), Relaxed);
        self.top.store(bottom, Relaxed);
        self.limit.store(bottom.wrapping_add(capacity), Relaxed);
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
        // SAFETY: its rounds, which nobody uses any more.
        unsafe { give_rounds(self.bottom()) };
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

    fn bottom(&self) -> *mut Round {
        self.limit.load(Relaxed).wrapping_sub(self.capacity.load(Relaxed) as usize)
    }

    /// How many objects are in it.
    pub(super) fn count(&self) -> usize {
        (self.top.load(Relaxed).addr() - self.bottom().addr()) / size_of::<Round>()
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
        while self.count() > 0 {
            let object = self.pop_quick();
            if object.is_some() {
                return object;
            }
            // What two threads freed at the same moment is in two magazines, and is taken once.
            self.top.store(self.top.load(Relaxed).wrapping_sub(1), Relaxed);
            self.count_moved(-1);
        }
        None
    }

    /// An object came in otherwise than by a free, or as many went otherwise than by an allocation.
    fn count_moved(&self, n: i64) {
        self.moved.store(self.moved.load(Relaxed).wrapping_add_signed(n), Relaxed);
    }

    /// An object went to a user without having been in the magazine.
    pub(super) fn count_allocation(&self) {
        self.count_moved(1);
    }

    /// The place for one more object, if there is one. The magazine is the calling thread's.
    #[inline(always)]
    pub(super) fn room(&self) -> Option<Room<'_>> {
        let top = self.top.load(Relaxed);
        (top != self.limit.load(Relaxed)).then_some(Room { magazine: self, at: top.wrapping_add(1) })
    }

    /// Puts an object in that no user has freed, if there is room. The magazine is the calling thread's.
    pub(super) fn push(&self, round: Round) -> bool {
        let Some(room) = self.room() else { return false };
        room.fill(round);
        self.count_moved(1);
        true
    }

    /// The magazine is to be filled with objects that no user has freed. It is the calling thread's.
    #[inline(always)]
    pub(super) fn filling(&self) -> Filling<'_> {
        Filling { magazine: self, top: self.top.load(Relaxed) }
    }

    /// Puts objects in that no user has freed. There is room. The magazine is the calling thread's.
    pub(super) fn push_all(&self, rounds: &[Round]) {
        let top = self.top.load(Relaxed);
        // SAFETY: there is room above the top, which nobody else has.
        unsafe { top.add(1).copy_from_nonoverlapping(rounds.as_ptr(), rounds.len()) };
        self.top.store(top.wrapping_add(rounds.len()), Relaxed);
        self.count_moved(rounds.len() as i64);
    }

    /// Takes out up to `n` objects that have been there longest. The magazine is the calling thread's, or nobody's.
    pub(super) fn drain(&self, n: usize, to: impl FnOnce(&[Round])) {
        let count = self.count();
        let n = n.min(count);
        let first = self.bottom().wrapping_add(1);
        // SAFETY: rounds at or below the top. Both ranges lie above the bottom.
        unsafe {
            to(core::slice::from_raw_parts(first, n));
            first.copy_from(first.add(n), count - n);
        }
        self.top.store(self.bottom().wrapping_add(count - n), Relaxed);
        self.count_moved(-(n as i64));
    }

    /// Drops what is in it. Its thread is no more.
    pub(super) fn forget(&self) {
        self.drain(usize::MAX, |_| {});
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
