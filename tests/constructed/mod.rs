//! Object caches whose objects show whether they are constructed, and whose hooks count their calls.
//!
//! A hook that runs twice, or for what it was not meant, fails there.

use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tmempool::pools::cache::{self, Cache, CacheRef, Config, DestroyError, Hook, Misuse};

pub fn plain(size: usize) -> Config {
    Config { size, ..Config::default() }
}

pub fn create(config: &Config) -> CacheRef {
    // SAFETY: a tree of its own.
    unsafe { cache::create(None, c"test", config) }.unwrap()
}

pub fn destroy(cache: CacheRef) -> Result<(), DestroyError> {
    // SAFETY: the tests use a cache in no other thread when they end it.
    unsafe { cache::destroy(cache, c"here".as_ptr()) }
}

pub fn free(cache: &Cache, object: NonNull<u8>) -> Result<(), Misuse> {
    // SAFETY: the tests do not use what they have freed.
    unsafe { cache.free(object) }
}

/// What a constructor has left in an object, and a destructor takes away.
const CONSTRUCTED: u64 = 0x600d_0b1e_c700_0001;

/// How often the hooks of a cache were called.
#[derive(Default)]
pub struct Calls {
    pub constructed: AtomicUsize,
    pub destructed: AtomicUsize,
}

impl Calls {
    pub fn alive(&self) -> usize {
        self.constructed.load(SeqCst) - self.destructed.load(SeqCst)
    }
}

pub unsafe extern "C" fn construct(object: *mut c_void, calls: *mut c_void) {
    // SAFETY: an object of at least eight bytes, and the counters of its test.
    unsafe {
        assert_ne!(object.cast::<u64>().read_unaligned(), CONSTRUCTED, "constructed twice");
        object.cast::<u64>().write_unaligned(CONSTRUCTED);
        (*calls.cast::<Calls>()).constructed.fetch_add(1, SeqCst);
    }
}

unsafe extern "C" fn destruct(object: *mut c_void, calls: *mut c_void) {
    // SAFETY: as above.
    unsafe {
        assert_eq!(object.cast::<u64>().read_unaligned(), CONSTRUCTED, "not constructed");
        object.cast::<u64>().write_unaligned(0);
        (*calls.cast::<Calls>()).destructed.fetch_add(1, SeqCst);
    }
}

pub fn counted(size: usize, calls: &Calls) -> Config {
    let word = ptr::from_ref(calls).cast_mut().cast();
    Config {
        size,
        construct: Some(Hook { call: construct, word }),
        destruct: Some(Hook { call: destruct, word }),
        ..Config::default()
    }
}

pub fn is_constructed(object: NonNull<u8>) -> bool {
    // SAFETY: an object in use, of at least eight bytes.
    unsafe { object.cast::<u64>().read_unaligned() == CONSTRUCTED }
}
