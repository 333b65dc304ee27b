//! The chunks behind handles: how they are found, how they get a handle, and how it ends.
//!
//! The number of a handle's slot is noted in the chunk's side record. The chunk's finalizer, which nobody can
//! take away, ends the handle, whoever frees the chunk and through whichever ancestor. What belongs to a
//! shared context is entered before it is used.
//!
//! Who calls this: `handle.rs`, in its thread's turn; the core, when a chunk with a handle is freed.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::transmute;
use core::ptr::{NonNull, null, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering::Acquire, Ordering::Release};
use tmempool::error::{AllocError, FreeError};
use tmempool::ops;
use tmempool::tree::Chunk;

use crate::fault::{self, handle_refused};
use crate::handle::tm_handle;
use crate::handle_table::{self, Fate, Table, Watch, number_of};
use crate::turn::Turn;

/// The user's function that is asked before a watched chunk is freed, and says [`LET_GO`] if it may be.
pub(crate) type Watcher = unsafe extern "C" fn(handle: tm_handle) -> c_int;

/// What a watcher says to let a chunk go; with anything else it keeps it.
const LET_GO: c_int = 1;

static WATCHER: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// The key under which each thread has the place of the free that it is in, plus one; 0 while there is
/// none.
static PLACE: AtomicU32 = AtomicU32::new(0);

/// The name of a chunk whose destructor has run.
const ENDED: &CStr = c"(being freed)";

/// Calls `use_it` with the live chunk of `handle`; else errno says that there is none. What belongs to a shared
/// context is entered meanwhile, so `use_it` calls no foreign code but what the verbs of the core do.
#[inline]
pub(crate) fn with_alive<R>(handle: tm_handle, use_it: impl FnOnce(Chunk) -> R) -> Option<R> {
    let fate = Table::hold().fate(handle);
    let Fate::Alive(payload) = fate else { return stale() };
    // SAFETY: the handle has not ended, so nobody has freed the chunk; contract.
    match unsafe { Chunk::check_quick(payload) } {
        Some(chunk) if chunk.handle() == note(handle) => Some(use_it(chunk)),
        _ => with_entered(0, handle, |_, chunk| use_it(chunk)),
    }
}

/// [`with_alive`] of `owner`, where 0 stands for no parent.
#[inline]
pub(crate) fn with_owner<R>(owner: tm_handle, use_it: impl FnOnce(Option<Chunk>) -> R) -> Option<R> {
    if owner == 0 {
        return Some(use_it(None));
    }
    with_alive(owner, |chunk| use_it(Some(chunk)))
}

/// [`with_owner`] of `owner`, together with the live chunk of `handle`.
pub(crate) fn with_both<R>(
    owner: tm_handle,
    handle: tm_handle,
    use_them: impl FnOnce(Option<Chunk>, Chunk) -> R,
) -> Option<R> {
    if owner == 0 {
        return with_alive(handle, |chunk| use_them(None, chunk));
    }
    with_entered(owner, handle, use_them)
}

/// [`with_both`], the whole of it.
#[inline(never)]
fn with_entered<R>(
    owner: tm_handle,
    handle: tm_handle,
    use_them: impl FnOnce(Option<Chunk>, Chunk) -> R,
) -> Option<R> {
    let payload = |handle| match Table::hold().fate(handle) {
        Fate::Alive(payload) => payload.cast_const(),
        _ => null(),
    };
    let payloads = [payload(owner), payload(handle)];
    if payloads[1].is_null() || (owner != 0 && payloads[0].is_null()) {
        return stale();
    }
    // SAFETY: neither handle has ended; contract. What has been freed since, in a shared context, is found out.
    match unsafe { ops::enter(payloads) } {
        Ok((entry, [above, Some(chunk)]))
            if chunk.handle() == note(handle) && above.is_none_or(|above| above.handle() == note(owner)) =>
        {
            let result = use_them(above, chunk);
            drop(entry);
            Some(result)
        }
        _ => stale(),
    }
}

fn stale<R>() -> Option<R> {
    handle_refused(libc::ESTALE);
    None
}

/// What is noted in a side record: 0 is for nothing.
fn note(handle: tm_handle) -> u32 {
    number_of(handle) + 1
}

/// The handle that `chunk` has.
pub(crate) fn noted(chunk: Chunk) -> Option<tm_handle> {
    match chunk.handle() {
        0 => None,
        note => Table::hold().handle_at(note - 1),
    }
}

/// The handle to a new chunk; 0 with errno set.
///
/// # Safety
/// Contract; the chunk is nobody else's.
pub(crate) unsafe fn made(chunk: Result<Chunk, AllocError>, name: *const c_char) -> tm_handle {
    let chunk = match chunk {
        Ok(chunk) => chunk,
        Err(error) => {
            fault::no_memory(error);
            return 0;
        }
    };
    // SAFETY: the caller's.
    unsafe {
        noted_now(chunk, name).unwrap_or_else(|| {
            let _ = ops::free(chunk, null());
            0
        })
    }
}

