//! What a chunk can become where it stands, and what is needed to move it.

use core::ffi::c_char;

use crate::mem::geometry;
use crate::mem::heap;
use crate::mem::size::SLOT_MAX;
use crate::process::{self, MODE_MALLOC};
use crate::tree::chunk::{Chunk, HEADER, MEMBER, POOL, SIDE};
use crate::tree::pool::Origin;

/// Bytes of payload that `chunk` can have where it stands.
pub(crate) fn capacity(chunk: Chunk) -> usize {
    if process::mode() & MODE_MALLOC != 0 {
        return chunk.size();
    }
    if chunk.has(MEMBER | POOL) {
        // A member may use what rounding left; the rest is another's.
        return if chunk.has(POOL) {
            chunk.size()
        } else {
            (HEADER + chunk.size()).next_multiple_of(16) - HEADER
        };
    }
    // SAFETY: a chunk that is no member starts at its slot.
    unsafe { heap::bytes_of(chunk.address()) - HEADER }
}

/// Whether `chunk`, no member of a pool, has whole slices that `size` bytes of payload do not need.
pub(crate) fn has_slices_beyond(chunk: Chunk, size: usize) -> bool {
    let has = HEADER + capacity(chunk);
    has > SLOT_MAX && geometry::slices_for(HEADER + size) < geometry::slices_for(has)
}

/// Whether the place of `chunk`, no member of a pool, is much too large for `size` bytes of payload: a
/// slot, or a slice with a mapping of its own, of which more than half would be free, or a block for what fits into a slot.
pub(crate) fn is_wasted_on(chunk: Chunk, size: usize) -> bool {
    let (has, needs) = (HEADER + capacity(chunk), HEADER + size);
    if has > SLOT_MAX { needs <= SLOT_MAX } else { needs < has / 2 }
}

/// Gives `chunk`, not a pool, `size` bytes of payload where it stands, if that can be.
pub(crate) fn resize_in_place(chunk: Chunk, size: usize) -> bool {
    if process::mode() & MODE_MALLOC != 0 {
        return false;
    }
    if chunk.has(MEMBER) {
        return Origin::of_member(chunk).resize_in_place(chunk, size);
    }
    // SAFETY: a chunk that is no member starts at its slot; the caller gives up what is cut off.
    let fits = unsafe { heap::resize(chunk.address(), HEADER + size) };
    if fits {
        chunk.size.set(size as u32);
    }
    fits
}

/// Whether `chunk` has a mapping of its own, so that its pages can be moved without copying them.
pub(crate) fn can_move_pages(chunk: Chunk) -> bool {
    // SAFETY: a chunk that is no member starts at its slot.
    process::mode() & MODE_MALLOC == 0
        && !chunk.has(MEMBER | POOL)
        && unsafe { heap::is_alone(chunk.address()) }
}

/// Moves such a chunk to where it can have `size` bytes, if there is such a place. The old header is
/// gone then; the links still lead to it.
pub(crate) fn move_pages(chunk: Chunk, size: usize) -> Option<Chunk> {
    // SAFETY: a chunk that is no member starts at its block; the caller relocates the links.
    let to = unsafe { heap::move_block(chunk.address(), HEADER + size)? };
    // SAFETY: the pages moved, and with them the header.
    let moved = unsafe { Chunk::from_header(to.cast()) };
    moved.size.set(size as u32);
    Some(moved)
}

/// Slides the only member of a pool to the start of its room, where it gets `size` bytes, if it can.
/// The links still lead to the old place.
pub(crate) fn slide(member: Chunk, size: usize, location: *const c_char) -> Option<Chunk> {
    Origin::of_member(member).slide(member, size, location)
}

/// Whether fresh memory for `chunk`, made just now, is known to be zero.
pub(crate) fn is_zeroed(chunk: Chunk) -> bool {
    // SAFETY: a chunk that is no member starts at its slot.
    process::mode() == 0 && !chunk.has(MEMBER | POOL) && unsafe { heap::is_zeroed(chunk.address()) }
}

/// Makes the fresh `to` what `from` is in every respect but its bytes: place in the tree, name, side
/// record and flags. A side record that says already whose lock guards `to` stays, if `from` has none.
pub(crate) fn take_identity(to: Chunk, from: Chunk) {
    if to.has(SIDE) {
        take_over_side(to, from);
    }
    to.take_identity(from);
    if to.has(SIDE) && to.has(MEMBER) {
        Origin::of_member(to).set_irregular();
    }
}

/// `to` has a side record already, and `from` perhaps, too: one of them is left.
#[cold]
fn take_over_side(to: Chunk, from: Chunk) {
    if let (Some(new), Some(old)) = (to.side(), from.side()) {
        old.set_shared(new.shared());
        to.drop_side();
    }
}
