//! Where messages go and what an abort does: the two functions that a program may install.
//!
//! Both are one atomic word each, so that they may be set and called from any thread.

use core::ffi::{c_char, c_void};
use core::mem::transmute;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

type Hook = unsafe extern "C" fn(*const c_char);

/// The log function, or null: then messages are dropped.
static LOG: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// The abort function, or null: then the process aborts.
static ABORT: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

fn install(place: &AtomicPtr<c_void>, hook: Option<Hook>) {
    place.store(hook.map_or(null_mut(), |hook| hook as *mut c_void), Ordering::Release);
}

fn installed(place: &AtomicPtr<c_void>) -> Option<Hook> {
    // SAFETY: the word is null or a Hook that install() stored, and Option<Hook> is such a word.
    unsafe { transmute(place.load(Ordering::Acquire)) }
}

/// Hands one whole message to the log function.
///
/// # Safety
/// `message` is a C string.
pub(crate) unsafe fn log(message: *const c_char) {
    if let Some(log) = installed(&LOG) {
        // SAFETY: the user's function expects a C string.
        unsafe { log(message) }
    }
}

/// Calls the abort function, which may return, or aborts the process.
///
/// # Safety
/// `reason` is a C string.
pub(crate) unsafe fn abort(reason: *const c_char) {
    match installed(&ABORT) {
        // SAFETY: the user's function expects a C string.
        Some(abort) => unsafe { abort(reason) },
        // SAFETY: abort has no preconditions.
        None => unsafe { libc::abort() },
    }
}

/// Sets the function to be called, with the reason, when a program error is found: a pointer that
/// is no live chunk, or a type that does not match. It may return; the failing call then has no
/// effect and gives NULL, 0 or -1. NULL restores the default, abort(3).
///
/// Safe to call from any thread, and for the whole process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_set_abort_fn(abort_fn: Option<unsafe extern "C" fn(reason: *const c_char)>) {
    install(&ABORT, abort_fn);
}

/// Sets the function that is given each log message, whole and with its newline. NULL, the
/// default, drops messages.
///
/// Safe to call from any thread, and for the whole process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_set_log_fn(log_fn: Option<unsafe extern "C" fn(message: *const c_char)>) {
    install(&LOG, log_fn);
}

/// Sends log messages to the standard error output.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_set_log_stderr() {
    install(&LOG, Some(log_to_stderr));
}

unsafe extern "C" fn log_to_stderr(message: *const c_char) {
    // SAFETY: `message` is a C string (contract of log); stderr is open or the write fails.
    unsafe {
        libc::fputs(message, stderr());
    }
}

/// The C library's standard error stream.
pub(crate) fn stderr() -> *mut libc::FILE {
    unsafe extern "C" {
        static stderr: *mut libc::FILE;
    }
    // SAFETY: the C library defines the variable and sets it before any of our code runs.
    unsafe { stderr }
}
