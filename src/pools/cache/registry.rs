//! All caches of the process, for those who act on each: the end of a thread, a fork, a table of all.

use core::cell::UnsafeCell;
use core::ptr::NonNull;

use super::Cache;
use crate::mem::lock::Held;
use crate::mem::threads::Observer;
use crate::process::RESIDENTS;

struct First(UnsafeCell<Option<NonNull<Cache>>>);

// SAFETY: touched only under the lock of the lists of residents.
unsafe impl Sync for First {}

static FIRST: First = First(UnsafeCell::new(None));
static OBSERVER: Observer = Observer::new(thread_ends, forked);

fn first<'a>(_held: &'a mut Held<'static>) -> &'a mut Option<NonNull<Cache>> {
    // SAFETY: the lock is held, and the borrow of the guard keeps this borrow the only one.
    unsafe { &mut *FIRST.0.get() }
}

/// Enters a cache, which has its place in memory.
pub(super) fn enter(cache: NonNull<Cache>) {
    OBSERVER.observe();
    let mut held = RESIDENTS.hold();
    let first = first(&mut held);
    // SAFETY: caches in the list live, and their links are touched under the lock.
    unsafe {
        cache.as_ref().prev.set(None);
        cache.as_ref().next.set(*first);
        if let Some(next) = *first {
            next.as_ref().prev.set(Some(cache));
        }
    }
    *first = Some(cache);
}

/// Takes a cache out. After that nobody comes to it but by its pointer.
pub(super) fn remove(cache: &Cache) {
    let mut held = RESIDENTS.hold();
    // SAFETY: as in `enter`.
    unsafe {
        match cache.prev.get() {
            Some(prev) => prev.as_ref().next.set(cache.next.get()),
            None => *first(&mut held) = cache.next.get(),
        }
        if let Some(next) = cache.next.get() {
            next.as_ref().prev.set(cache.prev.get());
        }
    }
}

/// Visits all caches, the newest first. None is made or ends meanwhile.
pub(super) fn for_each(mut visit: impl FnMut(&Cache)) {
    let mut held = RESIDENTS.hold();
    let mut next = *first(&mut held);
    while let Some(cache) = next {
        // SAFETY: caches in the list live.
        let cache = unsafe { cache.as_ref() };
        next = cache.next.get();
        visit(cache);
    }
}

fn thread_ends() {
    for_each(Cache::leave_thread);
}

fn forked() {
    for_each(Cache::leave_other_threads);
}
