//! Guaranteed reserves: allocations that wait, but do not fail. What `mempool_t` is in the kernel.
//!
//! A mempool holds back `min` elements of a source, and uses them only when the source has none. So up to
//! `min` elements can be out at any time, whatever becomes of the source; and who holds one for a limited
//! time and asks for no second one meanwhile is never kept waiting for ever, nor keeps another.
//!
//! ```text
//! alloc:  the source ──fails──▶ the reserve ──empty──▶ wait, in the order of coming
//! free:   the first that waits ──nobody──▶ the reserve ──full──▶ the source
//! ```
//! - **No element is lost:** reserve and elements out are together never fewer than `min`. All come back to
//!   `free`, which has a use for each of them.
//! - **Nobody waits for ever** while elements come back: a free hands its element to the first in the queue
//!   itself (`mem::queue`), so that no newcomer takes it, and no wake-up can be missed.
//! - **No element has two owners:** it is in the reserve, or given out, and passes between the two under one
//!   lock.
//!
//! While the reserve is full, no lock is taken: an allocation is the source's, and a free asks one word
//! whether its element is wanted (`calm`). That word is written under the lock by whoever takes from the
//! reserve. A thread that frees an element of the reserve has been told of it by what made the
//! element its own, so it sees that word or a later one; one that frees an element of the source may
//! see an older one. So it looks again when the source has its element, and fetches one from there if one is wanted by
//! then; and who finds the reserve empty asks the source once more before it waits. One of the two comes after the other
//! in the source, and finds what that has done.
//!
//! **Fork.** Waiters of other threads do not exist in the child: the queue is empty there. Parent and child
//! share their memory until one of them writes to it, and that may fail for want of memory, so each
//! touches the reserve anew at its first use of the pool after a fork. A process that forks to execute
//! another program pays nothing for it.

mod count;
mod reserve;
mod size;
mod source;
mod stack;

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_void};
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use self::count::Count;
use self::reserve::{Put, Reserve};
pub use self::source::{AllocFn, FreeFn, Source};
use super::resident::{Kind, Resident, ResidentRef};
use crate::error::{AllocError, FreeError};
use crate::mem::lock::Held;
use crate::mem::os;
use crate::mem::queue::{Waited, Waiter};
use crate::ops;
use crate::process;
use crate::tree::Chunk;
use crate::tree::pool::Stats;

/// How long an allocation waits when source and reserve have nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Not at all.
    None,
    /// For so many nanoseconds.
    Nanoseconds(u64),
    /// Until an element comes back.
    Endless,
}

/// Why there is no element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Source and reserve have nothing.
    Empty,
    /// The time is up.
    TimedOut,
    /// The pool was freed while the call waited.
    Ended,
}

/// Why [`Mempool::alloc_quick`] gave none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotQuick {
    /// The source was not asked: there is more to do.
    Untried,
    /// The source has none.
    SourceFailed,
}

/// Why an element was not taken back. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// No element is out.
    NothingOut,
    /// It is back already.
    Free,
    /// The source does not know it.
    Foreign,
}

/// Why a pool was not made, or not resized. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeError {
    /// A reserve of nothing guarantees nothing.
    Zero,
    /// The source could not fill it.
    SourceFailed,
    /// Another call has resized it meanwhile.
    Busy,
    /// There is no memory for the books; or a limit on the parent.
    Memory(AllocError),
}

/// Why a pool was not destroyed. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestroyError {
    /// So many elements are out.
    InUse(usize),
    /// The chunk lives on.
    Chunk(FreeError),
}

/// How long a thread that finds the lock taken leaves it alone, in rests of the processor: somewhat less than a microsecond.
/// The lock, and what it guards, take some hundred nanoseconds from one processor's cache to the other's, and a call takes
/// ten where they are: so the other thread should do many calls meanwhile. A mutex whose waiters ask the kernel rests
/// as long.
const PATIENCE: u32 = 32;

/// More forks than a process lives to see.
const NEVER: u32 = u32::MAX;

