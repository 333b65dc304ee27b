//! Limits on what a context and all below it may take.

use core::ffi::{c_int, c_void};
use tmempool::ops;

use crate::pointer::{refused, with};

/// Limits the memory of `ctx` and all below it, headers included, to `max_size` bytes. What would
/// pass the limit is refused with errno ENOMEM; what is there already stays. Members of a pool do
/// not count, their pool does.
///
/// @param ctx       a chunk.
/// @param max_size  bytes; 0 for no limit.
/// @return          0; -1 with errno ENOMEM.
#[deprecated]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_set_memlimit(ctx: *const c_void, max_size: usize) -> c_int {
    // SAFETY: contract.
    unsafe {
        let Ok(limited) = with(ctx, |chunk| ops::set_limit(chunk, max_size)) else {
            return -1;
        };
        match limited {
            Ok(()) => 0,
            Err(error) => {
                refused(error);
                -1
            }
        }
    }
}
