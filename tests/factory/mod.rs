//! Reserves whose source counts what it makes, and fails when it is told to; and their
//! addresses, for those who have no handle.
//!
//! An element that comes back twice fails there.

use std::collections::BTreeSet;
use std::ffi::c_void;
use std::ptr::{NonNull, null, null_mut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use tmempool::pools::mempool::{self, DestroyError, Mempool, MempoolRef, Misuse, SizeError, Source};
use tmempool::pools::resident::ResidentRef;

/// A source that counts, and fails when it is told to. Its elements are numbers.
#[derive(Default)]
pub struct Factory {
    fails: AtomicBool,
    /// Elements that it gives before it fails; counted only while it is not 0.
    pub left: AtomicUsize,
    pub live: Mutex<BTreeSet<usize>>,
    next: AtomicUsize,
}

impl Factory {
    pub fn source(&self) -> Source {
        Source::Functions { alloc: make, free: unmake, data: std::ptr::from_ref(self).cast_mut().cast() }
    }

    pub fn live(&self) -> usize {
        self.live.lock().unwrap().len()
    }

    pub fn fail(&self, fails: bool) {
        self.fails.store(fails, SeqCst);
    }
}

pub unsafe extern "C" fn make(factory: *mut c_void) -> *mut c_void {
    // SAFETY: the factory outlives its pools.
    let factory = unsafe { &*factory.cast::<Factory>() };
    let left = factory.left.load(SeqCst);
    if factory.fails.load(SeqCst) || left == 1 {
        return null_mut();
    }
    if left > 1 {
        factory.left.store(left - 1, SeqCst);
    }
    let element = 16 + factory.next.fetch_add(1, SeqCst);
    assert!(factory.live.lock().unwrap().insert(element));
    std::ptr::without_provenance_mut(element)
}

pub unsafe extern "C" fn unmake(element: *mut c_void, factory: *mut c_void) {
    // SAFETY: the factory outlives its pools.
    let factory = unsafe { &*factory.cast::<Factory>() };
    assert!(factory.live.lock().unwrap().remove(&element.addr()), "an element came back twice, or never was");
}

pub fn pool_of(min: usize, source: Source) -> Result<MempoolRef, SizeError> {
    // SAFETY: a tree of this thread's.
    unsafe { mempool::create(None, c"pool", min, source) }
}

pub fn put(pool: MempoolRef, element: NonNull<c_void>) -> Result<(), Misuse> {
    // SAFETY: the caller gives it up.
    unsafe { pool.free(element) }
}

pub fn end(pool: MempoolRef) -> Result<(), DestroyError> {
    // SAFETY: a tree of this thread's.
    unsafe { mempool::destroy(pool, null()) }
}

/// A pool by its address: for another thread, and for its own source.
#[derive(Clone, Copy)]
pub struct Shared(pub usize);

impl Shared {
    pub fn of(pool: MempoolRef) -> Shared {
        Shared(pool.ptr().expose_provenance())
    }

    pub fn get(self) -> MempoolRef {
        // SAFETY: the tests keep the pool until its threads have ended.
        unsafe { ResidentRef::<Mempool>::check(std::ptr::with_exposed_provenance(self.0)) }.unwrap()
    }
}
