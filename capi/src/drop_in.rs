//! Which of the libraries this is: all are made from one object, and the linker tells them apart (`shim/drop_in.c`).

use core::ffi::c_int;

unsafe extern "C" {
    safe fn tmempool_shim_is_drop_in() -> c_int;
}

/// Whether this is the drop-in, under programs that were compiled for libtalloc.
#[cold]
pub(crate) fn is_drop_in() -> bool {
    tmempool_shim_is_drop_in() != 0
}
