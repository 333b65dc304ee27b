//! Moving a tree to another parent.

use core::ffi::{c_char, c_void};
use core::ptr::{null, null_mut};
use tmempool::error::{AllocError, StealError};
use tmempool::ops;
use tmempool::tree::Chunk;

use crate::drop_in::is_drop_in;
use crate::fault;
use crate::pointer::{with_both, with_three};

/// Moves `ptr`, with the tree below it, to `new_ctx`. It becomes the first of its children.
///
/// A chunk with references is moved, with a warning in the log, for it may be meant to move one of
/// those: `talloc_reparent()` says which. A move to what lies below it is refused and logged. (In the drop-in
/// `libtalloc.so.2`, where programs depend on it, the two change places if the chunk has a parent that is no shared context
/// and not the null context.)
///
/// @param new_ctx   the new parent; NULL for none.
/// @param ptr       a chunk; NULL gives NULL.
/// @param location  where the caller stands, "file:line", for messages.
/// @return          `ptr`; NULL if it stays where it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _talloc_steal_loc(
    new_ctx: *const c_void,
    ptr: *const c_void,
    location: *const c_char,
) -> *mut c_void {
    // SAFETY: contract.
    unsafe {
        if let Some(parent) = Chunk::find(new_ctx)
            && let Some(chunk) = Chunk::find(ptr)
            && ops::steal_found(parent, chunk)
        {
            return ptr.cast_mut();
        }
        steal_slow(new_ctx, ptr, location)
    }
}

/// [`_talloc_steal_loc`], the whole of it: kept apart, so that the short way needs no room on the stack.
///
/// # Safety
/// Contract.
#[inline(never)]
unsafe fn steal_slow(new_ctx: *const c_void, ptr: *const c_void, location: *const c_char) -> *mut c_void {
    if ptr.is_null() {
        return null_mut();
    }
    // SAFETY: contract.
    unsafe {
        if let Some(parent) = Chunk::find(new_ctx)
            && let Some(chunk) = Chunk::find(ptr)
            && ops::steal_found_member(parent, chunk)
        {
            return ptr.cast_mut();
        }
        let stolen = with_three(new_ctx, null(), ptr, |parent, _, chunk| {
            let warns = ops::reference_count(chunk) > 0 && chunk.parent() != parent;
            (!warns).then(|| steal(parent, chunk))
        });
        let stolen = match stolen {
            Ok(None) => {
                fault::still_referenced(c"WARNING: talloc_steal", ptr, location);
                with_both(new_ctx, ptr, |parent, chunk| steal(parent, chunk))
            }
            Ok(Some(result)) => Ok(result),
            Err(reported) => Err(reported),
        };
        match stolen {
            Ok(result) => moved(ptr, result, location),
            Err(_) => null_mut(),
        }
    }
}

/// [`ops::steal`], with what [`or_ring`] makes of it.
///
/// # Safety
/// As for that.
#[inline(always)]
unsafe fn steal(parent: Option<Chunk>, chunk: Chunk) -> Result<(), StealError> {
    // SAFETY: as the caller promises.
    unsafe { or_ring(parent, chunk, ops::steal(parent, chunk)) }
}

/// The result of a move of `chunk` to `parent`. Where that lies below it, libtalloc makes a ring, and programs that were
/// compiled for libtalloc count on it (ldb, with each index it reads): in the drop-in, the two change places instead.
///
/// # Safety
/// As for [`ops::steal`].
#[inline(always)]
unsafe fn or_ring(
    parent: Option<Chunk>,
    chunk: Chunk,
    moved: Result<(), StealError>,
) -> Result<(), StealError> {
    match (moved, parent) {
        // SAFETY: as the caller promises.
        (Err(StealError::Cycle), Some(below)) if is_drop_in() => unsafe { ops::change_places(below, chunk) },
        _ => moved,
    }
}

/// Moves what `*pptr` points to to `new_ctx`, and clears `*pptr`.
///
/// @param new_ctx  the new parent; NULL for none.
/// @param pptr     the address of a pointer to a chunk; the pointer may be NULL.
/// @return         the chunk; NULL, with `*pptr` kept, if it stays where it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _talloc_move(new_ctx: *const c_void, pptr: *const c_void) -> *mut c_void {
    if pptr.is_null() {
        return null_mut();
    }
    let place = pptr.cast::<*mut c_void>().cast_mut();
    // SAFETY: contract; pptr is the address of the caller's pointer.
    unsafe {
        let chunk = _talloc_steal_loc(new_ctx, *place, c"talloc_move".as_ptr());
        if !chunk.is_null() {
            *place = null_mut();
        }
        chunk
    }
}

/// Moves the hold that `old_parent` has on `ptr`, as its parent or by a reference, to
/// `new_parent`.
///
/// @param old_parent  the parent of `ptr`, or a context that refers to it; NULL for none.
/// @param new_parent  the context that takes over; NULL for none.
/// @param ptr         a chunk; NULL gives NULL.
/// @return            `ptr`; NULL if it stays where it is: `old_parent` has no hold on it, or as for `talloc_steal()`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_reparent(
    old_parent: *const c_void,
    new_parent: *const c_void,
    ptr: *const c_void,
) -> *mut c_void {
    if ptr.is_null() {
        return null_mut();
    }
    // SAFETY: contract.
    unsafe {
        let moves = |old, new, chunk| or_ring(new, chunk, ops::reparent(old, new, chunk));
        match with_three(old_parent, new_parent, ptr, moves) {
            Ok(result) => moved(ptr, result, c"talloc_reparent".as_ptr()),
            Err(_) => null_mut(),
        }
    }
}

/// `ptr` if it was moved, else NULL with the reason said.
///
/// # Safety
/// `location` is a C string or null.
#[inline(always)]
unsafe fn moved(ptr: *const c_void, result: Result<(), StealError>, location: *const c_char) -> *mut c_void {
    if result.is_ok() {
        return ptr.cast_mut();
    }
    // SAFETY: as the caller promises.
    unsafe { unmoved(result, location) }
}

/// # Safety
/// `location` is a C string or null.
#[cold]
unsafe fn unmoved(result: Result<(), StealError>, location: *const c_char) -> *mut c_void {
    // SAFETY: as the caller promises.
    unsafe {
        match result {
            Err(StealError::Cycle) => {
                fault::log_line(&[
                    c"ERROR: talloc_steal of a context to one that lies below it at ".as_ptr(),
                    location,
                ]);
            }
            Err(StealError::Dying) => {
                fault::log_line(&[
                    c"ERROR: talloc_steal of a context that is being freed at ".as_ptr(),
                    location,
                ]);
            }
            Err(StealError::SharedContext) => {
                fault::log_line(&[
                    c"ERROR: talloc_steal of a shared context to another at ".as_ptr(),
                    location,
                ]);
                fault::invalid();
            }
            Err(StealError::OutOfMemory) => fault::no_memory(AllocError::OutOfMemory),
            Ok(()) | Err(StealError::NotOwned) => {}
        }
        null_mut()
    }
}
