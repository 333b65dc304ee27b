//! What the library offers beyond talloc: the functions of `tmempool.h`.

use core::ffi::c_char;
use tmempool::mem;

/// The version of the library, "major.minor.patch"; a literal.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Gives free memory back to the system now, which otherwise keeps some for what comes next.
///
/// @return  the bytes that were given back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_release_free_memory() -> usize {
    mem::threads::release_free_memory()
}
