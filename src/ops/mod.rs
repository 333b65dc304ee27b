//! The verbs: what can be done with chunks.
//!
//! All are `unsafe`, for one reason: a [`Chunk`] is a handle to something that must still be alive,
//! and one tree may be used by one thread at a time; the caller answers for both. To use what belongs to a shared
//! context, any thread [enters](enter) it first. What a destructor
//! does in the middle of a verb is the verb's business: each leaves the tree valid before it calls
//! one, and expects anything after.

mod alloc;
mod bare;
mod begin;
mod drain;
mod dying;
mod entry;
mod free;
mod leaves;
mod realloc;
mod reference;
mod reparent;
mod reset;
mod roots;
mod say;
mod shared;
mod totals;

pub use alloc::{
    MAX_SIZE, alloc, alloc_below_member, alloc_below_other, alloc_found, alloc_in_pool, alloc_quick,
    alloc_root_quick, alloc_unready, alloc_zeroed, growable_object, growable_pool, object_found,
    object_with_room, pool, pooled_object,
};
pub use bare::{bare, bare_quick};
pub(crate) use entry::referred;
pub use entry::{Entry, enter, enter_one};
pub use free::{
    free, free_anywhere, free_children, free_found, free_member, free_quick, free_shared, free_unready,
    set_destructor, set_finalizer,
};
pub use realloc::{extend_found, realloc, resize_in_place};
pub use reference::{reference, reference_count, reference_found, reference_locations, unlink};
pub use reparent::{change_places, reparent, steal, steal_found, steal_found_member};
pub use reset::{reset, reset_quick, set_keep};
pub(crate) use roots::{AUTOFREE, RETIRED, is_retired};
pub use roots::{autofree_context, disable_null_tracking, enable_null_tracking, null_context};
pub use shared::{is_shared, shared_context, shared_pool};
pub(crate) use totals::{bytes, inside};
pub use totals::{total_blocks, total_size};

use core::ffi::c_void;

pub use crate::tree::store::Quick;

use crate::error::AllocError;
use crate::mem::here::Change;
use crate::tree::meter::{self, Say};
use crate::tree::pool::{PoolRef, Stats};
use crate::tree::{Chunk, domain, limit};

/// Limits what `chunk` and all below it may take, headers included, to `max` bytes; 0 is no limit.
///
/// # Errors
/// [`AllocError::OutOfMemory`]: nothing has changed.
///
/// # Safety
/// See the [module](self).
pub unsafe fn set_limit(chunk: Chunk, max: usize) -> Result<(), AllocError> {
    let _change = Change::begin();
    limit::put_on(chunk, max)
}

/// Puts two limits on what `chunk` and all below it may take, headers included, in bytes; 0 is no limit. Where `hard`
/// would be passed, `say` is asked before the allocation is refused; where `soft` is passed, it is told, once until the
/// use has been at or below `soft` again. It is called with the chunk's payload, the bytes in use, those wanted on top,
/// the limit that is in question, and `data`. Its answer is 0 to go on (if it has found room, or raised the limit), and
/// anything else to refuse. While it runs it is not called again: what is allocated then is held to `hard`.
///
/// # Errors
/// [`AllocError::OutOfMemory`]; [`AllocError::Refused`] for the null context, which all threads use. Nothing has
/// changed then.
///
/// # Safety
/// See the [module](self); `say` may be called with `data` until the limits are set anew or the chunk is freed.
pub unsafe fn set_limits(
    chunk: Chunk,
    soft: usize,
    hard: usize,
    say: Option<Say>,
    data: *mut c_void,
) -> Result<(), AllocError> {
    if domain::is_null_context(chunk) {
        return Err(AllocError::Refused);
    }
    let _change = Change::begin();
    limit::put_both_on(chunk, soft, hard, say, data)
}

/// From now on counts what is allocated and freed below `chunk`; what is there already counts as allocated once.
///
/// # Errors
/// As for [`set_limits`].
///
/// # Safety
/// See the [module](self).
pub unsafe fn enable_stats(chunk: Chunk) -> Result<(), AllocError> {
    if domain::is_null_context(chunk) {
        return Err(AllocError::Refused);
    }
    let _change = Change::begin();
    meter::enable_stats(chunk)
}

/// What was counted below `chunk`; for a pool that was not asked to count, what it served from its blocks. `None` for
/// any other chunk that was not asked.
///
/// # Safety
/// See the [module](self).
pub unsafe fn stats(chunk: Chunk) -> Option<Stats> {
    let counted = chunk.meter().and_then(|meter| meter.stats.get());
    counted.or_else(|| PoolRef::of_chunk(chunk).map(PoolRef::stats))
}
