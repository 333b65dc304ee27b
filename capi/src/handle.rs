//! Handles: numbers that stand for chunks which may be gone, and say so.
//!
//! They are for callers who cannot know whether a chunk still lives: scripts, other languages, tables of
//! sessions. A handle is noted in the chunk's side record, and the chunk's finalizer, which nobody can take
//! away, ends it, whoever frees the chunk and through whichever ancestor. The table itself is in
//! `handle_table.rs`.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::transmute;
use core::ptr::{self, NonNull, null, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering::Acquire, Ordering::Release};
use tmempool::error::FreeError;
use tmempool::ops;
use tmempool::tree::Chunk;

use crate::fault::{self, handle_refused};
use crate::handle_table::{self, Fate, Table, Watch, number_of};
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
/// a time.
#[allow(non_camel_case_types, reason = "the name in C")]
pub type tm_handle = u64;

type Watcher = unsafe extern "C" fn(handle: tm_handle) -> c_int;

static WATCHER: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// The key under which each thread has the place of the free that it is in, plus one; 0 while there is
/// none.
static PLACE: AtomicU32 = AtomicU32::new(0);

/// The name of a chunk whose destructor has run.
const ENDED: &CStr = c"(being freed)";

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
/// @param ptr   a chunk that is no pool, cache or reserve of this library's own, but for
///              `talloc_pool()`.
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
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_handle_lock() {
    turn::take();
}

/// Ends what tm_handle_lock() began.
///
/// @return  0; -1 with errno EPERM if it is not this thread's turn.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_handle_unlock() -> c_int {
    if turn::give() {
        0
    } else {
        handle_refused(libc::EPERM);
        -1
    }
}

/// Sets the function that is called when a watched chunk is about to be freed, in the place of a
/// destructor: with the chunk and its children still alive, and free to do anything. It returns 0 to go
/// on, or -1 to keep the chunk alive. NULL for none: then nothing is asked.
///
/// It is called in the turn of whoever frees, and must not wait for another thread that uses handles.
///
/// Safe to call from any thread, and for the whole process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_handle_set_watcher(
    watcher: Option<unsafe extern "C" fn(handle: tm_handle) -> c_int>,
) {
    WATCHER.store(watcher.map_or(null_mut(), |watcher| watcher as *mut c_void), Release);
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

/// Calls `use_it` with the live chunk of `handle`; else errno says that there is none. What belongs to a shared
/// context is entered meanwhile, so `use_it` calls no foreign code but what the verbs of the core do.
#[inline]
fn with_alive<R>(handle: tm_handle, use_it: impl FnOnce(Chunk) -> R) -> Option<R> {
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
fn with_owner<R>(owner: tm_handle, use_it: impl FnOnce(Option<Chunk>) -> R) -> Option<R> {
    if owner == 0 {
        return Some(use_it(None));
    }
    with_alive(owner, |chunk| use_it(Some(chunk)))
}

/// [`with_owner`] of `owner`, together with the live chunk of `handle`.
fn with_both<R>(
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
fn noted(chunk: Chunk) -> Option<tm_handle> {
    match chunk.handle() {
        0 => None,
        note => Table::hold().handle_at(note - 1),
    }
}

/// The handle to a new chunk; 0 with errno set.
///
/// # Safety
/// Contract; the chunk is nobody else's.
unsafe fn made(chunk: Result<Chunk, tmempool::error::AllocError>, name: *const c_char) -> tm_handle {
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
unsafe fn noted_now(chunk: Chunk, name: *const c_char) -> Option<tm_handle> {
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
    unsafe { watcher(handle) }
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

fn watcher() -> Option<Watcher> {
    // SAFETY: the word is null or a Watcher that tm_handle_set_watcher() stored, and an Option of one is
    // such a word.
    unsafe { transmute(WATCHER.load(Acquire)) }
}

/// Tries what frees something until it is not in another thread's way; gives 0, or -1 with errno set.
fn until_done(attempt: impl Fn() -> Option<Result<(), FreeError>>) -> c_int {
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
unsafe fn set_watch(chunk: Chunk, number: u32, watch: Watch) -> Result<(), c_int> {
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
fn at_place<R>(location: *const c_char, job: impl FnOnce() -> R) -> R {
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
