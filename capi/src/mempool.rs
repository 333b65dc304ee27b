//! Guaranteed reserves: allocations that wait, but do not fail.
#![allow(non_camel_case_types, reason = "the names are those of the C interface")]

use core::ffi::{CStr, c_int, c_uint, c_void};
use core::ptr::{NonNull, null_mut};

use tmempool::error::AllocError;
use tmempool::pools::cache::CacheRef;
use tmempool::pools::mempool::{
    self, DestroyError, Failure, MempoolRef, Misuse, NotQuick, Patience, SizeError, Source,
};

use crate::fault::{self, Piece};
use crate::opaque::{tm_cache, tm_mempool};
use crate::pointer::{Reported, resident, settled};

/// For tm_mempool_alloc(): do not wait.
pub const TM_NOWAIT: c_uint = 0x1;

/// Makes an element of a mempool; gives NULL when it cannot.
pub type tm_mempool_alloc_fn = Option<unsafe extern "C" fn(pool_data: *mut c_void) -> *mut c_void>;
/// Takes an element of a mempool back.
pub type tm_mempool_free_fn = Option<unsafe extern "C" fn(element: *mut c_void, pool_data: *mut c_void)>;

/// The pool behind `m`.
///
/// # Safety
/// Contract.
#[inline(always)]
unsafe fn pool(function: &CStr, m: *const tm_mempool) -> Result<MempoolRef, Reported> {
    // SAFETY: contract.
    unsafe { resident(function, c"mempool", m.cast()) }
}

/// Makes a pool, or says why not.
///
/// # Safety
/// Contract.
unsafe fn create(function: &CStr, parent: *const c_void, min_nr: usize, source: Source) -> *mut tm_mempool {
    fault::hear_notices();
    // SAFETY: contract.
    unsafe {
        settled(parent, |parent| match mempool::create(parent, c"tm_mempool", min_nr, source) {
            Ok(pool) => pool.ptr().cast(),
            Err(error) => {
                not_sized(function, error);
                null_mut()
            }
        })
    }
}

fn not_sized(function: &CStr, error: SizeError) {
    match error {
        SizeError::Zero => fault::misuse(function, &[Piece::Text(c"a reserve of 0 elements")]),
        SizeError::SourceFailed => fault::no_memory(AllocError::OutOfMemory),
        SizeError::Memory(error) => fault::no_memory(error),
        SizeError::Busy => fault::set_errno(libc::EBUSY),
    }
}

/// Makes a pool that holds back `min_nr` elements, which come from a function of the program, so that
/// tm_mempool_alloc() waits, but does not fail.
///
/// Up to `min_nr` elements can be out at any time, whatever becomes of the source. Who holds elements for a
/// limited time, and takes no second one while it holds one, is never kept waiting for ever.
///
/// All functions of a pool may be called from any thread, but for those that make and destroy it. No lock is held
/// while `alloc` or `free` runs; both may be called from any thread, and may use the pool. What an element
/// is, only they know: the pool never looks into it. So the memory of the elements is as real as `alloc`
/// makes it; tm_mempool_create_cache() and tm_mempool_create_kmalloc() touch theirs, when the reserve is
/// filled and again at the first use of the pool after a fork, in parent and child.
///
/// After a fork, elements that other threads held are out for ever in the child.
///
/// @param parent     the parent; NULL for none.
/// @param min_nr     how many elements are held back; at least 1.
/// @param alloc      makes an element; NULL when it cannot.
/// @param free       takes one back.
/// @param pool_data  handed to both.
/// @return           the pool; NULL with errno ENOMEM if it cannot be filled, with errno EINVAL and a log line
///                   when the arguments make no sense.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_mempool_create(
    parent: *const c_void,
    min_nr: usize,
    alloc: tm_mempool_alloc_fn,
    free: tm_mempool_free_fn,
    pool_data: *mut c_void,
) -> *mut tm_mempool {
    const NAME: &CStr = c"tm_mempool_create";
    let (Some(alloc), Some(free)) = (alloc, free) else {
        fault::misuse(NAME, &[Piece::Text(c"no function to call")]);
        return null_mut();
    };
    // SAFETY: contract.
    unsafe { create(NAME, parent, min_nr, Source::Functions { alloc, free, data: pool_data }) }
}

