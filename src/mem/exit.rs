//! Whether the end of the library is that of the process or that of dlclose(): both run the same
//! destructors.
//!
//! When the process exits, a semaphore is posted by an exit handler. The handler is the C library's own
//! `sem_post` and the semaphore lies in its heap, so that both outlive this library, should it be unloaded
//! before: those few bytes are left behind each time.
//!
//! Exit handlers run in the reverse order of their registration, and the loader's, which runs the
//! destructors, is registered when `main` is about to start. One registered before that comes too late.
//! Therefore three are registered: when the library is loaded (which also makes the semaphore, in a thread
//! that has a heap of the C library's anyway), by the first thread that allocates, perhaps before `main`,
//! and by the second, which hardly is. A process in which all come too late has one thread, and nothing to
//! lose.

use core::ffi::{c_int, c_void};
use core::ptr::{null, null_mut};
use core::sync::atomic::{
    AtomicPtr, AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

/// How many handlers are registered.
const HANDLERS: u32 = 3;

static EXITING: AtomicPtr<libc::sem_t> = AtomicPtr::new(null_mut());
static REGISTERED: AtomicU32 = AtomicU32::new(0);

unsafe extern "C" {
    fn __cxa_atexit(
        handler: unsafe extern "C" fn(*mut libc::sem_t) -> c_int,
        argument: *mut libc::sem_t,
        library: *const c_void,
    ) -> c_int;
}

/// The library has been loaded, or a thread has come that had no heap. The caller holds a lock.
pub(super) fn watch() {
    // Miri has no semaphores, and unloads no libraries.
    if cfg!(miri) || REGISTERED.load(Relaxed) >= HANDLERS {
        return;
    }
    REGISTERED.store(REGISTERED.load(Relaxed) + 1, Relaxed);
    let semaphore = semaphore();
    if !semaphore.is_null() {
        // SAFETY: sem_post() takes just a pointer to a semaphore; a handler that belongs to no library is
        // called only when the process exits.
        unsafe { __cxa_atexit(libc::sem_post, semaphore, null()) };
    }
}

fn semaphore() -> *mut libc::sem_t {
    let made = EXITING.load(Acquire);
    if !made.is_null() {
        return made;
    }
    // SAFETY: a block of the size of a semaphore, which becomes one.
    unsafe {
        let semaphore: *mut libc::sem_t = libc::malloc(size_of::<libc::sem_t>()).cast();
        if semaphore.is_null() || libc::sem_init(semaphore, 0, 0) != 0 {
            return null_mut();
        }
        EXITING.store(semaphore, Release);
        semaphore
    }
}

/// Whether the process is exiting. When that is not known, it is.
pub(super) fn is_exiting() -> bool {
    let semaphore = EXITING.load(Acquire);
    let mut posted = 0;
    // SAFETY: a semaphore that lives as long as the process, and a number to fill.
    semaphore.is_null() || unsafe { libc::sem_getvalue(semaphore, &raw mut posted) } != 0 || posted > 0
}
