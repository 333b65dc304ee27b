//! Growable pools, and contexts that are emptied for their next use.

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use tmempool::error::FreeError;
use tmempool::ops;

use crate::fault::{self, Piece};
use crate::names::name_of;
use crate::pointer::{given, with, with_context};

/// Allocates a pool under `parent` that grows: it begins with a block of `first_size` bytes, and each block that it
/// adds is twice as large as the one before, up to `max_block`. What is larger than a quarter of that comes from
/// the heap, unless it fits into the first block. `tm_reset()` empties it for its next use.
///
/// It is used like any pool: what is allocated below it is served from it, and may be freed, moved or resized alone.
/// Pools of different trees may be used from different threads at once; one pool by one thread at a time.
///
/// @param parent      the parent; NULL for none.
/// @param first_size  bytes for descendants and their headers in the first block; less than 256 MiB.
/// @param max_block   bytes of the largest block; 0 for 1 MiB; at most 3 MiB and at least `first_size` are taken.
/// @return            the pool, which has no payload of its own; NULL with errno ENOMEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_pool_growable(
    parent: *const c_void,
    first_size: usize,
    max_block: usize,
) -> *mut c_void {
    // SAFETY: contract.
    unsafe {
        with_context(parent, |parent| given(ops::growable_pool(parent, first_size, max_block)))
            .unwrap_or(null_mut())
    }
}

/// Empties `ctx`, any chunk, for its next use: frees its children by the rules of `talloc_free_children()`, with
/// their destructors, vetoes and references; what had been moved elsewhere lives on there. `ctx` itself stays, with
/// its payload, name and destructor.
///
/// A pool keeps its room: its first block, and what it has grown by up to the limit of `tm_pool_set_keep()`. Where
/// all below it was served from its blocks and is plain (no destructor, reference, limit, nothing moved in or out),
/// it is forgotten at once, in a time that depends on the number of blocks alone.
///
/// @param ctx  a chunk.
/// @return     0; -1 if what lies below it is damaged, which is logged.
/// cbindgen:prefix=TM_DIRECT
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_reset(ctx: *mut c_void) -> c_int {
    // SAFETY: contract.
    unsafe { if ops::reset_quick(ctx) { 0 } else { slow_reset(ctx) } }
}

/// # Safety
/// That of `tm_reset()`.
#[inline(never)]
unsafe fn slow_reset(ctx: *mut c_void) -> c_int {
    // SAFETY: contract.
    unsafe {
        match with(ctx, |chunk| ops::reset(chunk, c"tm_reset".as_ptr())) {
            Ok(Ok(())) => 0,
            Ok(Err(error)) => {
                if let FreeError::Corrupt(found) = error {
                    fault::bad_pointer(found);
                }
                -1
            }
            Err(_) => -1,
        }
    }
}

/// Sets how much of its room a pool keeps when it is emptied, by `tm_reset()` or because the last of what it served
/// is freed. The first block always stays. A growable pool keeps everything unless told otherwise; one made by
/// `talloc_pool()` keeps what was asked for then, and gives back what went beyond.
///
/// @param pool   a pool, but not one in name only (`talloc_pooled_object()`).
/// @param bytes  of all its blocks together.
/// @return       0; -1 with errno EINVAL, which is logged, if it is a chunk, but no pool.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_pool_set_keep(pool: *mut c_void, bytes: usize) -> c_int {
    // SAFETY: contract.
    unsafe {
        // Said of the chunk while it is entered, and said aloud when nothing is.
        let no_pool = |chunk| {
            fault::misused(
                c"tm_pool_set_keep",
                &[Piece::Foreign(name_of(chunk)), Piece::Text(c" is not a pool")],
            )
        };
        match with(pool, |chunk| (!ops::set_keep(chunk, bytes)).then(|| no_pool(chunk))) {
            Ok(None) => 0,
            Ok(Some(misuse)) => {
                misuse.report();
                -1
            }
            Err(_) => -1,
        }
    }
}
