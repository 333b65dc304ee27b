//! Bare bytes: what a pool hands out without a header, as nginx's pools do.
//!
//! They are cut off the far end of a block, towards its members (`block.rs`), by way of a window there (`window.rs`);
//! what no block has room for is large (`large.rs`). There is nothing to say where one ends and the next begins: none
//! can be freed, resized, moved or named, and all go at once, when the pool's children are freed, or the pool. So they
//! leave a regular pool regular.
//!
//! Invariant: the block that they are cut from lies in a zone that holds them (`Zone::hold_bare`), and is therefore
//! not emptied when the last member in it goes.

use core::ffi::{c_char, c_void};
use core::ptr::{self, NonNull};

use super::block::{Block, GAP};
use super::large::Larges;
use super::zone::Zone;
use super::{LARGES, PoolRef};
use crate::process::{self, MODE_FILL, MODE_MALLOC};
use crate::tree::chunk::{Chunk, POOL};

/// Bare bytes that were taken just now.
pub(crate) struct Bare {
    pub(crate) at: NonNull<u8>,
    /// Bytes that were asked for.
    size: usize,
    /// What they count for against a limit.
    pub(crate) weight: usize,
    is_large: bool,
}

/// `size` bare bytes of the pool whose payload is at `payload`, the short way: its window is open and has room.
/// `None` says nothing, not even that it is a pool.
#[inline(always)]
pub(crate) fn quick(payload: *const c_void, size: usize) -> Option<NonNull<u8>> {
    let _mark = PoolRef::mark_open(payload)?;
    // SAFETY: as was just seen.
    let pool = unsafe { PoolRef::of_payload(payload) };
    let at = pool.window.cut(size)?;
    pool.tally.add_bare(size);
    Some(at)
}

/// All bare bytes of the pool whose payload is at `payload` are gone, the short way: there is nothing else below it, and all
/// of them were cut from its first block. If not, nothing has happened, and it may be no pool.
#[inline(always)]
pub(crate) fn quick_reset(payload: *const c_void) -> bool {
    let Some(_mark) = PoolRef::mark_open(payload) else { return false };
    // SAFETY: as was just seen.
    let pool = unsafe { PoolRef::of_payload(payload) };
    let chunk = pool.chunk();
    let is_plain = chunk.has_only(POOL) && chunk.child.is_none() && pool.is_regular();
    if process::mode() != 0 || !is_plain || !pool.open_again() {
        return false;
    }
    pool.tally.remove_bare();
    true
}

/// The pool `chunk` is new, and may be used for bare bytes.
#[inline]
pub(crate) fn prepare(chunk: Chunk) {
    if let Some(pool) = PoolRef::of_chunk(chunk) {
        pool.open_if_expected();
    }
}

/// `size` bare bytes of the pool `chunk`, less than 256 MiB; not charged to any limit.
pub(crate) fn take(chunk: Chunk, size: usize) -> Option<Bare> {
    match PoolRef::of_chunk(chunk) {
        Some(pool) => pool.take_bare(size),
        None => Bare::large(Larges::of_chunk(chunk), size, None),
    }
}

/// Gives back what was taken from `chunk` just now. If there was nothing before, no zone holds anything afterwards.
pub(crate) fn take_back(chunk: Chunk, bare: &Bare) {
    let pool = PoolRef::of_chunk(chunk);
    let held = pool.and_then(PoolRef::hold);
    if bare.is_large {
        Larges::of_chunk(chunk).take_back();
    }
    let Some(pool) = pool else { return };
    if !bare.is_large
        && let Some(block) = pool.bare.get()
    {
        pool.close_window();
        // SAFETY: a block of one of the pool's zones (see the module).
        unsafe { block.as_ref() }.take_back_bare(bare.size.next_multiple_of(16));
    }
    pool.tally.take_back_bare(bare.size);
    if pool.tally.bare() == (0, 0) {
        pool.drop_bare();
        pool.zone_emptied(held, ptr::null());
    }
}

/// All bare bytes of the pool `chunk` are gone; with no member alive its room comes back, too. No limit is told.
pub(crate) fn drop_all(chunk: Chunk, location: *const c_char) {
    let Some(pool) = PoolRef::of_chunk(chunk) else { return Larges::of_chunk(chunk).give_back() };
    let held = pool.hold();
    pool.drop_bare();
    pool.zone_emptied(held, location);
}

/// Something above `chunk` counts from now on: no bare bytes go the short way any more.
pub(crate) fn count(chunk: Chunk) {
    if let Some(pool) = PoolRef::of_chunk(chunk) {
        let _held = pool.hold();
        pool.close_window();
    }
}

/// What the bare bytes of `chunk` count for against a limit; 0 if it is no pool.
pub(crate) fn weight(chunk: Chunk) -> usize {
    if !chunk.has(POOL) {
        return 0;
    }
    let Some(pool) = PoolRef::of_chunk(chunk) else { return Larges::of_chunk(chunk).weight() };
    let _held = pool.hold();
    pool.close_window();
    let mut weight = pool.larges.weight();
    pool.for_each_block(&mut |block| weight += if block.beyond.get() { block.bare().1 } else { 0 });
    weight
}

