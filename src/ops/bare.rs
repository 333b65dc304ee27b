//! Allocate bare bytes: what belongs to a pool as a whole, and has no header (`tree/pool/bare.rs`).

use core::ffi::c_void;
use core::ptr::NonNull;

use super::alloc::MAX_SIZE;
use super::say::{self, Asked};
use crate::error::AllocError;
use crate::mem::here::Change;
use crate::tree::chunk::{LIMITED, POOL};
use crate::tree::pool::bare;
use crate::tree::{Chunk, limit, meter};

/// `size` bytes of the pool `chunk`, aligned to 16, with undefined contents. They go when the pool's children are
/// freed, or the pool is; until then nothing frees, moves or resizes them.
///
/// # Errors
/// [`AllocError::Refused`]: `chunk` is no pool. Otherwise as for [`alloc`](super::alloc).
///
/// # Safety
/// See the [module](super).
pub unsafe fn bare(chunk: Chunk, size: usize) -> Result<NonNull<u8>, AllocError> {
    if !chunk.has(POOL) {
        return Err(AllocError::Refused);
    }
    let _change = Change::begin();
    if size >= MAX_SIZE {
        return refuse(chunk, AllocError::TooLarge);
    }
    let mut asked = Asked::new();
    loop {
        let Some(taken) = bare::take(chunk, size) else { return refuse(chunk, AllocError::OutOfMemory) };
        if !chunk.has(LIMITED) {
            return Ok(taken.at);
        }
        match limit::charge(Some(chunk), taken.weight) {
            Ok(()) => {
                meter::allocated(Some(chunk), None, size, 1);
                return Ok(taken.at);
            }
            Err(error) => {
                bare::take_back(chunk, &taken);
                if !asked.may_go_on(chunk) {
                    asked.failed(|| Some(chunk), error);
                    return Err(error);
                }
            }
        }
    }
}

/// [`bare`] of the pool whose payload is at `payload`, only if it goes the short way. `None` says nothing, not even that
/// it is a pool.
///
/// # Safety
/// See the [module](super).
#[inline(always)]
pub unsafe fn bare_quick(payload: *const c_void, size: usize) -> Option<NonNull<u8>> {
    bare::quick(payload, size)
}

#[cold]
fn refuse(pool: Chunk, error: AllocError) -> Result<NonNull<u8>, AllocError> {
    say::failed(Some(pool), error);
    Err(error)
}
