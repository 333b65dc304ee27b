//! The window of a pool: room at the far end of a block that bare bytes are cut from, the short way.
//!
//! ```text
//! block: … members ┼ bump → … ← end ┼ gap ┼ low … ← low + rest ┼ bare bytes ┤
//! ```
//! An open window begins where the bare bytes of the block do, so that what is left of it can go back to the block.
//!
//! Pools whose windows are open are known by the addresses of their payloads (`mem/known.rs`): to be found there is to be
//! open.
//!
//! A window is open only while one thread draws on the pool and nothing above counts: it is closed before a member is
//! moved to another tree, before the pool becomes part of a shared context, and when something above begins to count.
//!
//! Bytes are cut from it, and it is opened again, under a mark of that table, and not as a change of the thread
//! (`mem/here`): all that is changed is the window, and counters. So before anything else is done to a window, it is taken out of the table, and put in after that; and
//! who finds it marked is a signal handler that has interrupted its thread in a cut: that ends the process.
//!
//! In an empty pool, a window may be opened *ahead*, before bare bytes are asked for: after a reset, if the pool had some
//! before, and in a new pool, if the last that was used for the first time was used for them. If a member comes first after
//! all, it is closed without a trace: no zone holds bare bytes then. While such a window is open, all that has been taken
//! from the pool's blocks was cut from it; so a pool without children is emptied by opening it ahead once more, under the
//! same mark as a cut.

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::block::Block;
use super::{Pool, PoolRef};
use crate::hint::seldom;
use crate::mem::known::{Known, Marked};
use crate::mem::os;
use crate::mem::threads::Observer;
use crate::tree::chunk::{GUARDED, HEADER, LIMITED};

/// See the module.
#[repr(C, align(16))]
#[derive(Debug)]
pub(super) struct Window {
    /// Where it begins; 0 while it is closed.
    low: Cell<usize>,
    /// How many bytes it has; 0 while it is closed.
    rest: Cell<usize>,
}

/// From the record of a pool to the payload of its chunk.
const TO_PAYLOAD: usize = size_of::<Pool>() + HEADER;

/// The payloads of pools whose windows are open.
static OPEN: Known = Known::new();

/// Who is in the middle of a cut, in the parent, is not there in the child of a fork.
static OBSERVER: Observer = Observer::new(|| {}, || OPEN.forget_marks());

/// Whether bare bytes are expected in new pools, as the last one that was used for the first time was used for them. A
/// guess: nothing but time depends on it.
static EXPECTED: AtomicBool = AtomicBool::new(false);

/// The least that a window is opened with, if the block has as much.
const LEAST: usize = 1 << 10;

impl Window {
    pub(super) const fn closed() -> Window {
        Window { low: Cell::new(0), rest: Cell::new(0) }
    }

    #[inline(always)]
    pub(super) fn is_open(&self) -> bool {
        self.low.get() != 0
    }

    fn close(&self) {
        self.low.set(0);
        self.rest.set(0);
    }

    /// It has all its `room` again.
    #[inline(always)]
    fn refill(&self, room: usize) {
        debug_assert!(self.is_open() && self.rest.get() <= room);
        self.rest.set(room);
    }

    /// `size` bytes off its far end, if it has as many. It is open.
    #[inline(always)]
    pub(super) fn cut(&self, size: usize) -> Option<NonNull<u8>> {
        debug_assert!(self.is_open());
        // Both ends are multiples of 16: what has room does so rounded, too. Whether there is room is told by the carry of
        // the subtraction.
        let (rest, has_no_room) = self.rest.get().overflowing_sub(size);
        if has_no_room {
            seldom();
            return None;
        }
        let rest = rest & !15;
        self.rest.set(rest);
        // SAFETY: not below the start of the window, which is not null while it is open.
        Some(unsafe { NonNull::new_unchecked(ptr::with_exposed_provenance_mut(self.low.get() + rest)) })
    }
}