/// tm_mempool_create() of the objects of a cache. The pool refers to the cache, which so lives at least as
/// long; making, destroying and freeing the pool is bound to the rule of the cache's tree, too, one thread at a
/// time.
///
/// @param parent  the parent; NULL for none.
/// @param min_nr  how many objects are held back; at least 1.
/// @param c       the cache.
/// @return        as tm_mempool_create().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_mempool_create_cache(
    parent: *const c_void,
    min_nr: usize,
    c: *mut tm_cache,
) -> *mut tm_mempool {
    const NAME: &CStr = c"tm_mempool_create_cache";
    // SAFETY: contract.
    unsafe {
        let cache: Result<CacheRef, Reported> = resident(NAME, c"cache", c.cast_const().cast());
        match cache {
            Ok(cache) => create(NAME, parent, min_nr, Source::Cache(cache)),
            Err(Reported) => null_mut(),
        }
    }
}

/// tm_mempool_create() of blocks of tm_kmalloc().
///
/// @param parent  the parent; NULL for none.
/// @param min_nr  how many blocks are held back; at least 1.
/// @param size    bytes of each; at least 1.
/// @return        as tm_mempool_create().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_mempool_create_kmalloc(
    parent: *const c_void,
    min_nr: usize,
    size: usize,
) -> *mut tm_mempool {
    const NAME: &CStr = c"tm_mempool_create_kmalloc";
    if size == 0 {
        fault::misuse(NAME, &[Piece::Text(c"elements of 0 bytes")]);
        return null_mut();
    }
    // SAFETY: contract.
    unsafe { create(NAME, parent, min_nr, Source::Kmalloc(size)) }
}

/// An element: the source's; when the source fails, one of the reserve; when that is empty, the first that
/// comes back to those who wait, first come, first served.
///
/// @param m      a pool.
/// @param flags  0, or TM_NOWAIT not to wait.
/// @return       the element; NULL with errno ENOMEM under TM_NOWAIT, when there is none; NULL with errno
///               ECANCELED when the pool is freed while the call waits; NULL with errno EINVAL and a log line
///               for what is no pool, and unknown flags.
/// cbindgen:prefix=TM_DIRECT
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_mempool_alloc(m: *mut tm_mempool, flags: c_uint) -> *mut c_void {
    if MempoolRef::is_known(m.cast()) {
        // SAFETY: as was just seen.
        let pool = unsafe { MempoolRef::of_known(m.cast()) };
        if flags == 0 {
            return match pool.alloc_quick() {
                Ok(element) => element.as_ptr(),
                Err(NotQuick::Untried) => alloc_anyhow(pool, 0),
                Err(NotQuick::SourceFailed) => alloc_reserved(pool),
            };
        }
        if flags == TM_NOWAIT {
            return alloc_anyhow(pool, TM_NOWAIT);
        }
    }
    // SAFETY: contract.
    unsafe { alloc_slow(m, flags) }
}

#[inline(never)]
fn alloc_anyhow(pool: MempoolRef, flags: c_uint) -> *mut c_void {
    given(pool.alloc(patience(flags)))
}

#[cold]
#[inline(never)]
fn alloc_reserved(pool: MempoolRef) -> *mut c_void {
    given(pool.alloc_reserved(Patience::Endless))
}

/// What flags that are known say.
#[inline(always)]
fn patience(flags: c_uint) -> Patience {
    if flags == 0 { Patience::Endless } else { Patience::None }
}

/// # Safety
/// Contract.
#[cold]
#[inline(never)]
unsafe fn alloc_slow(m: *mut tm_mempool, flags: c_uint) -> *mut c_void {
    const NAME: &CStr = c"tm_mempool_alloc";
    // SAFETY: contract.
    let Ok(pool) = (unsafe { pool(NAME, m) }) else { return null_mut() };
    if flags & !TM_NOWAIT != 0 {
        fault::misuse(NAME, &[Piece::Text(c"unknown flags: "), Piece::Number(flags as usize)]);
        return null_mut();
    }
    given(pool.alloc(patience(flags)))
}

/// tm_mempool_alloc() that waits for a limited time.
///
/// @param m           a pool.
/// @param timeout_ns  how long, in nanoseconds of CLOCK_MONOTONIC; 0 is not at all.
/// @return            as tm_mempool_alloc(); NULL with errno ETIMEDOUT when the time is up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_mempool_alloc_timeout(m: *mut tm_mempool, timeout_ns: u64) -> *mut c_void {
    // SAFETY: contract.
    match unsafe { pool(c"tm_mempool_alloc_timeout", m) } {
        Ok(pool) => given(pool.alloc(Patience::Nanoseconds(timeout_ns))),
        Err(Reported) => null_mut(),
    }
}

