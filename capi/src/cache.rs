//! Object caches: objects of one size, which stay constructed between uses.
#![allow(non_camel_case_types, reason = "the names are those of the C interface")]

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use core::mem::transmute;
use core::ptr::{NonNull, null_mut};
use tmempool::error::AllocError;
use tmempool::hint::behind;
use tmempool::pools::cache::{self, Cache, CacheRef, Config, CreateError, DestroyError, Hook, Misuse};

use crate::fault::{self, Piece};
use crate::opaque::tm_cache;
use crate::pointer::{Reported, refused, resident, settled};

/// Objects start at a line of the processor's caches (64 bytes), and no two share one.
pub const TM_CACHE_HWALIGN: c_uint = 0x1;
/// An object is filled with zeros when it is freed. Not together with a constructor.
pub const TM_CACHE_ZERO_ON_FREE: c_uint = 0x2;
/// An object is filled with zeros when it is allocated. Not together with a constructor.
pub const TM_CACHE_ZERO_ON_ALLOC: c_uint = 0x4;
/// The first objects of different slabs lie at different distances from the slab's start, so that they do
/// not compete for the same lines of the processor's caches. Costs a little room.
pub const TM_CACHE_COLOUR: c_uint = 0x8;

const _: () = assert!(TM_CACHE_HWALIGN == cache::HWALIGN && TM_CACHE_COLOUR == cache::COLOUR);
const _: () =
    assert!(TM_CACHE_ZERO_ON_FREE == cache::ZERO_ON_FREE && TM_CACHE_ZERO_ON_ALLOC == cache::ZERO_ON_ALLOC);

/// Numbers about a cache. While other threads use it, they are of slightly different moments.
#[repr(C)]
pub struct tm_cache_stats {
    /// Bytes of an object, as asked for.
    pub object_size: usize,
    /// Bytes from one object to the next, with what the alignment adds.
    pub stride: usize,
    /// Bytes of a slab.
    pub slab_size: usize,
    /// Objects in a slab.
    pub objects_per_slab: usize,
    /// Objects in use.
    pub active: usize,
    /// Objects in all slabs, in use or not.
    pub total: usize,
    /// The most objects that were out of their slabs at a time: in use, or in a magazine.
    pub peak: usize,
    /// Free objects in the magazines of threads.
    pub cached: usize,
    /// Slabs with objects in use and others.
    pub slabs_partial: usize,
    /// Slabs that have no object to give.
    pub slabs_full: usize,
    /// Slabs with all their objects; they go back to the system by tm_cache_shrink().
    pub slabs_empty: usize,
    /// Allocations that succeeded.
    pub allocations: usize,
    /// Frees.
    pub frees: usize,
    /// Allocations that failed.
    pub failures: usize,
    /// Allocations that were served from the thread's own magazine, without a lock.
    pub magazine_hits: usize,
}

/// What C programs give as a constructor or destructor.
type ObjectFn = unsafe extern "C" fn(obj: *mut c_void);

/// A hook that calls a C function with the object alone.
fn hook(function: Option<ObjectFn>) -> Option<Hook> {
    unsafe extern "C" fn call(object: *mut c_void, function: *mut c_void) {
        // SAFETY: the word is an ObjectFn: see below.
        unsafe { transmute::<*mut c_void, ObjectFn>(function)(object) }
    }
    function.map(|function| Hook { call, word: function as *mut c_void })
}

/// The cache behind `c`, or a log line.
///
/// # Safety
/// Contract.
#[inline(always)]
unsafe fn cache(function: &CStr, c: *const tm_cache) -> Result<CacheRef, Reported> {
    // SAFETY: contract.
    unsafe { resident(function, c"cache", c.cast()) }
}