/// A mempool. See the module. What each call reads comes first; then what each thread counts in; then what changes when the
/// source fails. No line of the processor's caches holds two of these three.
#[derive(Debug)]
#[repr(C)]
pub struct Mempool {
    source: Source,
    /// After which fork the reserve was last touched: [`process::forks`].
    forks: AtomicU32,
    apart: [usize; 8],
    /// Elements that are out, whether they came from the source or the reserve.
    out: Count,
    /// `forks` while the reserve is full, else [`NEVER`]: written under the lock, read without.
    calm: AtomicU32,
    /// Touched under the lock.
    reserve: UnsafeCell<Reserve>,
    /// Calls that gave no element.
    failures: AtomicUsize,
    /// The most elements that were out, as far as it has been looked at.
    peak: AtomicUsize,
}

// SAFETY: the reserve is touched only under the lock; the source's functions are promised to be callable from
// any thread.
unsafe impl Sync for Mempool {}

/// A mempool that lives in a tree.
pub type MempoolRef = ResidentRef<Mempool>;

/// A pool that holds back `min` elements of `source`, as the newest child of `parent`. One of a cache's
/// objects refers to the cache, so that this lives as long as the pool.
///
/// # Errors
/// [`SizeError`].
///
/// # Safety
/// As for [`ops::alloc`](crate::ops::alloc), for the tree of the cache, too. Functions of the source may be called
/// from any thread until the pool has ended.
pub unsafe fn create(
    parent: Option<Chunk>,
    name: &CStr,
    min: usize,
    source: Source,
) -> Result<MempoolRef, SizeError> {
    process::setup();
    let pool = Mempool::new(min, source)?;
    // SAFETY: the caller's. Should the pool not get its place in the tree, its end is not called by the tree.
    unsafe {
        let pool = MempoolRef::create(parent, name, pool).map_err(SizeError::Memory)?;
        if let Source::Cache(cache) = source
            && let Err(error) = ops::reference(Some(pool.chunk()), cache.chunk(), name.as_ptr())
        {
            let _ = pool.destroy(name.as_ptr());
            return Err(SizeError::Memory(error));
        }
        let filled = pool.fill(min);
        if filled.is_err() {
            let _ = pool.destroy(name.as_ptr());
        }
        filled.map(|()| pool)
    }
}

/// Ends `pool`, if no element is out. Nobody else uses it at the time.
///
/// # Errors
/// [`DestroyError`]; it lives on then.
///
/// # Safety
/// As for [`ops::free`](crate::ops::free).
pub unsafe fn destroy(pool: MempoolRef, location: *const c_char) -> Result<(), DestroyError> {
    match pool.in_use() {
        // SAFETY: the caller's.
        0 => unsafe { pool.destroy(location) }.map_err(DestroyError::Chunk),
        in_use => Err(DestroyError::InUse(in_use)),
    }
}

/// The reserve, while the lock is held.
struct Locked<'a> {
    reserve: &'a mut Reserve,
    pool: &'a Mempool,
    _held: Held<'static>,
}

impl Deref for Locked<'_> {
    type Target = Reserve;

    fn deref(&self) -> &Reserve {
        self.reserve
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Reserve {
        self.reserve
    }
}

impl Drop for Locked<'_> {
    /// Says whether elements are wanted, before the lock is free.
    fn drop(&mut self) {
        let calm = if self.reserve.is_wanting() { NEVER } else { self.pool.forks.load(Relaxed) };
        self.pool.calm.store(calm, Relaxed);
    }
}

impl Mempool {
    /// One with an empty reserve.
    fn new(min: usize, source: Source) -> Result<Mempool, SizeError> {
        if min == 0 {
            return Err(SizeError::Zero);
        }
        Ok(Mempool {
            source,
            forks: AtomicU32::new(process::forks()),
            apart: [0; 8],
            out: Count::new(),
            calm: AtomicU32::new(NEVER),
            reserve: UnsafeCell::new(Reserve::new(min).map_err(SizeError::Memory)?),
            failures: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        })
    }