#[inline(always)]
fn given(result: Result<NonNull<c_void>, Failure>) -> *mut c_void {
    match result {
        Ok(element) => element.as_ptr(),
        Err(failure) => none(failure),
    }
}

#[cold]
#[inline(never)]
fn none(failure: Failure) -> *mut c_void {
    fault::set_errno(match failure {
        Failure::Empty => libc::ENOMEM,
        Failure::TimedOut => libc::ETIMEDOUT,
        Failure::Ended => libc::ECANCELED,
    });
    null_mut()
}

/// Takes an element back: for the first who waits, else for the reserve, else for the source.
///
/// What is seen to be wrong (no element is out; it is among the last 16 that came back to the reserve; the cache or
/// tm_kfree() does not know it) is refused with a log line, and errno is EINVAL.
///
/// @param m        the pool that the element came from.
/// @param element  an element; NULL does nothing.
/// cbindgen:prefix=TM_DIRECT
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_mempool_free(m: *mut tm_mempool, element: *mut c_void) {
    if MempoolRef::is_known(m.cast())
        && let Some(given_up) = NonNull::new(element)
    {
        // SAFETY: as was just seen.
        let pool = unsafe { MempoolRef::of_known(m.cast()) };
        // SAFETY: contract.
        if unsafe { !pool.free_quick(given_up) } {
            // SAFETY: contract.
            unsafe { free_slow(pool, given_up) };
        }
        return;
    }
    // SAFETY: contract.
    unsafe { free_anyhow(m, element) }
}

/// # Safety
/// Contract.
#[inline(never)]
unsafe fn free_slow(pool: MempoolRef, element: NonNull<c_void>) {
    // SAFETY: contract.
    if let Err(misuse) = unsafe { pool.free_slow(element) } {
        not_freed(element.as_ptr(), misuse);
    }
}

/// # Safety
/// Contract.
#[cold]
#[inline(never)]
unsafe fn free_anyhow(m: *mut tm_mempool, element: *mut c_void) {
    // SAFETY: contract.
    let Ok(pool) = (unsafe { pool(c"tm_mempool_free", m) }) else { return };
    if let Some(element) = NonNull::new(element) {
        // SAFETY: contract.
        unsafe { free_slow(pool, element) };
    }
}

#[cold]
#[inline(never)]
fn not_freed(element: *const c_void, misuse: Misuse) {
    let why = match misuse {
        Misuse::NothingOut => c" is no element that is out: none is",
        Misuse::Free => c" has been freed already",
        Misuse::Foreign => c" is no element that is out",
    };
    fault::misuse(c"tm_mempool_free", &[Piece::Address(element), Piece::Text(why)]);
}

/// Changes how many elements are held back. What is more comes from the source before the call returns; what
/// is less goes back to it, as far as it is not out.
///
/// @param m           a pool.
/// @param new_min_nr  how many; at least 1.
/// @return            0; -1 with errno ENOMEM when the source cannot give what is needed, with errno EBUSY when
///                    another call has resized the pool meanwhile, with errno EINVAL and a log line when
///                    the arguments make no sense. Nothing has changed then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_mempool_resize(m: *mut tm_mempool, new_min_nr: usize) -> c_int {
    const NAME: &CStr = c"tm_mempool_resize";
    // SAFETY: contract.
    let Ok(pool) = (unsafe { pool(NAME, m) }) else { return -1 };
    match pool.resize(new_min_nr) {
        Ok(()) => 0,
        Err(error) => {
            not_sized(NAME, error);
            -1
        }
    }
}

/// Destroys a pool; its reserve goes back to the source. The end of its parent destroys it, too, whatever is out
/// then: that stays with those who have it, a log line says how much it is, and threads that wait get NULL.
///
/// @param m  a pool.
/// @return   0; -1 with errno EBUSY and a log line while elements are out, with their number, where it is
///           referenced, or where a destructor refuses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_mempool_destroy(m: *mut tm_mempool) -> c_int {
    const NAME: &CStr = c"tm_mempool_destroy";
    // SAFETY: contract.
    let Ok(pool) = (unsafe { pool(NAME, m) }) else { return -1 };
    // SAFETY: contract.
    match unsafe { mempool::destroy(pool, NAME.as_ptr()) } {
        Ok(()) => 0,
        Err(DestroyError::InUse(elements)) => {
            fault::busy(NAME, &[Piece::Number(elements), Piece::Text(c" elements are still out")]);
            -1
        }
        Err(DestroyError::Chunk(error)) => {
            fault::not_destroyed(NAME, pool.chunk(), error);
            -1
        }
    }
}
