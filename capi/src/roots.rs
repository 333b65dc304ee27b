//! The two contexts that belong to the process, and what is done with them when it exits.

use core::ffi::{c_int, c_void};
use core::ptr::null;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use tmempool::ops;

use crate::hooks::stderr;
use crate::pointer::given;
use crate::report;

/// The depth of the report at exit on what is left: 0 for none, 1 for children, -1 for all, which once
/// asked for stays.
static LEAK_REPORT: AtomicI32 = AtomicI32::new(0);

/// Whether the autofree context has been given out, and is to be freed at exit.
static AUTOFREE: AtomicBool = AtomicBool::new(false);

/// Whether the exit handler is registered and has not run.
static EXIT_HANDLER: AtomicBool = AtomicBool::new(false);

/// Registered by the first that needs it: it runs before the handlers that the program registered
/// earlier, which may use what it frees no more. The C library ties a handler of atexit() to the
/// library that it is linked into, so that unloading the library runs it.
fn register_exit_handler() {
    if !EXIT_HANDLER.swap(true, Ordering::AcqRel) {
        // SAFETY: the handler has no preconditions. Should there be no memory for the registration,
        // the end of the library runs it.
        unsafe {
            libc::atexit(at_exit);
        }
    }
}

/// Frees the autofree context, and reports what is left where that was asked for.
pub(crate) extern "C" fn at_exit() {
    if !EXIT_HANDLER.swap(false, Ordering::AcqRel) {
        return;
    }
    // SAFETY: contract, for whichever thread exits.
    unsafe {
        if AUTOFREE.swap(false, Ordering::AcqRel)
            && let Ok(autofree) = ops::autofree_context()
        {
            let _ = ops::free(autofree, c"exit".as_ptr());
        }
        let depth = LEAK_REPORT.load(Ordering::Acquire);
        if depth != 0 && ops::null_context().is_some_and(|all| ops::total_size(all) > 0) {
            report::write(null(), 0, depth, stderr());
        }
    }
}

/// A context that is freed when the process exits, or the library is unloaded.
///
/// @return  the same context each time; NULL with errno ENOMEM.
#[deprecated]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_autofree_context() -> *mut c_void {
    AUTOFREE.store(true, Ordering::Release);
    register_exit_handler();
    // SAFETY: contract.
    unsafe { given(ops::autofree_context()) }
}

/// Tracks what is allocated with no parent: from now on such chunks become children of a context
/// named "null_context", which reports on NULL show. The autofree context becomes one, too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_enable_null_tracking() {
    // SAFETY: contract.
    unsafe { ops::enable_null_tracking(true) }
}

/// `talloc_enable_null_tracking()`, with the autofree context left out.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_enable_null_tracking_no_autofree() {
    // SAFETY: contract.
    unsafe { ops::enable_null_tracking(false) }
}

/// Ends the tracking; what has been tracked has no parent again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_disable_null_tracking() {
    // SAFETY: contract.
    unsafe { ops::disable_null_tracking() }
}

/// Enables null tracking, and a report at exit, to the standard error output, on the children of the
/// null context, if any bytes are left.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_enable_leak_report() {
    // SAFETY: contract.
    unsafe { report_leaks(1) }
}

/// Enables null tracking, and a report at exit, to the standard error output, on all that is below
/// the null context, if any bytes are left.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_enable_leak_report_full() {
    // SAFETY: contract.
    unsafe { report_leaks(-1) }
}

/// # Safety
/// Contract.
unsafe fn report_leaks(depth: c_int) {
    if depth < 0 {
        LEAK_REPORT.store(depth, Ordering::Release);
    } else {
        let _ = LEAK_REPORT.compare_exchange(0, depth, Ordering::AcqRel, Ordering::Relaxed);
    }
    register_exit_handler();
    // SAFETY: contract.
    unsafe { ops::enable_null_tracking(true) }
}