/// Makes a cache of objects of `size` bytes, as a child of `parent`.
///
/// An object is constructed when it is handed out for the first time, stays constructed while it is free
/// (whoever frees it leaves it in the state in which the next user is to find it), and is destructed when its
/// slab goes back. Objects that were freed are kept at hand for each thread (up to 256 small ones), so that most
/// calls take no lock. Empty slabs go back by tm_cache_shrink(), and, while the cache is used, when they were not
/// needed for a second.
///
/// The cache is a context: when `parent` is freed, it ends, and with it all objects, those in use as well; that
/// there were any is logged. Its memory is not counted in the tree's totals.
///
/// @param parent  its parent; NULL for none.
/// @param name    its name, for reports and tm_slabinfo(); copied. NULL for "tm_cache".
/// @param size    bytes of an object, 1 to 4128768 (63 slices of 64 KiB).
/// @param align   the alignment of objects in bytes, a power of two up to 65536; 0 for 8, or 16 where the size
///                is a multiple of 16.
/// @param flags   TM_CACHE_... flags, or 0.
/// @param ctor    called with each object before its first use; NULL for none. It runs in the thread that
///                allocates, holds no lock, and may use the cache.
/// @param dtor    called with each constructed object before its memory goes back, in any thread; NULL for
///                none. Only together with a ctor.
/// @return        the cache; NULL with errno ENOMEM without memory; NULL with a log line and errno EINVAL when
///                the arguments make no sense.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_cache_create(
    parent: *const c_void,
    name: *const c_char,
    size: usize,
    align: usize,
    flags: c_uint,
    ctor: Option<unsafe extern "C" fn(obj: *mut c_void)>,
    dtor: Option<unsafe extern "C" fn(obj: *mut c_void)>,
) -> *mut tm_cache {
    fault::hear_notices();
    let config = Config { size, align, flags, construct: hook(ctor), destruct: hook(dtor) };
    // SAFETY: contract.
    unsafe {
        let name = if name.is_null() { c"tm_cache" } else { CStr::from_ptr(name) };
        settled(parent, |parent| match cache::create(parent, name, &config) {
            Ok(cache) => cache.ptr().cast(),
            Err(CreateError::Memory(error)) => refused(error).cast(),
            Err(error) => not_created(name, error),
        })
    }
}

#[cold]
fn not_created(name: &CStr, error: CreateError) -> *mut tm_cache {
    let why = match error {
        CreateError::NoSize => c": objects of 0 bytes",
        CreateError::TooLarge => c": the objects are too large",
        CreateError::BadAlign => c": the alignment is no power of two up to 65536",
        CreateError::BadFlags => c": unknown flags",
        CreateError::ZeroedAndConstructed => c": objects cannot be zeroed and stay constructed",
        CreateError::OnlyDestructed => c": a destructor without a constructor",
        CreateError::Memory(_) => c": no memory",
    };
    fault::misuse(
        c"tm_cache_create",
        &[Piece::Text(c"no cache '"), Piece::Text(name), Piece::Text(c"'"), Piece::Text(why)],
    );
    null_mut()
}

/// Takes an object out of the cache.
///
/// Safe to call from any thread.
///
/// @return  the object: constructed, or zeroed, or undefined, as the cache was made; NULL with errno ENOMEM.
/// cbindgen:prefix=TM_DIRECT
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_cache_alloc(c: *mut tm_cache) -> *mut c_void {
    // SAFETY: contract.
    unsafe {
        match cache::alloc_quick(c.cast()) {
            Some(object) => object.as_ptr().cast(),
            None => alloc_slow(c),
        }
    }
}

/// # Safety
/// Contract.
#[cold]
#[inline(never)]
unsafe fn alloc_slow(c: *mut tm_cache) -> *mut c_void {
    // SAFETY: contract.
    match unsafe { cache(c"tm_cache_alloc", c) } {
        Ok(cache) => match cache.alloc() {
            Some(object) => object.as_ptr().cast(),
            None => refused(AllocError::OutOfMemory),
        },
        Err(_) => null_mut(),
    }
}

/// Puts an object back into the cache that it came from. What is no object of this cache, or is free already,
/// is refused with a log line, and errno is EINVAL.
///
/// Safe to call from any thread, whichever allocated the object.
///
/// @param c    the cache.
/// @param obj  the object; NULL does nothing.
/// cbindgen:prefix=TM_DIRECT
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_cache_free(c: *mut tm_cache, obj: *mut c_void) {
    // SAFETY: contract.
    unsafe {
        if !cache::free_quick(c.cast(), obj) {
            behind();
            free_slow(c, obj);
        }
    }
}

/// # Safety
/// Contract.
#[cold]
#[inline(never)]
unsafe fn free_slow(c: *mut tm_cache, obj: *mut c_void) {
    // SAFETY: contract.
    unsafe {
        if let Ok(cache) = cache(c"tm_cache_free", c)
            && let Some(object) = NonNull::new(obj)
            && let Err(misuse) = cache.free(object.cast())
        {
            not_freed(c"tm_cache_free", cache, obj, misuse);
        }
    }
}

#[cold]
#[inline(never)]
fn not_freed(function: &CStr, cache: CacheRef, obj: *const c_void, misuse: Misuse) {
    let why = match misuse {
        Misuse::Foreign => c" is no object in use of cache '",
        Misuse::Inside => c" lies inside an object of cache '",
        Misuse::Free => c" is free already, in cache '",
    };
    fault::misuse(
        function,
        &[Piece::Address(obj), Piece::Text(why), Piece::Foreign(cache.name()), Piece::Text(c"'")],
    );
}

