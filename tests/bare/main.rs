//! Bare bytes of pools against a naive model: what was written stays until the pool's children are freed, whatever
//! members do around it; the counts are exact; none is ever taken for a chunk.
//!
//! Attacks: bare bytes that overlap members or each other, that a sweep, a slide or an emptied zone gives away, that
//! are forgotten when members live on elsewhere, that outlive their pool's reset; counts that drift; headers in them that
//! look alive.

mod edges;
mod model;
#[path = "../random/mod.rs"]
mod random;

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Mutex;

use tmempool::ops;
use tmempool::tree::Chunk;

/// Pools of all threads have their places in one table, so the tests run one by one: a pool of another one would close
/// the short way to those of which a test says that they go it.
static ALONE: Mutex<()> = Mutex::new(());

/// Bytes that were written over with one value, and must have it still.
#[derive(Clone, Copy)]
struct Written {
    at: NonNull<u8>,
    size: usize,
    byte: u8,
}

impl Written {
    fn over(at: NonNull<u8>, size: usize, byte: u8) -> Written {
        assert_eq!(at.addr().get() % 16, 0);
        // SAFETY: memory of this size that was just allocated.
        unsafe { at.write_bytes(byte, size) };
        Written { at, size, byte }
    }

    fn check(self) {
        // SAFETY: allocated still, and written over once.
        let bytes = unsafe { NonNull::slice_from_raw_parts(self.at, self.size).as_ref() };
        assert!(bytes.iter().all(|&b| b == self.byte), "{:?} was written over", self.at);
    }
}

fn root() -> Chunk {
    // SAFETY: one thread.
    unsafe { ops::alloc(None, 0).unwrap() }
}

fn bare(pool: Chunk, size: usize) -> NonNull<u8> {
    // SAFETY: one thread, a live pool.
    unsafe { ops::bare_quick(pool.ptr(), size).unwrap_or_else(|| ops::bare(pool, size).unwrap()) }
}

/// Empties `pool`, and says whether that went the short way.
fn reset(pool: Chunk) -> bool {
    // SAFETY: one thread, a live pool.
    unsafe {
        let is_quick = ops::reset_quick(pool.ptr());
        if !is_quick {
            ops::reset(pool, c"reset".as_ptr()).unwrap();
        }
        is_quick
    }
}

fn free(chunk: Chunk) {
    // SAFETY: one thread, a live chunk.
    unsafe { ops::free(chunk, c"here".as_ptr()).unwrap() }
}

fn is_chunk(at: NonNull<u8>) -> bool {
    // SAFETY: one thread; any address may be asked about.
    unsafe { Chunk::check(at.as_ptr().cast::<c_void>()) }.is_ok()
}
