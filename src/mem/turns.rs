//! Turns at something that threads share, when one of them may fork at any moment.
//!
//! A *brief* turn is one in which nothing foreign runs. A fork waits until it is over, so that in the child what it guards
//! is whole and free. A *long* turn is a thread's of the program, which does with it what it likes: it waits for
//! other turns, in any order, and forks. No fork waits for a long turn. In the child it goes on, if its thread is the one
//! that forked. Else it is *lost*: what it guards may be half changed, and there are no turns any more.
//!
//! Invariant: the lock is held in a brief turn, and for the moments in which a long one begins and ends; never while foreign
//! code runs. It is held by a thread in no other case, so that there is a brief turn only while there is no long one.
//!
//! Lock order: [`LIST`], then the locks of turns, then all other locks of the library. Only the fork handlers take more
//! than one of a turn's.

use core::cell::Cell;
use core::marker::{PhantomData, PhantomPinned};
use core::panic::RefUnwindSafe;
use core::ptr::NonNull;
use core::sync::atomic::{
    AtomicU32, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

use super::lock::{Held, Lock};
use super::os;
use super::sync::SPINS;

/// Nobody has a long turn.
const NOBODY: usize = 0;
/// Who has it is not in this process.
const LOST: usize = usize::MAX;

/// The calling thread, as it stands for a long turn of its own. Thread pointers may be small numbers (Miri's are), 0 too.
fn me() -> usize {
    os::thread_pointer() + 1
}

/// See the module.
#[derive(Debug)]
pub struct Turns {
    lock: Lock,
    /// Whose the long turn is: a thread's, nobody's, or lost. Changed under the lock.
    whose: AtomicUsize,
    /// Counts the long turns that have ended: what threads sleep on.
    ended: AtomicU32,
    /// Whether a thread sleeps until the long turn ends. Guarded by the lock.
    slept_for: Cell<bool>,
    /// The neighbours in the list. Guarded by its lock.
    next: Cell<Option<NonNull<Turns>>>,
    prev: Cell<Option<NonNull<Turns>>>,
    /// The neighbours write here, also while somebody has a `&mut` to what this is a part of.
    _pinned: PhantomPinned,
}

// SAFETY: each cell is guarded by a lock.
unsafe impl Sync for Turns {}
// SAFETY: nothing in it belongs to a thread but a long turn, which borrows it.
unsafe impl Send for Turns {}
// Its cells change in a few steps, none of which panics.
impl RefUnwindSafe for Turns {}

/// A brief turn, until it is dropped.
#[derive(Debug)]
pub struct Brief<'t>(#[allow(dead_code, reason = "dropped")] Held<'t>, PhantomData<*const ()>);

/// A long turn, until it is dropped.
#[derive(Debug)]
pub struct Long<'t>(&'t Turns, PhantomData<*const ()>);

/// There are no turns any more: a thread has one that a fork has left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

impl Turns {
    /// Nobody's turn.
    pub const fn new() -> Turns {
        Turns {
            lock: Lock::new(),
            whose: AtomicUsize::new(NOBODY),
            ended: AtomicU32::new(0),
            slept_for: Cell::new(false),
            next: Cell::new(None),
            prev: Cell::new(None),
            _pinned: PhantomPinned,
        }
    }

    /// From now on forks heed it.
    ///
    /// # Safety
    /// It stays where it is until it is [struck off](Turns::strike_off), once, and is in the list once.
    pub unsafe fn enlist(&self) {
        let _held = LIST.lock.hold();
        let this = NonNull::from_ref(self);
        let next = LIST.first.replace(Some(this));
        self.next.set(next);
        if let Some(next) = next {
            // SAFETY: what is in the list is there, and its places are touched under the list's lock alone.
            unsafe { next.as_ref() }.prev.set(Some(this));
        }
    }

    /// Forks heed it no more.
    ///
    /// # Safety
    /// It was [enlisted](Turns::enlist), and nobody will have a turn any more.
    pub unsafe fn strike_off(&self) {
        let _held = LIST.lock.hold();
        let (prev, next) = (self.prev.take(), self.next.take());
        // SAFETY: as above.
        unsafe {
            match prev {
                Some(prev) => prev.as_ref().next.set(next),
                None => LIST.first.set(next),
            }
            if let Some(next) = next {
                next.as_ref().prev.set(prev);
            }
        }
    }

