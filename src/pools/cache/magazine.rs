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
//!
//! Whoever changes it marks it meanwhile: see `change`.

use core::mem::offset_of;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{
    AtomicPtr, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Relaxed, Release},
};

use super::change::Change;
use super::slab::Round;
use super::stack::Stack;
use crate::compare;
use crate::mem::os;
use crate::pools::books;

/// Owner of a magazine that is nobody's.
pub(super) const NOBODY: usize = 0;
/// Owner of one that is being made ready, or whose thread is known elsewhere. No thread pointer.
const SOMEBODY: usize = 1;

/// What a magazine is found by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Badge {
    /// Stands in a magazine at rest: at the front, a number for its cache and its thread together.
    pub(super) idle: usize,
    /// Stands in one that is being changed. Nobody looks for it.
    pub(super) busy: usize,
}

impl Badge {
    /// Of all that are found by way of a table. Numbers that none at the front has.
    pub(super) const IN_TABLE: Badge = Badge { idle: 1, busy: 2 };
}

/// See the module: one line of the processor's caches. Zeros are a magazine that is nobody's.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Magazine {
    /// 0, so that nobody who walks over slots takes it for a chunk.
    _not_a_tag: u32,
    /// Rounds of a stack.
    capacity: AtomicU32,
    /// One of the two numbers of its [`Badge`]; 0 while it is nobody's.
    pub(super) badge: AtomicUsize,
    /// The thread pointer of its thread.
    pub(super) owner: AtomicUsize,
    /// The round that was put in last, or the one at the bottom of its stack.
    pub(super) top: AtomicPtr<Round>,
    /// The last place for a round in that stack.
    pub(super) limit: AtomicPtr<Round>,
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
            badge: AtomicUsize::new(0),
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
        let at = books::take(size_of::<Magazine>())?.cast::<Magazine>();
        // SAFETY: a slot of this many bytes, nobody else's.
        let magazine = unsafe {
            at.write(Magazine::vacant());
            at.as_ref()
        };
        if magazine.claim(Badge::IN_TABLE, SOMEBODY, capacity) {
            return Some(at);
        }
        // SAFETY: taken above.
        unsafe { books::give(at.cast()) };
        None
    }

    /// Gives one from [`create`](Magazine::create) back.
    ///
    /// # Safety
    /// Nobody uses it any more.
    pub(super) unsafe fn end(at: NonNull<Magazine>) {
        // SAFETY: the caller's.
        unsafe {
            at.as_ref().seize().vacate();
            books::give(at.cast());
        }
    }

    /// The thread `owner` takes it, to find it by `badge`, with two stacks for `capacity` objects each. Says whether it
    /// could.
    pub(super) fn claim(&self, badge: Badge, owner: usize, capacity: usize) -> bool {
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
        stacks[0].put_under(stacks[1]);
        self.go_to(stacks[0], 0);
        self.frees.store(0, Relaxed);
        self.moved.store(0, Relaxed);
        self.badge.store(badge.idle, Relaxed);
        self.owner.store(owner, Release);
        true
    }

    /// Whether it is that of the thread `owner`.
    pub(super) fn is_owned_by(&self, owner: usize) -> bool {
        self.owner.load(Relaxed) == owner
    }

    /// Whether it is found by `badge`, or would be if it were in no change.
    pub(super) fn has(&self, badge: Badge) -> bool {
        let found = self.badge.load(Relaxed);
        found == badge.idle || found == badge.busy
    }

    /// Begins a change, if this is the magazine with this badge, which is the calling thread's, and in no change.
    #[inline(always)]
    pub(super) fn begin_quick(&self, badge: Badge) -> Option<Change<'_>> {
        self.begin_if(self.badge.load(Relaxed) == badge.idle, badge)
    }

    /// [`begin_quick`](Magazine::begin_quick) in fewer bytes of code.
    #[inline(always)]
    pub(super) fn begin_short(&self, badge: Badge) -> Option<Change<'_>> {
        const BADGE: isize = offset_of!(Magazine, badge) as isize;
        // SAFETY: a word of this.
        let is_it = unsafe { compare::is_at::<BADGE>(core::ptr::from_ref(self).cast(), badge.idle) };
        self.begin_if(is_it, badge)
    }

    #[inline(always)]
    fn begin_if(&self, is_it: bool, badge: Badge) -> Option<Change<'_>> {
        // SAFETY: the caller is its thread, and nothing is being changed.
        is_it.then(|| unsafe { Change::new(self, badge) })
    }

    /// Begins a change of the magazine with this badge, which is the calling thread's. If it is in a change already, that was
    /// interrupted by this, and the process ends.
    pub(super) fn begin(&self, badge: Badge) -> Change<'_> {
        if self.badge.load(Relaxed) == badge.busy {
            os::would_wait_for_itself();
        }
        // SAFETY: the caller is its thread, and nothing is being changed.
        unsafe { Change::new(self, badge) }
    }

    /// Begins a change of a magazine whose thread is no more, or leaves it to the caller. It may have been in the middle of
    /// one: top and limit are valid at each moment, if not of the same.
    ///
    /// # Safety
    /// That. One of the front is vacated in this change.
    pub(super) unsafe fn seize(&self) -> Change<'_> {
        // SAFETY: the caller's.
        unsafe { Change::new(self, Badge::IN_TABLE) }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity.load(Relaxed) as usize
    }

    /// The stack that the top is in. Other threads, which hold the lock of the cache, are told one of the two.
    pub(super) fn current(&self) -> Stack {
        // SAFETY: in front of the limit lies a stack, of as many rounds.
        unsafe { Stack::at(self.limit.load(Relaxed).wrapping_sub(self.capacity())) }
    }

    /// The lower and the upper stack. The caller is its thread, or holds the lock.
    pub(super) fn stacks(&self) -> [Stack; 2] {
        let one = self.current();
        [one.below().unwrap_or(one), one.above().unwrap_or(one)]
    }

    /// The top is now that of `stack`, with `n` objects.
    pub(super) fn go_to(&self, stack: Stack, n: usize) {
        self.limit.store(stack.bottom().wrapping_add(self.capacity()), Relaxed);
        self.top.store(stack.bottom().wrapping_add(n), Relaxed);
    }

    /// How many objects are in each stack. The caller is its thread, or holds the lock.
    pub(super) fn counts(&self) -> [usize; 2] {
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

    /// An object came in otherwise than by a free, or as many went otherwise than by an allocation.
    pub(super) fn count_moved(&self, n: i64) {
        self.moved.store(self.moved.load(Relaxed).wrapping_add_signed(n), Relaxed);
    }

    #[inline(always)]
    pub(super) fn count_frees(&self, n: u64) {
        self.frees.store(self.frees.load(Relaxed) + n, Relaxed);
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
