//! General sizes, and the table of all caches.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::NonNull;
use tmempool::error::AllocError;
use tmempool::hint::behind;
use tmempool::mem::os;
use tmempool::pools::cache::{self, Misuse, Row};
use tmempool::pools::kmalloc;

use crate::fault::{self, Piece};
use crate::pointer::refused;

/// Allocates `size` bytes that belong to no context. They come from a cache for each size class.
///
/// Safe to call from any thread.
///
/// @param size  bytes; for 0, the result is an address that no other block has.
/// @return      the memory, undefined; aligned to 16 bytes, or to 8 up to 8 bytes; where `size` is a power of
///              two, to `size`, up to 65536. NULL with errno ENOMEM.
/// cbindgen:prefix=TM_DIRECT
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_kmalloc(size: usize) -> *mut c_void {
    match kmalloc::alloc_quick(size) {
        Some(at) => at.as_ptr().cast(),
        None => alloc_slow(size),
    }
}

#[cold]
#[inline(never)]
fn alloc_slow(size: usize) -> *mut c_void {
    match kmalloc::alloc(size) {
        Some(at) => at.as_ptr().cast(),
        None => refused(AllocError::OutOfMemory),
    }
}

/// Frees what tm_kmalloc() gave. Anything else, and what is free already, is refused with a log line, and errno is
/// EINVAL.
///
/// Safe to call from any thread, whichever allocated the memory.
///
/// @param p  the memory; NULL does nothing.
/// cbindgen:prefix=TM_DIRECT
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_kfree(p: *mut c_void) {
    // SAFETY: contract.
    if !unsafe { kmalloc::free_quick(p) } {
        behind();
        free_slow(p);
    }
}

#[cold]
#[inline(never)]
fn free_slow(p: *mut c_void) {
    if let Some(at) = NonNull::new(p)
        // SAFETY: contract.
        && let Err(misuse) = unsafe { kmalloc::free(at.cast()) }
    {
        not_freed(c"tm_kfree", p, misuse);
    }
}

/// The bytes that may be used at `p`: what was asked for, and what its size class has beyond that.
///
/// Safe to call from any thread.
///
/// @param p  memory that tm_kmalloc() gave.
/// @return   the bytes; 0 for NULL; 0 with a log line and errno EINVAL for anything else.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_ksize(p: *const c_void) -> usize {
    let Some(at) = NonNull::new(p.cast_mut()) else { return 0 };
    kmalloc::usable_size(at.cast()).unwrap_or_else(|misuse| {
        not_freed(c"tm_ksize", p, misuse);
        0
    })
}

#[cold]
#[inline(never)]
fn not_freed(function: &CStr, p: *const c_void, misuse: Misuse) {
    let why = match misuse {
        Misuse::Foreign => c" is no memory of tm_kmalloc() in use",
        Misuse::Inside => c" lies inside memory of tm_kmalloc()",
        Misuse::Free => c" is free already",
    };
    fault::misuse(function, &[Piece::Address(p), Piece::Text(why)]);
}

unsafe extern "C" {
    fn fprintf(file: *mut libc::FILE, format: *const c_char, ...) -> c_int;
}

/// Writes a table of all caches, those of tm_kmalloc() included, in the form of Linux's /proc/slabinfo 2.1:
/// objects in use, objects, bytes of an object, objects and pages of a slab; of the tunables, how many objects a
/// thread keeps, how many it moves at once, and how many times that many are kept for all threads; of the
/// slabs, how many have objects in use, how many there are, and the objects kept for all threads.
///
/// Safe to call from any thread.
///
/// @param f  a stream to write to; NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_slabinfo(f: *mut libc::FILE) {
    if f.is_null() {
        return;
    }
    let Some(rows) = cache::rows() else {
        refused(AllocError::OutOfMemory);
        return;
    };
    // SAFETY: a stream of the user's, C strings, and formats that fit their arguments.
    unsafe {
        libc::fputs(c"slabinfo - version: 2.1\n".as_ptr(), f);
        libc::fputs(
            c"# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> \
              : tunables <limit> <batchcount> <sharedfactor> \
              : slabdata <active_slabs> <num_slabs> <sharedavail>\n"
                .as_ptr(),
            f,
        );
        rows.iter().for_each(|row| write_row(f, row));
    }
}

/// # Safety
/// `f` is a stream.
unsafe fn write_row(f: *mut libc::FILE, row: &Row) {
    let stats = &row.stats;
    let in_use = stats.slabs_partial + stats.slabs_full;
    // SAFETY: the format fits the arguments.
    unsafe {
        fprintf(
            f,
            c"%-17s %6zu %6zu %6zu %4zu %4zu : tunables %4zu %4zu %4zu : slabdata %6zu %6zu %6zu\n".as_ptr(),
            row.name().as_ptr(),
            stats.active,
            stats.total,
            stats.stride,
            stats.objects_per_slab,
            stats.slab_size / os::PAGE,
            stats.magazine_size,
            stats.batch,
            row.depot,
            in_use,
            in_use + stats.slabs_empty,
            row.in_depot,
        );
    }
}
