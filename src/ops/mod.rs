//! The verbs: what can be done with chunks.
//!
//! All are `unsafe`, for one reason: a [`Chunk`] is a handle to something that must still be alive,
//! and one tree may be used by one thread at a time; the caller answers for both. What a destructor
//! does in the middle of a verb is the verb's business: each leaves the tree valid before it calls
//! one, and expects anything after.

mod alloc;
mod drain;
mod dying;
mod free;
mod realloc;
mod reference;
mod reparent;
mod reset;
mod roots;
mod totals;

pub use alloc::{
    MAX_SIZE, alloc, alloc_quick, alloc_root_quick, alloc_zeroed, growable_object, growable_pool, pool,
    pooled_object,
};
pub use free::{free, free_children, free_member_quick, free_quick, set_destructor, set_finalizer};
pub use realloc::{realloc, resize_in_place};
pub use reference::{reference, reference_count, reference_locations, unlink};
pub use reparent::{reparent, steal};
pub use reset::{reset, set_keep};
pub(crate) use roots::{AUTOFREE, RETIRED, is_retired};
pub use roots::{autofree_context, disable_null_tracking, enable_null_tracking, null_context};
pub(crate) use totals::bytes;
pub use totals::{total_blocks, total_size};

use crate::error::AllocError;
use crate::tree::{Chunk, limit};

/// Limits what `chunk` and all below it may take, headers included, to `max` bytes; 0 is no limit.
///
/// # Errors
/// [`AllocError::OutOfMemory`]: nothing has changed.
///
/// # Safety
/// See the [module](self).
pub unsafe fn set_limit(chunk: Chunk, max: usize) -> Result<(), AllocError> {
    limit::put_on(chunk, max)
}
