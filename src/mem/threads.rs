//! Which heap is the calling thread's.
//!
//! A thread gets a heap at its first allocation: one that nobody owns, or a new one. When it ends,
//! the heap waits for the next thread, with all that is still in it. Neither needs the thread's
//! cooperation after its end: what it left behind can be freed by anyone.
//!
//! Which heap it is, a word of the thread's says (`here`). That a thread ends is told by a key of the threads library rather
//! than by a destructor of thread-local storage: programs allocate and free until a thread's very last moment, when those
//! have long run, and then the thread simply gets a heap again, and its key a value.
//!
//! fork: the child keeps the calling thread's heap and those that nobody owned. Heaps of threads
//! that do not exist in the child may have been caught in the middle of a change: see `inherited`.

use core::ffi::c_void;
use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use super::exit;
use super::heap::HeapRef;
use super::heaps::Heaps;
use super::here::{self, Change};
use super::idle;
use super::inherited;
use super::lock::Lock;
use super::os;
use super::owner::{LOST, NOBODY};
use super::segment;
use super::shared::{self, Shared};
use super::turns;
use crate::process;

/// The heaps that threads have, or had.
static HEAPS: Heaps = Heaps::new();
/// The key, plus one; 0 while there is none.
static KEY: AtomicU32 = AtomicU32::new(0);
static SETUP: Lock = Lock::new();
/// Whether there are fork handlers.
static WATCHES_FORKS: AtomicBool = AtomicBool::new(false);
/// Who wants to know of the ends of threads and of forks.
static OBSERVERS: AtomicPtr<Observer> = AtomicPtr::new(core::ptr::null_mut());

/// A part of the layers above that keeps something for each thread.
#[derive(Debug)]
pub struct Observer {
    thread_ends: fn(),
    forked: fn(),
    next: AtomicPtr<Observer>,
    observes: AtomicU32,
}

impl Observer {
    /// `thread_ends` is called by each thread that has a heap when it ends, while it still has it, perhaps
    /// more than once; `forked` in the child of a fork, its only thread, with all locks free.
    pub const fn new(thread_ends: fn(), forked: fn()) -> Observer {
        let (next, observes) = (AtomicPtr::new(core::ptr::null_mut()), AtomicU32::new(0));
        Observer { thread_ends, forked, next, observes }
    }

    /// From now on it is told.
    #[inline]
    pub fn observe(&'static self) {
        if self.observes.load(Relaxed) == 0 && self.observes.swap(1, AcqRel) == 0 {
            let _ = key();
            let this = core::ptr::from_ref(self).cast_mut();
            let mut first = OBSERVERS.load(Relaxed);
            loop {
                self.next.store(first, Relaxed);
                match OBSERVERS.compare_exchange_weak(first, this, AcqRel, Relaxed) {
                    Ok(_) => break,
                    Err(now) => first = now,
                }
            }
        }
    }
}

fn observers() -> impl Iterator<Item = &'static Observer> {
    // SAFETY: only statics are in the list.
    let observer = |at: &AtomicPtr<Observer>| unsafe { at.load(Acquire).as_ref() };
    core::iter::successors(observer(&OBSERVERS), move |last| observer(&last.next))
}

/// The calling thread's heap; made when it has none. `None` when there is no memory for one.
#[inline]
pub fn current() -> Option<HeapRef> {
    here::heap().or_else(attach)
}

#[cold]
#[inline(never)]
fn attach() -> Option<HeapRef> {
    process::setup();
    let key = key();
    {
        let _held = SETUP.hold();
        exit::watch();
    }
    let heap = find().or_else(create)?;
    here::settle(Some(heap));
    if let Some(key) = key {
        // SAFETY: the key exists. When the threads library has no memory for it, the heap stays with the thread pointer.
        unsafe { libc::pthread_setspecific(key, heap.as_ptr().cast::<c_void>()) };
    }
    Some(heap)
}

/// A heap that is this thread's already, or was that of a dead one with the same thread pointer, or
/// that nobody owns, or that was lost.
fn find() -> Option<HeapRef> {
    let me = os::thread_pointer();
    let mut heaps = HEAPS.all();
    heaps
        .clone()
        .find(|heap| heap.owner.is(me))
        .or_else(|| heaps.clone().find(|heap| heap.owner.adopt(me)))
        .or_else(|| heaps.find(|heap| heap.owner.is(LOST) && heap.adopt_lost()))
}

fn create() -> Option<HeapRef> {
    let heap = HeapRef::create(os::thread_pointer())?;
    idle::add_keeper();
    HEAPS.add(heap);
    Some(heap)
}

/// All heaps of the process.
fn all() -> impl Iterator<Item = HeapRef> + Clone {
    HEAPS.all().chain(shared::HEAPS.all())
}

/// The key, created on first use together with the fork handlers. `None` when the process has used
/// up its keys: then heaps are found by their owners, slowly, and stay with a thread's successor.
fn key() -> Option<libc::pthread_key_t> {
    if KEY.load(Acquire) == 0 {
        let _held = SETUP.hold();
        if KEY.load(Acquire) == 0 {
            watch_forks();
            let mut key: libc::pthread_key_t = 0;
            // SAFETY: a key to fill, and a destructor that the threads library calls with the value.
            if unsafe { libc::pthread_key_create(&raw mut key, Some(detach)) } != 0 {
                return None;
            }
            KEY.store(key + 1, Release);
        }
    }
    Some(KEY.load(Acquire) - 1)
}

