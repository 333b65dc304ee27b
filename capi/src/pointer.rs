//! The door between C pointers and chunks: every pointer that comes in is checked here, once, and
//! every result that goes out becomes a pointer here.

use core::ffi::{CStr, c_void};
use core::ptr::null_mut;
use tmempool::error::{AllocError, Fault};
use tmempool::pools::resident::{Resident, ResidentRef};
use tmempool::tree::Chunk;

use crate::fault;

/// The caller passed a pointer that is no live chunk, it has been reported, and the abort function
/// returned.
pub(crate) struct Reported;

/// The chunk behind `ptr`. NULL, too, is reported as no chunk.
///
/// # Safety
/// The caller's tree is not changed by another thread meanwhile (contract).
#[inline(always)]
pub(crate) unsafe fn chunk(ptr: *const c_void) -> Result<Chunk, Reported> {
    // SAFETY: contract.
    unsafe { Chunk::check_quick(ptr).or_else(|| chunk_slow(ptr)) }.ok_or(Reported)
}

/// [`chunk`], of what is no live chunk of the heap: it may be a member of a pool, or no chunk at all, which
/// is reported.
///
/// # Safety
/// As for [`chunk`].
#[inline(never)]
unsafe fn chunk_slow(ptr: *const c_void) -> Option<Chunk> {
    // SAFETY: contract.
    let checked = if ptr.is_null() { Err(Fault::Unknown) } else { unsafe { Chunk::check(ptr) } };
    checked.inspect_err(|&fault| fault::bad_pointer(fault)).ok()
}

/// The resident (a cache, a mempool, a genpool) behind `ptr`, for `function`. What is none is logged, and
/// `errno` is `EINVAL`; nothing aborts.
///
/// # Safety
/// No other thread frees the resident meanwhile (contract).
#[inline(always)]
pub(crate) unsafe fn resident<T: Resident>(
    function: &CStr,
    what: &CStr,
    ptr: *const c_void,
) -> Result<ResidentRef<T>, Reported> {
    // SAFETY: as the caller promises.
    unsafe { ResidentRef::check(ptr) }.map_err(|fault| {
        fault::no_resident(function, what, ptr, fault);
        Reported
    })
}

/// The context behind `ptr`, where NULL stands for "no parent".
///
/// # Safety
/// As for [`chunk`].
#[inline(always)]
pub(crate) unsafe fn context(ptr: *const c_void) -> Result<Option<Chunk>, Reported> {
    if ptr.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller promises.
    unsafe { chunk(ptr) }.map(Some)
}

/// The payload of a new chunk, or NULL with `errno` set.
#[inline(always)]
pub(crate) fn given(result: Result<Chunk, AllocError>) -> *mut c_void {
    match result {
        Ok(chunk) => chunk.ptr(),
        Err(error) => refused(error),
    }
}

#[cold]
pub(crate) fn refused(error: AllocError) -> *mut c_void {
    fault::no_memory(error);
    null_mut()
}
