//! Room of small boxes and collections: given back, it is kept in lists, by size, and used again.
//!
//! Invariant: what is on one of the lists is nobody's.

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::NonNull;

use super::StateRef;
use super::blocks::GRAIN;
use crate::error::AllocError;

/// The largest room, in bytes: what is larger has a chunk of its own.
pub(in crate::face) const LARGEST_ROOM: usize = 4 << 10;
/// Up to this size, in bytes, the sizes of rooms are 16 apart; above, each is twice the one before.
const EVEN_ROOMS: usize = 256;
/// The number of sizes.
const ROOMS: usize = room_class(LARGEST_ROOM) + 1;

/// Free room, by size: the first of each list, whose first word leads to the next.
pub(in crate::face) struct Lists([Cell<Option<NonNull<Room>>>; ROOMS]);

/// Room on one of the [`Lists`].
struct Room {
    next: Option<NonNull<Room>>,
}

/// Which size of room serves `size` bytes, more than 0.
const fn room_class(size: usize) -> usize {
    if size <= EVEN_ROOMS {
        (size - 1) / GRAIN
    } else {
        EVEN_ROOMS / GRAIN + ((size - 1).ilog2() - EVEN_ROOMS.ilog2()) as usize
    }
}

/// Bytes of the room that serves `size` bytes.
const fn room_size(size: usize) -> usize {
    if size <= EVEN_ROOMS { size.next_multiple_of(GRAIN) } else { size.next_power_of_two() }
}

impl StateRef {
    /// Room for `size` bytes, more than 0 and at most [`LARGEST_ROOM`], aligned to 16.
    ///
    /// # Errors
    /// [`AllocError`]: nothing has changed.
    #[inline(always)]
    pub(in crate::face) fn take_room(self, size: usize) -> Result<NonNull<u8>, AllocError> {
        if let Some(lists) = self.lists.get() {
            // SAFETY: cut for this context, and given up when that memory is.
            let list = unsafe { &lists.as_ref().0[room_class(size)] };
            if let Some(room) = list.get() {
                // SAFETY: what is on the list is free, and starts with the way to the next.
                list.set(unsafe { room.as_ref().next });
                return Ok(room.cast());
            }
        }
        // SAFETY: a power of two, and a size that is far from the largest.
        let layout = unsafe { Layout::from_size_align_unchecked(room_size(size), GRAIN) };
        self.cut(layout)
    }

    /// Takes room back.
    ///
    /// # Safety
    /// [`take_room`](Self::take_room) gave it for the same size, and nobody uses it any more.
    #[inline(always)]
    pub(in crate::face) unsafe fn give_room(self, at: NonNull<u8>, size: usize) {
        let Some(lists) = self.lists.get().or_else(|| self.make_lists()) else { return };
        // SAFETY: cut for this context, and given up when that memory is.
        let list = unsafe { &lists.as_ref().0[room_class(size)] };
        let room = at.cast::<Room>();
        // SAFETY: at least 16 bytes, which nobody uses.
        unsafe { room.write(Room { next: list.get() }) };
        list.set(Some(room));
    }

    /// Without memory for the lists the room is found again when the context is reset.
    #[cold]
    fn make_lists(self) -> Option<NonNull<Lists>> {
        let at = self.cut(Layout::new::<Lists>()).ok()?.cast::<Lists>();
        // SAFETY: memory for the lists.
        unsafe { at.write(Lists([const { Cell::new(None) }; ROOMS])) };
        self.lists.set(Some(at));
        Some(at)
    }
}
