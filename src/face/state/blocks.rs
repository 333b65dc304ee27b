//! Memory that values are cut from: first behind the name, then in blocks that double.
//!
//! Upwards, because what was made in turn is most often looked at in turn, and processors fetch ahead that way.
//! Values are cut without headers, one behind the other. Invariant: `start..end` is free memory of the context's chunk or
//! of its newest block, and `end` is aligned to 16.

use core::alloc::Layout;
use core::ffi::CStr;
use core::ptr::NonNull;

use super::{State, StateRef};
use crate::error::AllocError;
use crate::face::context::or_panic;
use crate::face::place;
use crate::ops;
use crate::tree::Chunk;
use crate::tree::chunk::HEADER;

/// The name of a block of values.
const BLOCK_NAME: &CStr = c"values";
/// The name of the chunk of a value that is too large for a block.
const LARGE_NAME: &CStr = c"value";
/// Bytes of the smallest block, with its header.
const FIRST_BLOCK: usize = 1 << 10;
/// Bytes of the largest block, with its header.
const LAST_BLOCK: usize = 256 << 10;
/// Values of this size, in bytes, or above have a chunk of their own.
const LARGE: usize = 8 << 10;
/// What `end` is aligned to.
pub(in crate::face) const GRAIN: usize = place::PAYLOAD_ALIGN;

/// How large a block is, with its header: a power of two.
#[derive(Clone, Copy)]
pub(super) struct BlockSize {
    log2: u8,
}

impl BlockSize {
    /// The first block of a context with `room` bytes of its own: a quarter of them, so that boxes and contexts below
    /// have room beside it.
    pub(super) fn first_in(room: usize) -> BlockSize {
        BlockSize { log2: (room / 4).clamp(FIRST_BLOCK, LAST_BLOCK).ilog2() as u8 }
    }

    fn bytes(self) -> usize {
        1 << self.log2
    }

    /// The one after a block of `bytes`, which are at least those of the first block.
    fn after(bytes: usize) -> BlockSize {
        BlockSize { log2: (bytes * 2).min(LAST_BLOCK).ilog2() as u8 }
    }
}

impl StateRef {
    /// Has values cut from the memory behind the name.
    pub(in crate::face) fn use_inline(self) {
        let used = (size_of::<State>() + self.name_len + 1).next_multiple_of(GRAIN);
        let size = self.holder().size() & !(GRAIN - 1);
        if size > used {
            // SAFETY: both lie in the payload.
            unsafe {
                self.start.set(self.0.cast::<u8>().add(used));
                self.end.set(self.0.cast::<u8>().add(size));
            }
        }
    }

    /// Memory for a value of `layout`. It lives as long as the context.
    ///
    /// # Errors
    /// [`AllocError`]: nothing has changed.
    #[inline(always)]
    pub(in crate::face) fn cut(self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        match self.cut_quick(layout) {
            Some(at) => Ok(at),
            None => self.cut_slow(layout),
        }
    }

    /// [`cut`](Self::cut), or a panic.
    #[inline(always)]
    #[track_caller]
    pub(in crate::face) fn cut_or_panic(self, layout: Layout) -> NonNull<u8> {
        match self.cut_quick(layout) {
            Some(at) => at,
            None => self.cut_slow_or_panic(layout),
        }
    }

    #[inline(always)]
    fn cut_quick(self, layout: Layout) -> Option<NonNull<u8>> {
        // `end` is aligned to `GRAIN`, so that only a larger alignment can lead past it.
        let end = self.end.get().addr().get();
        let at = (self.start.get().addr().get() + (layout.align() - 1)) & !(layout.align() - 1);
        if (layout.align() > GRAIN && at > end) || end - at < layout.size() {
            return None;
        }
        // SAFETY: within the free memory, which is not at address 0, or at its end.
        let at = unsafe { NonNull::new_unchecked(self.start.get().as_ptr().with_addr(at)) };
        // SAFETY: no further than the end.
        self.start.set(unsafe { at.add(layout.size()) });
        Some(at)
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn cut_slow_or_panic(self, layout: Layout) -> NonNull<u8> {
        or_panic(self.cut_slow(layout))
    }

    #[cold]
    #[inline(never)]
    fn cut_slow(self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        if layout.size() == 0 {
            return Ok(place::dangling(layout));
        }
        // What the alignment may cost in a block.
        let extra = if layout.align() > GRAIN { layout.align() } else { GRAIN };
        let room = layout.size().checked_add(extra).ok_or(AllocError::TooLarge)?;
        if room >= LARGE {
            // SAFETY: the context is alive, and this thread uses its tree.
            return unsafe { place::alloc(self.chunk, layout, LARGE_NAME.as_ptr()) };
        }
        let bytes = self.next_block.get().bytes().max((room + HEADER).next_power_of_two());
        match self.add_block(bytes - HEADER) {
            Ok(()) => self.next_block.set(BlockSize::after(bytes)),
            // Where memory is short, no more than what is needed.
            Err(_) => self.add_block(room)?,
        }
        self.cut_quick(layout).ok_or(AllocError::OutOfMemory)
    }

    /// Has values cut from a fresh block with `size` bytes of room.
    fn add_block(self, size: usize) -> Result<(), AllocError> {
        // SAFETY: the context is alive, and this thread uses its tree.
        let block = unsafe { ops::alloc(Some(self.chunk), size)? };
        block.set_name(BLOCK_NAME.as_ptr());
        self.use_block(block);
        Ok(())
    }

    pub(in crate::face) fn use_block(self, block: Chunk) {
        // SAFETY: a payload is not null, and as long as its size.
        unsafe {
            let start = NonNull::new_unchecked(block.ptr()).cast::<u8>();
            self.start.set(start);
            self.end.set(start.add(block.size() & !(GRAIN - 1)));
        }
        self.block.set(Some(block));
    }
}