impl PoolRef {
    /// Begins a cut, or what is done like one, if `payload` is that of a pool whose window is open. No says nothing.
    #[inline(always)]
    pub(super) fn mark_open(payload: *const c_void) -> Option<Marked<'static>> {
        OPEN.mark(payload.addr())
    }

    /// The pool whose payload is at `payload`.
    ///
    /// # Safety
    /// There is one.
    #[inline(always)]
    pub(super) unsafe fn of_payload(payload: *const c_void) -> PoolRef {
        let record = payload.wrapping_byte_sub(TO_PAYLOAD).cast::<Pool>();
        // SAFETY: the caller's: the record lies right before the header of the pool's chunk.
        PoolRef(unsafe { NonNull::new_unchecked(record.cast_mut()) })
    }

    /// The address of its payload.
    fn payload(self) -> usize {
        self.0.addr().get() + TO_PAYLOAD
    }

    /// Opens the window, which is closed, at the end of `block`, which bare bytes are cut from. It takes all that is left
    /// of a block without members; of one that has some, it leaves half to those to come, or less, down to nothing,
    /// where half is less than [`LEAST`].
    pub(super) fn open_window(self, block: &Block) {
        if !self.may_open() {
            return;
        }
        let rest = block.rest();
        let half = ((rest / 2) & !15).max(LEAST).min(rest);
        let room = if block.has_members() { half } else { rest };
        if let Some(low) = block.cut_bare(room) {
            self.open(low, room);
        }
    }

    /// Opens the window of a new pool ahead, if bare bytes are expected.
    #[inline]
    pub(super) fn open_if_expected(self) {
        if EXPECTED.load(Relaxed) {
            self.open_ahead();
        }
    }

    /// Opens the window, which is closed, over all of the first block. The pool is empty, and there are no bare bytes.
    #[inline]
    pub(super) fn open_ahead(self) {
        if self.may_open()
            && let Some((low, room)) = self.first().cut_all_bare()
        {
            self.announced.hold_bare();
            self.bare.set(Some(self.first_block()));
            self.open(low, room);
            self.ahead.set(true);
        }
    }

    /// Opens the window ahead once more, if it was and nothing but what was cut from it has been taken since. Says whether
    /// that is so.
    #[inline(always)]
    pub(super) fn open_again(self) -> bool {
        if !self.ahead.get() {
            return false;
        }
        self.window.refill(self.first().all_bare());
        true
    }

    /// What pools are used for: for bare bytes first, or for members.
    pub(super) fn expect_bare(bare: bool) {
        if EXPECTED.load(Relaxed) != bare {
            EXPECTED.store(bare, Relaxed);
        }
    }

    #[inline(always)]
    fn may_open(self) -> bool {
        !self.is_shared() && !self.chunk().has(LIMITED | GUARDED)
    }

    #[inline(always)]
    fn open(self, low: usize, room: usize) {
        OBSERVER.observe();
        self.window.low.set(low);
        self.window.rest.set(room);
        OPEN.enter(self.payload());
    }

    /// Closes the window, if it is open; its room goes back to the block. If it was opened ahead and no bare bytes were
    /// asked for, no zone holds any from now on.
    pub(super) fn close_window(self) {
        if !self.window.is_open() {
            return;
        }
        self.take_out();
        if let Some(block) = self.bare.get() {
            // SAFETY: a block of one of the pool's zones, which ends where the window begins.
            unsafe { block.as_ref() }.take_back_bare(self.window.rest.get());
        }
        self.shut();
        if self.tally.bare() == (0, 0) {
            self.announced.drop_bare();
            self.bare.set(None);
            PoolRef::expect_bare(false);
        }
    }

    /// Closes the window, if it is open; its room is nobody's: all that is in the pool is gone.
    pub(super) fn forget_window(self) {
        if self.window.is_open() {
            self.take_out();
            self.shut();
        }
    }

    fn shut(self) {
        self.window.close();
        self.ahead.set(false);
    }

    /// Nobody finds the window from now on.
    fn take_out(self) {
        if OPEN.is_marked(self.payload()) {
            os::would_wait_for_itself();
        }
        OPEN.take_out(self.payload());
    }
}
