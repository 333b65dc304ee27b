//! The window of a pool: room at the far end of a block that bare bytes are cut from, the short way.
//!
//! ```text
//! block: … members ┼ bump → … ← end ┼ gap ┼ low … ← high ┼ bare bytes ┤
//! ```
//! An open window begins where the bare bytes of the block do, so that what is left of it can go back to the block. It
//! carries a seal made of the process's secret and its address, from when it was first opened until the pool's chunk is
//! freed: so a pointer to a pool is told from any other with two loads.
//!
//! A window is open only while one thread draws on the pool and nothing above counts: it is closed before a member is
//! moved to another tree, before the pool becomes part of a shared context, and when something above begins to count.

use core::cell::Cell;
use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr::{self, NonNull};

use super::block::Block;
use super::{Pool, PoolRef};
use crate::mem::tags;
use crate::process;
use crate::tree::chunk::{GUARDED, HEADER, LIMITED};

/// See the module.
#[repr(C, align(16))]
#[derive(Debug)]
pub(super) struct Window {
    seal: Cell<u64>,
    /// Both are 0 while it is closed.
    low: Cell<usize>,
    high: Cell<usize>,
}

/// From the window of a pool to the payload of its chunk.
const TO_PAYLOAD: usize = size_of::<Pool>() - offset_of!(Pool, window) + HEADER;

/// The least that a window is opened with, if the block has as much.
const LEAST: usize = 1 << 10;

impl Window {
    pub(super) const fn closed() -> Window {
        Window { seal: Cell::new(0), low: Cell::new(0), high: Cell::new(0) }
    }

    pub(super) fn is_open(&self) -> bool {
        self.low.get() != 0
    }

    pub(super) fn close(&self) {
        self.low.set(0);
        self.high.set(0);
    }

    /// Closes it for good: the pool's chunk is being freed.
    pub(super) fn forget(&self) {
        self.close();
        self.seal.set(0);
    }

    /// `size` bytes off its far end.
    #[inline(always)]
    pub(super) fn cut(&self, size: usize) -> Option<NonNull<u8>> {
        let (low, high) = (self.low.get(), self.high.get());
        if high.wrapping_sub(low) < size {
            return None;
        }
        // Both ends are multiples of 16: what fits does so rounded, too. The size is rounded and not the address, so
        // that one allocation waits for no more of the one before than a subtraction.
        let at = high - size.next_multiple_of(16);
        self.high.set(at);
        NonNull::new(ptr::with_exposed_provenance_mut(at))
    }
}

/// What the seal of a window at `address` is: the secret in the upper half; addresses have at most 48 bits.
#[inline(always)]
fn seal_of(address: usize) -> u64 {
    (u64::from(process::lasting_tag()) << 32) ^ address as u64
}

impl PoolRef {
    /// Whether `payload` is that of a pool with a seal. No says nothing.
    ///
    /// # Safety
    /// As for [`Chunk::check`](crate::tree::Chunk::check).
    #[inline(always)]
    pub(super) unsafe fn is_sealed_at(payload: *const c_void) -> bool {
        let window = payload.wrapping_byte_sub(TO_PAYLOAD).cast::<Window>();
        // SAFETY: an aligned address in a slice in use, whose memory can all be read.
        tags::tag_at(window.addr()).is_some() && unsafe { (*window).seal.get() } == seal_of(window.addr())
    }

    /// The pool whose payload is at `payload`.
    ///
    /// # Safety
    /// There is one.
    #[inline(always)]
    pub(super) unsafe fn of_payload(payload: *const c_void) -> PoolRef {
        let record = payload.wrapping_byte_sub(HEADER + size_of::<Pool>()).cast::<Pool>();
        // SAFETY: the caller's: the record lies right before the header of the pool's chunk.
        PoolRef(unsafe { NonNull::new_unchecked(record.cast_mut()) })
    }

    /// Opens the window, which is closed, at the end of `block`, which bare bytes are cut from; it leaves half of what
    /// the block has left to members, or less, down to nothing, where half is less than [`LEAST`].
    pub(super) fn open_window(self, block: &Block) {
        if self.shared.get() || self.chunk().has(LIMITED | GUARDED) {
            return;
        }
        let rest = block.rest();
        let room = ((rest / 2) & !15).max(LEAST).min(rest);
        let Some(low) = block.cut_bare(room) else { return };
        let window = &self.window;
        window.low.set(low);
        window.high.set(low + room);
        window.seal.set(seal_of(ptr::from_ref(window).addr()));
    }

    /// Closes the window, if it is open; its room goes back to the block.
    pub(super) fn close_window(self) {
        if self.window.is_open() {
            if let Some(block) = self.bare.get() {
                // SAFETY: a block of one of the pool's zones, which ends where the window begins.
                unsafe { block.as_ref() }.take_back_bare(self.window.high.get() - self.window.low.get());
            }
            self.window.close();
        }
    }
}
