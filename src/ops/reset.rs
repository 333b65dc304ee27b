//! Reset: a context is emptied for its next use, and keeps its room.

use core::ffi::{c_char, c_void};

use super::free;
use crate::error::FreeError;
use crate::mem::here::Change;
use crate::tree::chunk::{DYING, GUARDED, POOL};
use crate::tree::pool::{PoolRef, bare};
use crate::tree::{Chunk, store};

/// Frees the children of `chunk`, but not the one that holds its name, as [`free_children`](free::free_children)
/// does. A pool keeps its blocks, up to its [limit](set_keep); the members of a regular one are forgotten at once.
///
/// # Errors
/// [`FreeError::Corrupt`].
///
/// # Safety
/// See the [module](super).
pub unsafe fn reset(chunk: Chunk, location: *const c_char) -> Result<(), FreeError> {
    let _change = Change::begin();
    if chunk.has(DYING) {
        // They are being freed already.
        return Ok(());
    }
    if !chunk.has(GUARDED) && store::is_regular_pool(chunk) {
        let name = name_child(chunk);
        if store::forget_members(chunk, name, location) {
            return Ok(());
        }
    }
    free::free_all_below(chunk, location)?;
    if let Some(pool) = PoolRef::of_chunk(chunk)
        && chunk.child.is_none()
    {
        pool.settle();
    }
    Ok(())
}

/// [`reset`] of the pool whose payload is at `payload`, only if it goes the short way. If not, nothing has happened, and it
/// may be no pool.
///
/// # Safety
/// See the [module](super).
#[inline(always)]
pub unsafe fn reset_quick(payload: *const c_void) -> bool {
    bare::quick_reset(payload)
}

/// The child that holds the name of `chunk`.
fn name_child(chunk: Chunk) -> Option<Chunk> {
    if chunk.child.is_none() {
        return None;
    }
    let name = chunk.name().cast::<c_void>();
    // SAFETY: any address may be asked about; the tree is this thread's, and a name outlives its chunk.
    unsafe { Chunk::check(name) }.ok().filter(|child| child.parent() == Some(chunk))
}

/// Sets how many bytes of blocks the pool `chunk` keeps when it is emptied, by a reset or because its last member
/// is freed. Its first block always stays. Says whether it is a pool.
///
/// # Safety
/// See the [module](super).
pub unsafe fn set_keep(chunk: Chunk, bytes: usize) -> bool {
    let _change = Change::begin();
    if let Some(pool) = PoolRef::of_chunk(chunk) {
        pool.set_keep(bytes);
    }
    chunk.has(POOL)
}
