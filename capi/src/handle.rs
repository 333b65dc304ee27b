//! Handles: numbers that stand for chunks which may be gone, and say so.
//!
//! They are for callers who cannot know whether a chunk still lives: scripts, other languages, tables of
//! sessions. Each function takes its thread's turn (`turn.rs`) and finds the chunk (`handle_chunk.rs`) by
//! its slot in the table (`handle_table.rs`).

use core::ffi::{c_char, c_int, c_void};
use core::ptr::{self, null, null_mut};
use tmempool::error::FreeError;
use tmempool::ops;
use tmempool::tree::Chunk;

use crate::fault::{self, handle_refused};
use crate::handle_chunk::{
    at_place, made, noted, noted_now, set_watch, set_watcher, until_done, with_alive, with_both, with_owner,
};
use crate::handle_table::{Fate, Table, Watch, number_of};
use crate::pointer::with;
use crate::turn::{self, Turn};

/// A chunk that may be gone: a number that stands for one chunk of the process and never for another.
/// 0 stands for none.
///
/// A function that is given a handle whose chunk was freed sets errno to ESTALE and gives NULL, 0 or
/// -1; so it is with any other number. Handles take nothing from a chunk's life: it is freed as any
/// other, through its parents too, by whoever frees them.
///
/// Trees that are used by their handles alone may be used by any thread: the functions take turns.
/// Where a chunk's pointer is used, too, it is as with all functions: one tree is used by one thread at
/// a time, unless it is shared.
#[allow(non_camel_case_types, reason = "the name in C")]
pub type tm_handle = u64;

/// Allocates `size` bytes of zeros under the chunk of `parent`, and a handle to them.
///
/// @param parent  0 for none.
/// @param size    bytes; less than 256 MiB.
/// @param name    copied; NULL for none.
/// @return        the handle; 0 with errno ESTALE, or ENOMEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_handle_new(parent: tm_handle, size: usize, name: *const c_char) -> tm_handle {
    let _turn = Turn::take();
    // SAFETY: contract; the parent is alive.
    with_owner(parent, |parent| unsafe { made(ops::alloc_zeroed(parent, size), name) }).unwrap_or(0)
}

/// Copies `size` bytes from `p` into a new chunk under the chunk of `parent`, and makes a handle to it.
///
/// @param parent  0 for none.
/// @param p       at least `size` bytes.
/// @param size    bytes; less than 256 MiB.
/// @param name    copied; NULL for none.
/// @return        the handle; 0 with errno ESTALE, ENOMEM, or EINVAL where `p` is NULL and `size` is not 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_handle_copy(
    parent: tm_handle,
    p: *const c_void,
    size: usize,
    name: *const c_char,
) -> tm_handle {
    if p.is_null() && size > 0 {
        fault::invalid();
        return 0;
    }
    let _turn = Turn::take();
    // SAFETY: contract; the parent is alive, and the new chunk has room for `size` bytes.
    with_owner(parent, |parent| unsafe {
        let chunk = ops::alloc(parent, size);
        if let Ok(chunk) = chunk
            && size > 0
        {
            ptr::copy_nonoverlapping(p.cast::<u8>(), chunk.ptr().cast::<u8>(), size);
        }
        made(chunk, name)
    })
    .unwrap_or(0)
}

/// The handle of `ptr`, made now if it has none.
///
/// @param ptr   a chunk that is no cache, reserve or managed range.
/// @param name  copied, if it has no handle yet; NULL leaves the name it has.
/// @return      the handle; 0 with errno ENOMEM, or EBUSY where the library itself waits for its end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_handle_of(ptr: *const c_void, name: *const c_char) -> tm_handle {
    let _turn = Turn::take();
    // SAFETY: contract.
    let handle = unsafe {
        with(ptr, |chunk| match noted(chunk) {
            Some(handle) => Some(handle),
            None if chunk.has_finalizer() => None,
            None => Some(noted_now(chunk, name).unwrap_or(0)),
        })
    };
    match handle {
        Ok(Some(handle)) => handle,
        Ok(None) => {
            handle_refused(libc::EBUSY);
            0
        }
        Err(_) => 0,
    }
}

/// The handle of `ptr`; 0 if it has none, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_handle_find(ptr: *const c_void) -> tm_handle {
    if ptr.is_null() {
        return 0;
    }
    let _turn = Turn::take();
    // SAFETY: contract.
    unsafe { with(ptr, noted) }.ok().flatten().unwrap_or(0)
}

/// The chunk of `handle`.
///
/// @return  the payload; NULL with errno ESTALE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_handle_get(handle: tm_handle) -> *mut c_void {
    let _turn = Turn::take();
    with_alive(handle, Chunk::ptr).unwrap_or(null_mut())
}

/// Frees the chunk of `handle`, with all below it, unless it has references.
///
/// @param handle    a handle.
/// @param location  where the caller stands, "file:line", which all handles that end with this free
///                  will tell; kept as a pointer, for good; NULL for none.
/// @return          0; -1 with errno ESTALE; EBUSY if it has references; EPERM if it, or its watcher,
///                  refuses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_handle_free(handle: tm_handle, location: *const c_char) -> c_int {
    let _turn = Turn::take();
    until_done(|| {
        // SAFETY: contract; the chunk is alive.
        with_alive(handle, |chunk| unsafe {
            if ops::reference_count(chunk) > 0 {
                return Err(FreeError::HasReferences);
            }
            at_place(location, || ops::free(chunk, location))
        })
    })
}

