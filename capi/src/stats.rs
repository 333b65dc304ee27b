//! Statistics of contexts, and limits that have a say.

use core::ffi::{c_int, c_void};
use tmempool::error::AllocError;
use tmempool::ops;
use tmempool::pools::cache::CacheRef;
use tmempool::pools::genpool::GenPool;
use tmempool::pools::mempool::MempoolRef;
use tmempool::pools::resident::ResidentRef;
use tmempool::tree::pool::Stats;

use crate::fault::{self, Piece};
use crate::names::name_of;
use crate::pointer::{refused, with};

/// What was allocated and freed below a context. Bytes are those of payloads, as they were asked for.
#[allow(non_camel_case_types, reason = "the name is C's")]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tm_stats {
    /// Bytes allocated in all; what a realloc adds is part of it.
    pub total_allocated: usize,
    /// Bytes allocated now.
    pub current_allocated: usize,
    /// The most that `current_allocated` has been.
    pub peak_allocated: usize,
    /// How many allocations there were.
    pub allocation_count: usize,
    /// How many of them were freed.
    pub free_count: usize,
    /// How many allocations, and reallocs, were refused for want of memory or by a limit.
    pub failed_count: usize,
}

/// From now on `ctx` counts what is allocated and freed below it, at any depth: in the heap, in pools, by realloc,
/// and what is moved in (as allocated) and out (as freed). `ctx` itself is not counted, nor are moves within. What is
/// there already counts as allocated once, so that `current_allocated` is `talloc_total_size(ctx)` without `ctx`'s own
/// bytes and without references, which count with theirs, and `allocation_count - free_count` is
/// `talloc_total_blocks(ctx) - 1`. Several contexts above each other may count; none costs those that lie below none of
/// them. It cannot be ended.
///
/// One thread at a time, as for all that touches a tree.
///
/// @param ctx  a chunk.
/// @return     0, also if it counts already; -1 with errno ENOMEM; or EINVAL, which is logged, if it is what
///             talloc_enable_null_tracking() made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_stats_enable(ctx: *mut c_void) -> c_int {
    // SAFETY: contract.
    unsafe {
        match with(ctx, |chunk| ops::enable_stats(chunk)) {
            Ok(result) => done(c"tm_stats_enable", result),
            Err(_) => -1,
        }
    }
}

/// Tells what `ctx` has counted since `tm_stats_enable()`.
///
/// A pool (but not one in name only: `talloc_pooled_object()`) that was not asked to count tells what it has served
/// from its blocks since it was made, wherever that lies now, and all that tm_palloc() gave, but not chunks that went
/// to the heap because they were too large. A cache
/// (`tm_cache`) tells of its objects, each of the size that it was made for. A managed range (`tm_genpool`) tells of
/// the room it has given, in whole units. A reserve (`tm_mempool`) tells of its elements, with bytes where it knows
/// their size (of a cache or tm_kmalloc(); else 0); its peak is the most that was out at a call of this function. One of
/// these that was asked to count tells of the chunks below it instead.
///
/// @param ctx  a chunk that counts, a pool, a cache, a mempool or a genpool.
/// @param out  where to write to.
/// @return     0; -1 with errno EINVAL, which is logged, if it is a chunk that does not count.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_stats(ctx: *const c_void, out: *mut tm_stats) -> c_int {
    // SAFETY: contract.
    unsafe {
        let Ok(counted) = with(ctx, |chunk| ops::stats(chunk)) else { return -1 };
        if out.is_null() {
            fault::misuse(c"tm_stats", &[Piece::Text(c"nowhere to write to")]);
            return -1;
        }
        let resident = || {
            let cache = CacheRef::check(ctx).map(|cache| of_cache(&cache.stats()));
            let mempool = || MempoolRef::check(ctx).map(|pool| numbers(pool.stats()));
            let genpool = || ResidentRef::<GenPool>::check(ctx).map(|pool| numbers(pool.stats()));
            cache.or_else(|_| mempool()).or_else(|_| genpool()).ok()
        };
        let stats = match counted.map(numbers).or_else(resident) {
            Some(stats) => stats,
            None => {
                let uncounted = |chunk| {
                    let why = [Piece::Foreign(name_of(chunk)), Piece::Text(c" was not asked to count")];
                    fault::misused(c"tm_stats", &why)
                };
                if let Ok(misuse) = with(ctx, uncounted) {
                    misuse.report();
                }
                return -1;
            }
        };
        out.write(stats);
    }
    0
}