/// Makes a handle to `chunk`, which has none, and no finalizer; None with errno set, and the chunk as it was.
///
/// # Safety
/// Contract; the chunk is alive.
pub(crate) unsafe fn noted_now(chunk: Chunk, name: *const c_char) -> Option<tm_handle> {
    let out_of_memory = || {
        handle_refused(libc::ENOMEM);
        None
    };
    let table = Table::hold();
    let Some(handle) = table.take(chunk.ptr()) else { return out_of_memory() };
    // SAFETY: the caller's; `name` is a C string or null; no name was kept with the handle before.
    unsafe {
        let kept = if name.is_null() { Some(null()) } else { table.keep_name(handle, CStr::from_ptr(name)) };
        let Some(kept) = kept else {
            table.retire(number_of(handle), null());
            return out_of_memory();
        };
        if chunk.set_handle(note(handle)).is_err() || ops::set_finalizer(chunk, end).is_err() {
            table.retire(number_of(handle), null());
            return out_of_memory();
        }
        if !kept.is_null() {
            chunk.set_name(kept);
        }
    }
    Some(handle)
}

/// The destructor of every chunk that was ever watched.
unsafe extern "C" fn ask(payload: *mut c_void) -> c_int {
    // SAFETY: the core calls this with a live chunk, whose tree is this thread's.
    let Ok(chunk) = (unsafe { Chunk::check(payload) }) else { return 0 };
    let Some(number) = chunk.handle().checked_sub(1) else { return 0 };
    let asked = {
        let table = Table::hold();
        if table.watch(number) == Watch::Asked { table.handle_at(number) } else { None }
    };
    let (Some(handle), Some(watcher)) = (asked, watcher()) else { return 0 };
    let _turn = Turn::take();
    // SAFETY: the user's function expects a handle.
    if unsafe { watcher(handle) } == LET_GO { 0 } else { -1 }
}

/// The finalizer of every chunk with a handle.
unsafe fn end(payload: NonNull<c_void>) {
    // SAFETY: the core calls this with a live chunk, whose tree is this thread's.
    let Ok(chunk) = (unsafe { Chunk::check(payload.as_ptr()) }) else { return };
    if let Some(number) = chunk.handle().checked_sub(1) {
        Table::hold().retire(number, place());
        chunk.set_name(ENDED.as_ptr());
        let _ = chunk.set_handle(0);
    }
}

/// Sets the function that is asked.
pub(crate) fn set_watcher(watcher: Option<Watcher>) {
    WATCHER.store(watcher.map_or(null_mut(), |watcher| watcher as *mut c_void), Release);
}

fn watcher() -> Option<Watcher> {
    // SAFETY: the word is null or a Watcher that tm_handle_set_watcher() stored, and an Option of one is
    // such a word.
    unsafe { transmute(WATCHER.load(Acquire)) }
}

/// Tries what frees something until it is not in another thread's way; gives 0, or -1 with errno set.
pub(crate) fn until_done(attempt: impl Fn() -> Option<Result<(), FreeError>>) -> c_int {
    loop {
        match attempt() {
            Some(Ok(())) => return 0,
            Some(Err(FreeError::Again)) => continue,
            Some(Err(FreeError::Corrupt(found))) => fault::bad_pointer(found),
            Some(Err(FreeError::HasReferences)) => handle_refused(libc::EBUSY),
            Some(Err(FreeError::NotOwned)) => handle_refused(libc::EINVAL),
            Some(Err(FreeError::Vetoed)) => handle_refused(libc::EPERM),
            None => {}
        }
        return -1;
    }
}

/// Notes whether the watcher is asked about `chunk`; else gives the reason why not, as errno has it.
///
/// # Safety
/// Contract; the chunk is alive.
pub(crate) unsafe fn set_watch(chunk: Chunk, number: u32, watch: Watch) -> Result<(), c_int> {
    let before = Table::hold().watch(number);
    if before == Watch::Never {
        if chunk.has_destructor() {
            return Err(libc::EBUSY);
        }
        // SAFETY: the caller's.
        unsafe { ops::set_destructor(chunk, Some(ask)) }.map_err(|_| libc::ENOMEM)?;
    }
    Table::hold().set_watch(number, watch);
    Ok(())
}

/// Does `job` with `location` as the place of this thread's free. Frees may lie in each other.
pub(crate) fn at_place<R>(location: *const c_char, job: impl FnOnce() -> R) -> R {
    let Some(key) = key() else { return job() };
    let outer = place();
    // SAFETY: the key exists. Where the threads library has no memory for it, the place is not known.
    unsafe { libc::pthread_setspecific(key, location.cast()) };
    let result = job();
    // SAFETY: as above.
    unsafe { libc::pthread_setspecific(key, outer.cast()) };
    result
}

/// Where the free under way in this thread was called; null where that is not known.
fn place() -> *const c_char {
    match PLACE.load(Acquire) {
        0 => null(),
        // SAFETY: the key exists.
        key => unsafe { libc::pthread_getspecific(key - 1) }.cast(),
    }
}

fn key() -> Option<libc::pthread_key_t> {
    if PLACE.load(Acquire) == 0 {
        let _table = Table::hold();
        if PLACE.load(Acquire) == 0 {
            let mut key: libc::pthread_key_t = 0;
            // SAFETY: a key to fill.
            if unsafe { libc::pthread_key_create(&raw mut key, None) } != 0 {
                return None;
            }
            PLACE.store(key + 1, Release);
        }
    }
    Some(PLACE.load(Acquire) - 1)
}

/// The end of the library by dlclose(): gives the table and the key back.
pub(crate) fn unload() {
    handle_table::unload();
    let key = PLACE.swap(0, Release);
    if key != 0 {
        // SAFETY: the key exists, and nobody finds it any more.
        unsafe { libc::pthread_key_delete(key - 1) };
    }
}