/// The end of a thread, or of its present round of destructors: should it allocate again, it gets a
/// heap again.
unsafe extern "C" fn detach(heap: *mut c_void) {
    if let Some(heap) = HeapRef::from_raw(heap.cast())
        && heap.is_mine()
    {
        observers().for_each(|observer| (observer.thread_ends)());
        let _change = Change::begin();
        if heap.pauses.replace(0) > 0 {
            shared::forget_my_pauses();
        }
        heap.collect();
        heap.lay_down();
        // A free that the end of the thread has cut short is over.
        heap.annex().set(None);
        here::settle(None);
        heap.leave();
    }
}

/// A Rust program that the crate is linked into has the fork handlers before it has threads: while one registers them,
/// another must not fork. In the order of the section, it comes before all constructors that ask for no place.
#[cfg(not(miri))]
#[used]
#[unsafe(link_section = ".init_array.00101")]
static BEGINNING: extern "C" fn() = beginning;

#[cfg(not(miri))]
extern "C" fn beginning() {
    let _ = key();
}

/// Called when the library is loaded: its fork handlers come before those of whoever is loaded after it, so that those may
/// use it, and may wait for who does.
pub fn begin() {
    let _ = key();
    let _held = SETUP.hold();
    exit::watch();
}

/// Called at the end of the library. If it is about to be unloaded, no thread is in it, and none may call
/// into it when it ends; what holds nothing is given back. At the end of the process nothing is taken apart:
/// other threads may still be at work. Says which of the two it is: whether the library is unloaded.
pub fn end() -> bool {
    if exit::is_exiting() {
        return false;
    }
    let key = KEY.swap(0, AcqRel);
    if key == 0 {
        return true;
    }
    // SAFETY: the key exists, and nobody finds it any more.
    unsafe { libc::pthread_key_delete(key - 1) };
    for heap in all().filter(|heap| !heap.owner.is(LOST)) {
        // The heap must be this thread's to be touched.
        heap.owner.seize(os::thread_pointer());
        heap.collect();
        heap.lay_down();
        heap.leave();
    }
    here::settle(None);
    segment::release_free_memory();
    if segment::mapped_bytes() == 0 {
        shared::forget_spares();
        // SAFETY: no thread has one, and no span, so no chunk, leads to one.
        unsafe {
            HEAPS.destroy();
            shared::HEAPS.destroy();
        }
    }
    true
}

/// Gives all memory back to the system that holds nothing, as far as the calling thread can tell.
/// Returns how many bytes that was.
pub fn release_free_memory() -> usize {
    let _change = Change::begin();
    if let Some(heap) = current() {
        heap.collect();
        heap.retire_empty_spans();
    }
    shared::tidy();
    segment::release_free_memory()
}

/// Registers the fork handlers, once. The caller has the lock.
fn watch_forks() {
    // Miri knows no forks.
    if cfg!(miri) || WATCHES_FORKS.swap(true, Relaxed) {
        return;
    }
    // SAFETY: three functions of this library; they only touch its own locks and heaps.
    unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(in_child)) };
}

unsafe extern "C" fn before_fork() {
    turns::take_all();
    shared::take_all();
    locks().for_each(Lock::take);
    process::FORKS.fetch_add(1, Relaxed);
}

unsafe extern "C" fn after_fork() {
    locks().for_each(Lock::release);
    shared::release_all();
    turns::release_all();
}

/// All locks of the library but those of turns and of shared heaps, which are taken before them, in the order in which
/// they are taken.
fn locks() -> impl Iterator<Item = &'static Lock> {
    process::locks().chain([shared::spares_lock(), &SETUP, segment::lock()])
}

unsafe extern "C" fn in_child() {
    process::BIRTHS.fetch_add(1, Relaxed);
    process::renew_secret();
    turns::forget_the_lost();
    // SAFETY: as in the parent: all locks were taken by the thread that forked, which is this one.
    unsafe { after_fork() };
    let me = os::thread_pointer();
    for heap in all() {
        if !heap.owner.is(me) && !heap.owner.is(NOBODY) && Shared::of(heap).is_none() {
            heap.owner.lose();
        }
    }
    // SAFETY: a forked child has one thread.
    unsafe {
        inherited::mail_anew(all());
        shared::forget_the_lost();
    }
    observers().for_each(|observer| (observer.forked)());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_for_a_heap_meets_none_of_shared_contexts() {
        let _alone = shared::tests::ALONE.lock();
        let shared = Shared::create().unwrap();
        shared.leave();
        let is_among = |heap: HeapRef| HEAPS.all().any(|other| other == heap);
        assert!(is_among(current().unwrap()) && !is_among(shared.heap()));
        assert!(all().any(|heap| heap == shared.heap()));
        assert_eq!(shared.enter(), shared::Entering::Done);
        shared.abandon();
        shared.leave();
        assert!(!is_among(shared.heap()) && all().any(|heap| heap == shared.heap()));
    }
}