fn numbers(stats: Stats) -> tm_stats {
    tm_stats {
        total_allocated: stats.total,
        current_allocated: stats.current,
        peak_allocated: stats.peak,
        allocation_count: stats.allocations,
        free_count: stats.frees,
        failed_count: stats.failures,
    }
}

fn of_cache(stats: &tmempool::pools::cache::Stats) -> tm_stats {
    tm_stats {
        total_allocated: stats.allocations as usize * stats.object_size,
        current_allocated: stats.active * stats.object_size,
        peak_allocated: stats.peak * stats.object_size,
        allocation_count: stats.allocations as usize,
        free_count: stats.frees as usize,
        failed_count: stats.failures as usize,
    }
}

/// Limits the memory of `ctx` and all below it, headers included, with a function that has a say: it may free
/// something, and let the allocation go on. Of a pool, the room that was asked for counts at once, and what it serves from
/// that not again; blocks beyond that count by what is in them. Objects of a cache do not count, nor elements that a
/// reserve has from elsewhere.
///
/// `say` is called before anything is taken for an allocation or realloc below `ctx` that would pass a limit:
///
/// - `hard`: each time. If it answers 0, the allocation is tried anew, and if it still does not fit, `say` is called
///   again as long as it has freed something below `ctx`, or changed the limit, since. Any other answer refuses the
///   allocation (NULL with errno ENOMEM). Without `say`, what would pass `hard` is refused, as by
///   `talloc_set_memlimit()`, which sets the same limit.
/// - `soft`: once, and again only after what is in use has been at or below `soft`. With an answer of 0 the allocation
///   goes on; any other refuses it.
///
/// `say` may free, allocate, move and reset anything, and may set the limits anew. Some chunks are safe from it as if
/// their destructors were running, so that freeing them gives -1: `ctx`, the parent of what is being allocated (or the
/// chunk that is being resized), and what a reference is being made to; what lies around them may go. `say` is not
/// called for the same `ctx` from within itself: allocations that it makes there may pass `soft`, and are refused beyond
/// `hard`. It must return, and must not throw. For one allocation, no more than a thousand calls are made.
///
/// It runs in the thread that allocates; the tree is that thread's, as ever.
///
/// @param ctx   a chunk.
/// @param soft  bytes in use from which on `say` is told; 0 for none.
/// @param hard  bytes that may be in use; 0 for any number.
/// @param say   called with `ctx`, the bytes in use, the bytes wanted on top, the limit in question, and `data`; NULL
///              for none.
/// @param data  for `say`.
/// @return      0; -1 with errno ENOMEM; or EINVAL, which is logged, if `ctx` is what talloc_enable_null_tracking() made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_limit(
    ctx: *mut c_void,
    soft: usize,
    hard: usize,
    say: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            used: usize,
            wanted: usize,
            limit: usize,
            data: *mut c_void,
        ) -> c_int,
    >,
    data: *mut c_void,
) -> c_int {
    // SAFETY: contract.
    unsafe {
        match with(ctx, |chunk| ops::set_limits(chunk, soft, hard, say, data)) {
            Ok(result) => done(c"tm_limit", result),
            Err(_) => -1,
        }
    }
}

fn done(function: &core::ffi::CStr, result: Result<(), AllocError>) -> c_int {
    match result {
        Ok(()) => return 0,
        Err(AllocError::Refused) => {
            let why =
                c"the null context is all threads', and has neither statistics nor a function for limits";
            fault::misuse(function, &[Piece::Text(why)]);
        }
        Err(error) => {
            refused(error);
        }
    }
    -1
}