/// Ends what `owner` has of the chunk of `handle`, as talloc_unlink() does.
///
/// @param owner     the parent, or who refers to it; 0 for the null context.
/// @param handle    a handle.
/// @param location  as for tm_handle_free().
/// @return          0; -1 with errno ESTALE; EINVAL if `owner` has nothing of it; EPERM if it, or its
///                  watcher, refuses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_handle_unlink(
    owner: tm_handle,
    handle: tm_handle,
    location: *const c_char,
) -> c_int {
    let _turn = Turn::take();
    until_done(|| {
        // SAFETY: contract; both are alive.
        with_both(owner, handle, |owner, chunk| unsafe {
            at_place(location, || ops::unlink(owner, chunk, location))
        })
    })
}

/// Frees all below the chunk of `handle`, as tm_reset() does.
///
/// @param handle    a handle.
/// @param location  as for tm_handle_free().
/// @return          0; -1 with errno ESTALE, or if what lies below it is damaged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_handle_reset(handle: tm_handle, location: *const c_char) -> c_int {
    let _turn = Turn::take();
    until_done(|| {
        // SAFETY: contract; the chunk is alive.
        with_alive(handle, |chunk| unsafe { at_place(location, || ops::reset(chunk, location)) })
    })
}

/// Says whether the chunk of `handle` was freed, and where.
///
/// The strings stay until some thousand handles more have been made and ended.
///
/// @param handle    a handle.
/// @param name      set to the name that the handle was made with; NULL if that is not known any more.
///                  NULL if it does not matter.
/// @param location  set to what the function that freed it was given; NULL if that was not one of
///                  these, or is not known. NULL if it does not matter.
/// @return          0 if it lives; 1 if it was freed; -1 if it was freed long ago, or never was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_handle_ended(
    handle: tm_handle,
    name: *mut *const c_char,
    location: *mut *const c_char,
) -> c_int {
    let table = Table::hold();
    let (verdict, place) = match table.fate(handle) {
        Fate::Alive(_) => (0, null()),
        Fate::Freed { location } => (1, location),
        Fate::Unknown => (-1, null()),
    };
    // SAFETY: the caller's variables, or null.
    unsafe {
        if !name.is_null() {
            *name = table.name(handle);
        }
        if !location.is_null() {
            *location = place;
        }
    }
    verdict
}

/// Says whether the watcher is asked before the chunk of `handle` is freed. The first time, it takes
/// the place of the chunk's destructor, which must not be set to another from then on.
///
/// @param watched  1 or 0, as it is at first.
/// @return         0; -1 with errno ESTALE; ENOMEM; EBUSY if the chunk has a destructor.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_handle_watch(handle: tm_handle, watched: c_int) -> c_int {
    let _turn = Turn::take();
    let watch = if watched != 0 { Watch::Asked } else { Watch::Unasked };
    // SAFETY: contract; the chunk is alive.
    match with_alive(handle, |chunk| unsafe { set_watch(chunk, number_of(handle), watch) }) {
        Some(Ok(())) => 0,
        Some(Err(reason)) => {
            handle_refused(reason);
            -1
        }
        None => -1,
    }
}

/// Waits for this thread's turn to use handles, and keeps it until tm_handle_unlock(): other threads'
/// calls wait meanwhile. A thread may do so several times.
///
/// @return  how many times it has done so by now: 1 the first time. The library's own turns count, too, in
///          a watcher.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_handle_lock() -> c_int {
    turn::take() as c_int
}

/// Ends what tm_handle_lock() began.
///
/// @return  how many times more this thread has its turn: 0 when it has ended; -1 with errno EPERM if it is
///          not this thread's turn.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_handle_unlock() -> c_int {
    match turn::give() {
        Some(depth) => depth as c_int,
        None => {
            handle_refused(libc::EPERM);
            -1
        }
    }
}

/// Sets the function that is called when a watched chunk is about to be freed, in the place of a
/// destructor: with the chunk and its children still alive, and free to do anything. It returns 1 to let
/// the chunk go; anything else keeps it alive. NULL for none: then nothing is asked.
///
/// It is called in the turn of whoever frees, and must not wait for another thread that uses handles.
///
/// Safe to call from any thread, and for the whole process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_handle_set_watcher(
    watcher: Option<unsafe extern "C" fn(handle: tm_handle) -> c_int>,
) {
    set_watcher(watcher);
}

/// Fills `roots` with the handles above whose chunks no other chunk with a handle lies: the roots of all
/// trees that have been made by these functions.
///
/// @param roots  room for `room` handles; NULL where that is 0.
/// @return       how many there are; the first `room` of them have been written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_handle_roots(roots: *mut tm_handle, room: usize) -> usize {
    let _turn = Turn::take();
    let mut found = 0;
    let mut number = 0;
    loop {
        let handle = {
            let table = Table::hold();
            if number >= table.slots() {
                return found;
            }
            table.handle_at(number)
        };
        number += 1;
        let Some(handle) = handle else { continue };
        let is_root = with_alive(handle, |chunk| {
            core::iter::successors(chunk.parent(), |c| c.parent()).all(|above| above.handle() == 0)
        });
        if is_root == Some(true) {
            if found < room {
                // SAFETY: the caller has room for that many.
                unsafe { *roots.add(found) = handle };
            }
            found += 1;
        }
    }
}
