//! Collections in a context: the allocator interface for `&Context`.
//!
//! Up to 4 KiB lie in the context's blocks, and their room is used again when they are freed. What is larger is a chunk
//! of its own below the context, so that a growing vector grows in place where it can, and reports show what it
//! takes. So does what wants more than 16 bytes of alignment, as `place` says.

use core::alloc::Layout;
use core::ffi::CStr;
use core::ptr::NonNull;

use super::child::Child;
use super::context::{Context, free};
use super::kind::Kind;
use super::place::{self, PAYLOAD_ALIGN};
use super::state::{LARGEST_ROOM, LOCATION, StateRef};
use crate::error::AllocError;
use crate::ops;

/// The name of the memory of a collection.
const NAME: &CStr = c"collection";

/// Whether a block of this layout lies in the context's own blocks.
#[inline(always)]
fn is_room(layout: Layout) -> bool {
    layout.size() <= LARGEST_ROOM && layout.align() <= PAYLOAD_ALIGN
}

#[inline]
fn allocate(ctx: StateRef, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
    let at = if layout.size() == 0 {
        place::dangling(layout)
    } else if is_room(layout) {
        ctx.take_room(layout.size())?
    } else {
        // SAFETY: the context is alive, and this thread uses its tree.
        unsafe { place::alloc(ctx.chunk(), layout, NAME.as_ptr()) }?
    };
    Ok(NonNull::slice_from_raw_parts(at, layout.size()))
}

/// # Safety
/// `at` was given by [`allocate`] or [`resize`] for `layout`, with the same context, and nobody uses it any more.
#[inline]
unsafe fn deallocate(ctx: StateRef, at: NonNull<u8>, layout: Layout) {
    if layout.size() == 0 {
        return;
    }
    // SAFETY: the caller's. A chunk has no destructor, and nothing below it.
    unsafe {
        if is_room(layout) {
            return ctx.give_room(at, layout.size());
        }
        let chunk = place::chunk_of(at, layout.align());
        if !ops::free_quick(chunk, LOCATION.as_ptr()) {
            let _ = free(chunk);
        }
    }
}

/// Another size for what lies at `at`, which keeps what both sizes share.
///
/// # Safety
/// As for [`deallocate`], if it succeeds; if not, nothing has changed.
unsafe fn resize(
    ctx: StateRef,
    at: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Result<NonNull<[u8]>, AllocError> {
    let in_place = !is_room(old) && !is_room(new) && old.align().max(new.align()) <= PAYLOAD_ALIGN;
    if in_place {
        // SAFETY: the caller's. The chunk moves with all of its payload.
        unsafe {
            let chunk = place::chunk_of(at, old.align());
            let (chunk, _) = ops::realloc(chunk, new.size())?;
            chunk.set_name(NAME.as_ptr());
            let at = NonNull::new(chunk.ptr().cast::<u8>()).ok_or(AllocError::OutOfMemory)?;
            return Ok(NonNull::slice_from_raw_parts(at, new.size()));
        }
    }
    let to = allocate(ctx, new)?;
    // SAFETY: two different blocks, each at least this long; the old one is the caller's to give up.
    unsafe {
        to.cast::<u8>().copy_from_nonoverlapping(at, old.size().min(new.size()));
        deallocate(ctx, at, old);
    }
    Ok(to)
}

/// The trait for a handle to a context, by the functions above.
macro_rules! allocator {
    ($handle:ty) => {
        // SAFETY: a block lives until it is deallocated, or the context goes, which is borrowed as long as the
        // allocator and its copies live; all copies are the same reference.
        unsafe impl<K: Kind> Allocator for $handle {
            #[inline]
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
                super::allocate(self.state(), layout).map_err(|_| AllocError)
            }

            #[inline]
            unsafe fn deallocate(&self, at: NonNull<u8>, layout: Layout) {
                // SAFETY: the caller's.
                unsafe { super::deallocate(self.state(), at, layout) }
            }

            #[inline]
            unsafe fn grow(
                &self,
                at: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                // SAFETY: the caller's.
                unsafe { super::resize(self.state(), at, old, new) }.map_err(|_| AllocError)
            }

            #[inline]
            unsafe fn grow_zeroed(
                &self,
                at: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                // SAFETY: the caller's; what is new lies behind the old bytes.
                unsafe {
                    let block = self.grow(at, old, new)?;
                    block.cast::<u8>().add(old.size()).write_bytes(0, new.size() - old.size());
                    Ok(block)
                }
            }

            #[inline]
            unsafe fn shrink(
                &self,
                at: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                // SAFETY: the caller's.
                unsafe { super::resize(self.state(), at, old, new) }.map_err(|_| AllocError)
            }
        }
    };
}

/// The trait that stable Rust's collections take.
mod stable {
    use super::{Child, Context, Kind, Layout, NonNull};
    use allocator_api2::alloc::{AllocError, Allocator};

    allocator!(&Context<K>);
    allocator!(&Child<'_, K>);
}

/// The standard library's own, which is not stable yet.
#[cfg(feature = "nightly")]
mod standard {
    use super::{Child, Context, Kind, Layout, NonNull};
    use std::alloc::{AllocError, Allocator};

    allocator!(&Context<K>);
    allocator!(&Child<'_, K>);
}
