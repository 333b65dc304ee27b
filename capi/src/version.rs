//! Which interface of talloc this is.

use core::ffi::c_int;
use tmempool::process;

/// The major number of the talloc interface that the library implements: 2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_version_major() -> c_int {
    2
}

/// The minor number of the talloc interface that the library implements: 5.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_version_minor() -> c_int {
    5
}

/// The value that marks the chunks of this process, random in each, for tests of the library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_test_get_magic() -> c_int {
    // SAFETY: the number is there for the life of the process.
    unsafe { *process::magic() }
}
