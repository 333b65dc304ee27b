//! Pools: a buffer taken at once, from which all that is allocated below it is served.

use core::ffi::{c_char, c_uint, c_void};
use core::ptr::null_mut;
use tmempool::ops;
use tmempool::tree::chunk::Chunk;
use tmempool::tree::sight::Sight;

use crate::pointer::{given, refused, with_context};

/// Allocates a pool of `size` bytes under `context`. Its descendants come from it while it has
/// room, and from the heap when it has not. It has no payload of its own: it is a context.
///
/// @param context  the parent; NULL for none.
/// @param size     bytes for descendants and their headers; less than 256 MiB.
/// @return         the pool; NULL with errno ENOMEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_pool(context: *const c_void, size: usize) -> *mut c_void {
    // SAFETY: contract.
    unsafe { with_context(context, |parent| given(ops::pool(parent, size))).unwrap_or(null_mut()) }
}

/// Allocates an object that is at the same time a pool for what belongs to it. There is room for
/// the announced number of descendants with their headers.
///
/// Where no more than 8 are announced, of 4 KiB together at most, and nothing above has a limit or
/// counts (`tm_stats_enable()`), it is a pool in name only: it cannot be resized, as no pool can, but its
/// descendants come from the heap, which takes less time and memory for so few, and may be refused as
/// all else from there.
///
/// @param ctx                    the parent; NULL for none.
/// @param type_size              bytes in the object itself.
/// @param type_name              its name, kept as a pointer.
/// @param num_subobjects         how many descendants will be allocated.
/// @param total_subobjects_size  bytes in all of them.
/// @return                       the object, aligned to 16 bytes and not initialised; NULL with
///                               errno ENOMEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _talloc_pooled_object(
    ctx: *const c_void,
    type_size: usize,
    type_name: *const c_char,
    num_subobjects: c_uint,
    total_subobjects_size: usize,
) -> *mut c_void {
    let (subobjects, size) = (num_subobjects as usize, total_subobjects_size);
    // SAFETY: contract.
    unsafe {
        if let Some(parent) = Chunk::sight(ctx).and_then(Sight::plain_parent)
            && let Some(object) = ops::object_found(parent, type_size, subobjects, size, type_name)
        {
            return object.ptr();
        }
        pooled_object_slow(ctx, type_size, type_name, subobjects, size)
    }
}

/// [`_talloc_pooled_object`], the whole of it.
///
/// # Safety
/// Contract.
#[inline(never)]
unsafe fn pooled_object_slow(
    ctx: *const c_void,
    type_size: usize,
    type_name: *const c_char,
    subobjects: usize,
    subobjects_size: usize,
) -> *mut c_void {
    // SAFETY: contract.
    unsafe {
        with_context(ctx, |parent| {
            match ops::object_with_room(parent, type_size, subobjects, subobjects_size) {
                Ok(chunk) => {
                    chunk.set_name(type_name);
                    chunk.ptr()
                }
                Err(error) => refused(error),
            }
        })
        .unwrap_or(null_mut())
    }
}