    fn lock(&self) -> Locked<'_> {
        let held = process::resident_lock(ptr::from_ref(self).addr()).hold_patiently(PATIENCE);
        // SAFETY: the lock is held until this is dropped, and gives the only way to the reserve.
        let reserve = unsafe { &mut *self.reserve.get() };
        reserve.enter_process();
        Locked { reserve, pool: self, _held: held }
    }

    /// How many elements are out.
    pub fn in_use(&self) -> usize {
        self.out.out()
    }

    /// What was given out and came back, in bytes where the size of an element is known, else in calls alone.
    /// The peak is the most that was out when this was asked.
    pub fn stats(&self) -> Stats {
        let (given, returned) = self.out.totals();
        let out = self.in_use();
        let peak = self.peak.fetch_max(out, Relaxed).max(out);
        let bytes = self.source.bytes();
        Stats {
            total: given.wrapping_mul(bytes),
            current: out.wrapping_mul(bytes),
            peak: peak.wrapping_mul(bytes),
            allocations: given,
            frees: returned,
            failures: self.failures.load(Relaxed),
        }
    }

    /// How many elements are kept back when the reserve is full.
    pub fn min(&self) -> usize {
        self.lock().min()
    }

    /// An element: the source's, or one of the reserve; or the first that comes back, if it does in time.
    ///
    /// # Errors
    /// [`Failure`].
    #[inline]
    pub fn alloc(&self, patience: Patience) -> Result<NonNull<c_void>, Failure> {
        match self.alloc_from_source() {
            Some(element) => Ok(element),
            None => self.alloc_reserved(patience),
        }
    }

    /// The first half of [`alloc`](Mempool::alloc): an element of the source, if there is one to be had.
    #[inline(always)]
    fn alloc_from_source(&self) -> Option<NonNull<c_void>> {
        self.own_after_fork();
        let element = self.source.alloc()?;
        self.out.mine().give();
        Some(element)
    }

    /// The first half of [`alloc`](Mempool::alloc), if that is a call of a function and little else. The other half is
    /// [`alloc_reserved`](Mempool::alloc_reserved).
    ///
    /// # Errors
    /// [`NotQuick`].
    #[inline(always)]
    pub fn alloc_quick(&self) -> Result<NonNull<c_void>, NotQuick> {
        let Source::Functions { alloc, data, .. } = self.source else { return Err(NotQuick::Untried) };
        if self.forks.load(Relaxed) != process::forks() {
            return Err(NotQuick::Untried);
        }
        // SAFETY: the user's function, with what it expects.
        let element = NonNull::new(unsafe { alloc(data) }).ok_or(NotQuick::SourceFailed)?;
        match self.out.alone() {
            Some(slot) => slot.give(),
            None => self.out.give(),
        }
        Ok(element)
    }

    /// The second half of [`alloc`](Mempool::alloc), where the source has none.
    ///
    /// # Errors
    /// [`Failure`].
    #[inline]
    pub fn alloc_reserved(&self, patience: Patience) -> Result<NonNull<c_void>, Failure> {
        match self.take_reserved() {
            Some(element) => Ok(element),
            None => self.alloc_late(patience),
        }
    }

    /// An element of the reserve, if there is one.
    #[inline]
    fn take_reserved(&self) -> Option<NonNull<c_void>> {
        let mut reserve = self.lock();
        let element = if self.source.is_alive() { reserve.take() } else { None }?;
        self.out.mine().give();
        Some(element)
    }

    /// [`alloc_reserved`](Mempool::alloc_reserved), where the reserve has none either.
    #[cold]
    #[inline(never)]
    fn alloc_late(&self, patience: Patience) -> Result<NonNull<c_void>, Failure> {
        if !self.source.is_alive() {
            return Err(Failure::Ended);
        }
        let deadline = match patience {
            Patience::None => return Err(self.fail(Failure::Empty)),
            Patience::Nanoseconds(0) => return Err(self.fail(Failure::TimedOut)),
            // A time that the clock will not show is none.
            Patience::Nanoseconds(time) => os::nanoseconds().checked_add(time),
            Patience::Endless => None,
        };
        if let Some(element) = self.source.alloc() {
            self.out.mine().give();
            return Ok(element);
        }
        let waiter = Waiter::new();
        let mut reserve = self.lock();
        if let Some(element) = reserve.take() {
            self.out.mine().give();
            return Ok(element);
        }
        // SAFETY: the lock is held; this function does not return before the waiter is out of the queue.
        unsafe { reserve.enter(&waiter) };
        drop(reserve);
        match waiter.wait(deadline) {
            Waited::Given(element) => Ok(element),
            // The pool may be gone.
            Waited::Ended => Err(Failure::Ended),
            Waited::TimedOut => {
                // SAFETY: as above.
                let given = unsafe { self.lock().leave(&waiter) };
                given.ok_or_else(|| self.fail(Failure::TimedOut))
            }
        }
    }

    fn fail(&self, failure: Failure) -> Failure {
        self.failures.fetch_add(1, Relaxed);
        failure
    }

    /// Takes an element back: for who waits, for the reserve, or for the source.
    ///
    /// # Errors
    /// [`Misuse`], as far as it can be seen.
    ///
    /// # Safety
    /// The caller has it from this pool, and nobody uses it any more.
    #[inline]
    pub unsafe fn free(&self, element: NonNull<c_void>) -> Result<(), Misuse> {
        // SAFETY: the caller's.
        unsafe { if self.free_quick(element) { Ok(()) } else { self.free_slow(element) } }
    }

    /// [`free`](Mempool::free), if that is a call of a function and little else: the element is not wanted here, and
    /// there is no need to look twice whether any is out. Says whether it was; if not, nothing has changed.
    ///
    /// # Safety
    /// As for [`free`](Mempool::free).
    #[inline(always)]
    pub unsafe fn free_quick(&self, element: NonNull<c_void>) -> bool {
        if self.calm.load(Relaxed) != process::forks() {
            return false;
        }
        let Source::Functions { free, data, .. } = self.source else { return false };
        let Some(mine) = self.out.alone().filter(|mine| mine.has_some()) else { return false };
        // SAFETY: the user's function, with what it expects; the caller gave the element up.
        unsafe { free(element.as_ptr(), data) };
        if self.calm.load(Relaxed) == NEVER {
            self.make_up();
        }
        mine.take_back();
        true
    }

    /// [`free`](Mempool::free), if it is more than that.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Safety
    /// As there.
    #[inline]
    pub unsafe fn free_slow(&self, element: NonNull<c_void>) -> Result<(), Misuse> {
        self.own_after_fork();
        if self.calm.load(Relaxed) == NEVER {
            self.free_wanted(element)
        } else {
            self.free_to_source(element)
        }
    }

    fn free_to_source(&self, element: NonNull<c_void>) -> Result<(), Misuse> {
        let mine = self.out.mine();
        if !mine.has_some() && self.out.is_none_out() {
            return Err(Misuse::NothingOut);
        }
        if !self.source.free(element) {
            return Err(Misuse::Foreign);
        }
        if self.calm.load(Relaxed) == NEVER {
            self.make_up();
        }
        mine.take_back();
        Ok(())
    }

    /// An element went back to the source, and one is wanted by now: another one is fetched from there.
    #[cold]
    #[inline(never)]
    fn make_up(&self) {
        if let Some(element) = self.source.alloc() {
            self.source.touch(element);
            if !self.put_new(element) {
                self.source.free(element);
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn free_wanted(&self, element: NonNull<c_void>) -> Result<(), Misuse> {
        let mine = self.out.mine();
        let is_known = self.source.knows(element);
        if is_known {
            self.source.touch(element);
        }
        let mut reserve = self.lock();
        if !reserve.has_lent() && !mine.has_some() && self.out.is_none_out() {
            return Err(Misuse::NothingOut);
        }
        if !is_known {
            return Err(Misuse::Foreign);
        }
        if reserve.has(element) {
            return Err(Misuse::Free);
        }
        // SAFETY: the lock is held.
        match unsafe { reserve.put(element) } {
            Put::HandedOver(wake) => {
                drop(reserve);
                wake.now();
            }
            Put::Kept => mine.take_back(),
            Put::Surplus => {
                drop(reserve);
                return self.free_to_source(element);
            }
        }
        Ok(())
    }

    /// Makes the memory of the reserve this process's own again, if there was a fork.
    #[inline]
    fn own_after_fork(&self) {
        if self.forks.load(Relaxed) != process::forks() {
            self.own_now();
        }
    }

    #[cold]
    #[inline(never)]
    fn own_now(&self) {
        let mut reserve = self.lock();
        let forks = process::forks();
        if self.forks.swap(forks, Relaxed) != forks && self.source.is_alive() {
            reserve.touch(|element| self.source.touch(element));
        }
    }
}

impl Resident for Mempool {
    const KIND: Kind = Kind::Mempool;

    /// Whoever waits is sent away, and the reserve goes back to its source.
    fn end(&self) -> usize {
        loop {
            let mut reserve = self.lock();
            // SAFETY: the lock is held.
            let Some(wake) = (unsafe { reserve.dismiss() }) else { break };
            drop(reserve);
            wake.now();
        }
        loop {
            let element = self.lock().take();
            let Some(element) = element else { break };
            self.source.free(element);
        }
        self.in_use()
    }
}