/// Takes `n` objects out of the cache, or none.
///
/// Safe to call from any thread.
///
/// @param c    the cache.
/// @param n    how many.
/// @param out  where they are written to; nothing defined is when there are not enough.
/// @return     n; or 0 with errno ENOMEM, or EINVAL, which is logged, if `out` is NULL or `c` no cache.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_cache_alloc_bulk(c: *mut tm_cache, n: usize, out: *mut *mut c_void) -> usize {
    // SAFETY: contract.
    unsafe {
        let Ok(cache) = cache(c"tm_cache_alloc_bulk", c) else { return 0 };
        if out.is_null() && n > 0 {
            fault::misuse(c"tm_cache_alloc_bulk", &[Piece::Text(c"nowhere to write to")]);
            return 0;
        }
        // More than there is room for in any memory.
        let is_sane = n <= isize::MAX as usize / size_of::<*mut c_void>();
        if is_sane && cache.alloc_bulk(n, out) {
            return n;
        }
    }
    refused(AllocError::OutOfMemory);
    0
}

/// Puts `n` objects back into the cache. NULLs among them are skipped; each that is no object in use is refused
/// with a log line, and the others are freed.
///
/// Safe to call from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_cache_free_bulk(c: *mut tm_cache, n: usize, objs: *mut *mut c_void) {
    // SAFETY: contract; there are `n` objects.
    unsafe {
        let Ok(cache) = cache(c"tm_cache_free_bulk", c) else { return };
        if objs.is_null() && n > 0 {
            fault::misuse(c"tm_cache_free_bulk", &[Piece::Text(c"nowhere to read from")]);
            return;
        }
        if n > 0 {
            cache.free_bulk(core::slice::from_raw_parts(objs, n), |obj, misuse| {
                not_freed(c"tm_cache_free_bulk", cache, obj, misuse);
            });
        }
    }
}

/// Gives all slabs back to the system that have no object in use, after their objects have been destructed.
/// Objects that other threads keep at hand stay where they are, and so do their slabs.
///
/// Safe to call from any thread.
///
/// @return  the bytes that were given back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_cache_shrink(c: *mut tm_cache) -> usize {
    // SAFETY: contract.
    unsafe { cache(c"tm_cache_shrink", c) }.map_or(0, |cache| cache.shrink())
}

/// Ends the cache, unless objects are in use. Nobody else uses it at the time.
///
/// @return  0; -1 with a log line if the cache lives on: so many objects are in use, it has references, or its talloc
///          destructor refuses (errno EBUSY); or it is no cache (errno EINVAL).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_cache_destroy(c: *mut tm_cache) -> c_int {
    const FUNCTION: &CStr = c"tm_cache_destroy";
    // SAFETY: contract.
    unsafe {
        let Ok(cache) = cache(FUNCTION, c) else { return -1 };
        match cache::destroy(cache, FUNCTION.as_ptr()) {
            Ok(()) => return 0,
            Err(DestroyError::InUse(objects)) => fault::busy(
                FUNCTION,
                &[
                    Piece::Text(c"cache '"),
                    Piece::Foreign(cache.name()),
                    Piece::Text(c"' has objects in use: "),
                    Piece::Number(objects),
                ],
            ),
            Err(DestroyError::Chunk(error)) => fault::not_destroyed(FUNCTION, cache.chunk(), error),
        }
    }
    -1
}

/// Tells numbers about the cache.
///
/// Safe to call from any thread.
///
/// @param c    the cache.
/// @param out  filled with the numbers.
/// @return     0; -1 with a log line and errno EINVAL if `c` is no cache or `out` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_cache_stats(c: *const tm_cache, out: *mut tm_cache_stats) -> c_int {
    // SAFETY: contract.
    unsafe {
        let Ok(cache) = cache(c"tm_cache_stats", c) else { return -1 };
        if out.is_null() {
            fault::misuse(c"tm_cache_stats", &[Piece::Text(c"nowhere to write to")]);
            return -1;
        }
        out.write(numbers(&cache));
    }
    0
}

fn numbers(cache: &Cache) -> tm_cache_stats {
    let stats = cache.stats();
    tm_cache_stats {
        object_size: stats.object_size,
        stride: stats.stride,
        slab_size: stats.slab_size,
        objects_per_slab: stats.objects_per_slab,
        active: stats.active,
        total: stats.total,
        peak: stats.peak,
        cached: stats.cached,
        slabs_partial: stats.slabs_partial,
        slabs_full: stats.slabs_full,
        slabs_empty: stats.slabs_empty,
        allocations: stats.allocations as usize,
        frees: stats.frees as usize,
        failures: stats.failures as usize,
        magazine_hits: stats.magazine_hits as usize,
    }
}