    /// Waits for a brief turn. The thread has no other brief turn.
    ///
    /// # Errors
    /// [`Lost`].
    #[inline]
    pub fn brief(&self) -> Result<Brief<'_>, Lost> {
        let held = self.lock.hold();
        let held = if self.whose.load(Relaxed) == NOBODY { held } else { self.wait(held)? };
        Ok(Brief(held, PhantomData))
    }

    /// Waits for a long turn. The thread has no brief one.
    ///
    /// # Errors
    /// [`Lost`].
    pub fn long(&self) -> Result<Long<'_>, Lost> {
        let _brief = self.brief()?;
        Ok(self.begin())
    }

    /// A long turn, if it needs no waiting.
    ///
    /// # Errors
    /// [`Lost`].
    pub fn try_long(&self) -> Result<Option<Long<'_>>, Lost> {
        if !self.lock.try_take() {
            return if self.is_lost() { Err(Lost) } else { Ok(None) };
        }
        let long = match self.whose.load(Relaxed) {
            NOBODY => Ok(Some(self.begin())),
            LOST => Err(Lost),
            _ => Ok(None),
        };
        self.lock.release();
        long
    }

    /// Whether there are no turns any more.
    pub fn is_lost(&self) -> bool {
        self.whose.load(Relaxed) == LOST
    }

    /// The lock is held, and it is nobody's turn.
    fn begin(&self) -> Long<'_> {
        self.whose.store(me(), Relaxed);
        Long(self, PhantomData)
    }

    fn end(&self) {
        let held = self.lock.hold();
        self.whose.store(NOBODY, Relaxed);
        self.ended.fetch_add(1, Release);
        let slept_for = self.slept_for.replace(false);
        drop(held);
        if slept_for {
            os::wake_all(&self.ended);
        }
    }

    /// Waits, without the lock, until no long turn is going on.
    #[cold]
    #[inline(never)]
    fn wait<'t>(&'t self, mut held: Held<'t>) -> Result<Held<'t>, Lost> {
        loop {
            drop(held);
            for look in 0..SPINS {
                if matches!(self.whose.load(Relaxed), NOBODY | LOST) {
                    break;
                }
                for _ in 0..1 << (look / 4).min(7) {
                    core::hint::spin_loop();
                }
            }
            held = self.lock.hold();
            match self.whose.load(Relaxed) {
                NOBODY => return Ok(held),
                LOST => return Err(Lost),
                _ => {}
            }
            self.slept_for.set(true);
            let ended = self.ended.load(Acquire);
            drop(held);
            os::wait(&self.ended, ended);
            held = self.lock.hold();
            if self.whose.load(Relaxed) == NOBODY {
                return Ok(held);
            }
        }
    }
}

impl Default for Turns {
    fn default() -> Turns {
        Turns::new()
    }
}

impl Drop for Long<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// All turns that forks heed.
struct List {
    lock: Lock,
    first: Cell<Option<NonNull<Turns>>>,
}

// SAFETY: the list is touched only while the lock is held.
unsafe impl Sync for List {}

static LIST: List = List { lock: Lock::new(), first: Cell::new(None) };

/// The turns in the list, whose lock is held.
fn all() -> impl Iterator<Item = &'static Turns> {
    // SAFETY: what is in the list is there until it is struck off, which takes the lock. Nobody keeps what this gives.
    let turns = |at: &Cell<Option<NonNull<Turns>>>| at.get().map(|turns| unsafe { turns.as_ref() });
    core::iter::successors(turns(&LIST.first), move |last| turns(&last.next))
}

/// Waits until no brief turn is going on, and none begins until [`release_all`], nor does a long one begin or end: for a fork.
pub(super) fn take_all() {
    LIST.lock.take();
    all().for_each(|turns| turns.lock.take());
}

/// Releases what [`take_all`] took.
pub(super) fn release_all() {
    all().for_each(|turns| turns.lock.release());
    LIST.lock.release();
}

/// In the child of a fork, between [`take_all`] and [`release_all`]: long turns are lost but those of the calling thread,
/// the only one.
pub(super) fn forget_the_lost() {
    for turns in all().filter(|turns| ![NOBODY, me()].contains(&turns.whose.load(Relaxed))) {
        turns.whose.store(LOST, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::vec::Vec;

    #[test]
    fn turns_exclude_each_other() {
        struct Counter(Turns, Cell<u32>);
        // SAFETY: the count is touched only in a turn.
        unsafe impl Sync for Counter {}
        let rounds = if cfg!(miri) { 50 } else { 20_000 };
        let counter = Counter(Turns::new(), Cell::new(0));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let counter = &counter;
                scope.spawn(move || {
                    for round in 0..rounds {
                        let add = || counter.1.set(counter.1.get() + 1);
                        match (round + thread) % 3 {
                            0 => {
                                let _long = counter.0.long().unwrap();
                                add();
                                if round % 100 == 0 {
                                    std::thread::yield_now();
                                }
                                add();
                            }
                            1 => {
                                let _brief = counter.0.brief().unwrap();
                                add();
                                add();
                            }
                            _ => loop {
                                if let Some(_long) = counter.0.try_long().unwrap() {
                                    add();
                                    add();
                                    break;
                                }
                                std::thread::yield_now();
                            },
                        }
                    }
                });
            }
        });
        assert_eq!(counter.1.get(), 8 * rounds);
    }

    #[test]
    fn who_sleeps_is_woken_when_a_long_turn_ends() {
        let turns = Turns::new();
        let long = turns.long().unwrap();
        let had_turn = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for sleeper in 0..4 {
                let (turns, had_turn) = (&turns, &had_turn);
                scope.spawn(move || {
                    if sleeper % 2 == 0 {
                        drop(turns.long().unwrap());
                    } else {
                        drop(turns.brief().unwrap());
                    }
                    had_turn.store(true, Relaxed);
                });
            }
            let is_slept_for = || {
                let _held = turns.lock.hold();
                turns.slept_for.get()
            };
            while !is_slept_for() {
                std::thread::yield_now();
            }
            assert!(turns.try_long().unwrap().is_none());
            assert!(!had_turn.load(Relaxed));
            drop(long);
        });
    }

    #[test]
    fn the_list_is_whole_whatever_leaves_it() {
        let turns: Vec<Turns> = (0..5).map(|_| Turns::new()).collect();
        let listed = |i: usize| {
            let _held = LIST.lock.hold();
            all().any(|one| core::ptr::eq(one, &raw const turns[i]))
        };
        // SAFETY: they stay where they are until all have been struck off.
        unsafe {
            turns.iter().for_each(|one| one.enlist());
            let mut gone = Vec::new();
            for leaves in [2, 4, 0, 3, 1] {
                turns[leaves].strike_off();
                gone.push(leaves);
                (0..5).for_each(|i| assert_eq!(listed(i), !gone.contains(&i)));
            }
        }
    }
}