/// How many bare bytes `chunk` has, as they were asked for, in how many allocations.
pub(crate) fn contents(chunk: Chunk) -> (usize, usize) {
    if !chunk.has(POOL) {
        return (0, 0);
    }
    match PoolRef::of_chunk(chunk) {
        Some(pool) => pool.tally.bare(),
        None => Larges::of_chunk(chunk).contents(),
    }
}

/// Bytes in front of a pool's chunk, with the malloc backend.
pub(crate) const FRONT: usize = LARGES;

/// Writes what lies in front of a pool's chunk, with the malloc backend, at `at`.
///
/// # Safety
/// [`FRONT`] bytes, aligned to 16, that are nobody else's.
pub(crate) unsafe fn create_front(at: NonNull<u8>) {
    debug_assert!(process::mode() & MODE_MALLOC != 0);
    // SAFETY: the caller's.
    unsafe { at.cast().write(Larges::new()) };
}

/// Gives back all that lies in front of the pool `chunk`, with the malloc backend. It starts where this says.
pub(crate) fn drop_front(chunk: Chunk) -> NonNull<u8> {
    Larges::of_chunk(chunk).give_back();
    // From the chunk, and not from what lies there: it leads to all of the block.
    // SAFETY: the list lies right before the header.
    unsafe { chunk.address().sub(FRONT) }
}

impl Bare {
    fn large(larges: &Larges, size: usize, home: Option<super::Shared>) -> Option<Bare> {
        let before = larges.weight();
        let at = larges.take(size, home)?;
        Some(Bare { at, size, weight: larges.weight() - before, is_large: true })
    }
}

impl PoolRef {
    #[inline(never)]
    fn take_bare(self, size: usize) -> Option<Bare> {
        let _held = self.hold();
        let room = size.next_multiple_of(16);
        self.close_window();
        let bare = match self.block_with(room + GAP) {
            Some(block) => {
                // SAFETY: a block of one of the pool's zones.
                let block = unsafe { block.as_ref() };
                let at = NonNull::new(ptr::with_exposed_provenance_mut(block.cut_bare(room)?))?;
                let weight = if block.beyond.get() { room } else { 0 };
                self.open_window(block);
                Bare { at, size, weight, is_large: false }
            }
            None => Bare::large(&self.larges, size, self.home.get())?,
        };
        self.tally.add_bare(size);
        Some(bare)
    }

    /// The block that bare bytes are cut from, with `room`.
    fn block_with(self, room: usize) -> Option<NonNull<Block>> {
        // SAFETY: as in `take_bare`.
        if let Some(block) = self.bare.get().filter(|block| unsafe { block.as_ref() }.rest() >= room) {
            return Some(block);
        }
        let (zone, block) = self.open_block(room)?;
        zone.hold_bare();
        if self.bare.replace(Some(block)).is_none() {
            PoolRef::expect_bare(true);
        }
        Some(block)
    }

    /// The newest block of a zone, or a new one in front of it, with `room`; `None` for what is to come from the
    /// heap.
    fn open_block(&self, room: usize) -> Option<(&Zone, NonNull<Block>)> {
        let newest =
            |zone: &Zone| zone.blocks.get().filter(|_| zone.newest().is_some_and(|b| b.rest() >= room));
        let growth = self.growth.get();
        if let Some(block) = newest(&self.announced) {
            return Some((&self.announced, block));
        }
        let spare = if growth.grows { self.take_spare(room) } else { None };
        if let Some(block) = spare.or_else(|| self.promised_block(room)) {
            self.announced.add(block);
            return Some((&self.announced, block));
        }
        if room > growth.member_max() {
            return None;
        }
        let zone = if growth.grows { &self.announced } else { &self.overflow };
        if let Some(block) = newest(zone) {
            return Some((zone, block));
        }
        let block = self.next_block(room)?;
        zone.add(block);
        Some((zone, block))
    }

    /// Whether there may be bare bytes.
    #[inline]
    pub(super) fn has_bare(self) -> bool {
        self.bare.get().is_some() || self.tally.bare().1 != 0
    }

    /// All bare bytes are gone. Whoever calls this has the lock, and looks at what its zones are now.
    pub(super) fn drop_bare(self) {
        self.close_window();
        if process::mode() & MODE_FILL != 0 {
            self.for_each_block(&mut |block| {
                let (at, bytes) = block.bare();
                let at = ptr::with_exposed_provenance_mut::<u8>(at);
                // SAFETY: the bare bytes of a block of the pool, which nobody uses any more.
                unsafe { at.write_bytes(process::fill_byte(), bytes) };
            });
        }
        self.tally.remove_bare();
        self.announced.drop_bare();
        self.overflow.drop_bare();
        self.forget_bare();
    }

    /// All zones are being emptied, bare bytes and all.
    pub(super) fn forget_bare(self) {
        self.forget_window();
        self.bare.set(None);
        self.larges.give_back();
    }

    fn for_each_block(&self, visit: &mut dyn FnMut(&Block)) {
        self.announced.for_each_block(visit);
        self.overflow.for_each_block(visit);
    }
}
