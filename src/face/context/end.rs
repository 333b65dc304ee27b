//! The end of a chunk: of a context, or of a box.

use crate::error::FreeError;
use crate::face::state::LOCATION;
use crate::face::unwind;
use crate::ops;
use crate::tree::Chunk;

/// Frees the chunk of a context, or of a box, which nobody uses any more.
///
/// # Safety
/// See [`ops`].
pub(in crate::face) unsafe fn free(chunk: Chunk) -> Result<(), FreeError> {
    unwind::resume_after(|| {
        // SAFETY: the caller's.
        match unsafe { ops::free(chunk, LOCATION.as_ptr()) } {
            // Somebody else has a hold on it: ours goes.
            // SAFETY: the caller's; it lives on.
            Err(FreeError::HasReferences) => unsafe { ops::unlink(chunk.parent(), chunk, LOCATION.as_ptr()) },
            other => other,
        }
    })
}

/// Frees `chunk`, the short way if it goes.
///
/// # Safety
/// As for [`free`].
#[inline(always)]
pub(in crate::face) unsafe fn free_quick_or(chunk: Chunk, slow: unsafe fn(Chunk)) {
    // SAFETY: the caller's.
    unsafe {
        if !ops::free_quick(chunk, LOCATION.as_ptr()) {
            slow(chunk);
        }
    }
}

/// [`free`], where nobody can be told that it was refused.
///
/// # Safety
/// As for [`free`].
#[cold]
#[inline(never)]
pub(in crate::face) unsafe fn free_whole(chunk: Chunk) {
    // SAFETY: the caller's.
    let freed = unsafe { free(chunk) };
    debug_assert!(!matches!(freed, Err(FreeError::Corrupt(_))), "{freed:?}");
}
