//! A table of what a resident keeps outside the tree: a vector whose memory comes from the heap of the
//! thread that makes it grow, and goes back from any thread.
//!
//! ```text
//! 0          16
//! ├ zeros ───┼ element 0 ┼ element 1 ┼ …
//! ```
//! The first bytes of a slot must not look like a chunk's tag; they are zero. Nothing is done implicitly that
//! can fail: a table grows when it is told to.

use core::mem::{align_of, size_of};
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};

use super::books;
use crate::error::AllocError;
use crate::mem::heap;

/// Bytes before the elements, and the alignment of every slot.
const HEAD: usize = 16;

/// See the module.
#[derive(Debug)]
pub(super) struct Table<T> {
    /// The first element; dangling while there is no room.
    elements: NonNull<T>,
    room: usize,
    len: usize,
}

// SAFETY: a table owns its elements, as a vector does; its memory is given back by any thread.
unsafe impl<T: Send> Send for Table<T> {}

impl<T> Table<T> {
    /// An empty one, without memory.
    pub(super) const fn new() -> Table<T> {
        const { assert!(align_of::<T>() <= HEAD && size_of::<T>() > 0) };
        Table { elements: NonNull::dangling(), room: 0, len: 0 }
    }

    /// One with room for at least `room` elements.
    pub(super) fn with_room(room: usize) -> Result<Table<T>, AllocError> {
        let mut table = Table::new();
        table.grow(room)?;
        Ok(table)
    }

    /// One of `len` elements.
    pub(super) fn filled(len: usize, with: T) -> Result<Table<T>, AllocError>
    where
        T: Copy,
    {
        let mut table = Table::with_room(len)?;
        // SAFETY: there is room for that many, and any bytes may be overwritten.
        (0..len).for_each(|i| unsafe { table.elements.add(i).write(with) });
        table.len = len;
        Ok(table)
    }

    /// Makes room for one more element, and for more to come.
    pub(super) fn grow_for_one(&mut self) -> Result<(), AllocError> {
        if self.len < self.room { Ok(()) } else { self.grow(self.len.saturating_mul(2).max(1)) }
    }

    /// Makes room for at least `room` elements.
    pub(super) fn grow(&mut self, room: usize) -> Result<(), AllocError> {
        if room <= self.room {
            return Ok(());
        }
        let bytes = room
            .checked_mul(size_of::<T>())
            .and_then(|bytes| bytes.checked_add(HEAD))
            .filter(|&bytes| bytes <= isize::MAX as usize)
            .ok_or(AllocError::TooLarge)?;
        let at = books::take(bytes).ok_or(AllocError::OutOfMemory)?;
        // SAFETY: a slot or block of at least so many bytes, nobody else's; the old elements are moved, and
        // their place is not looked at again.
        unsafe {
            at.cast::<[u8; HEAD]>().write([0; HEAD]);
            let elements = at.add(HEAD).cast::<T>();
            ptr::copy_nonoverlapping(self.elements.as_ptr(), elements.as_ptr(), self.len);
            self.give_back();
            self.room = (heap::bytes_of(at) - HEAD) / size_of::<T>();
            self.elements = elements;
        }
        Ok(())
    }

    /// Puts an element in at `index`, for which there is room.
    pub(super) fn insert(&mut self, index: usize, element: T) {
        assert!(self.len < self.room && index <= self.len);
        // SAFETY: as just seen, there is a place behind the last element.
        unsafe {
            let at = self.elements.add(index);
            ptr::copy(at.as_ptr(), at.add(1).as_ptr(), self.len - index);
            at.write(element);
        }
        self.len += 1;
    }

    /// Puts an element behind the last one, for which there is room.
    #[inline]
    pub(super) fn push(&mut self, element: T) {
        assert!(self.len < self.room);
        // SAFETY: as just seen, there is a place behind the last element.
        unsafe { self.elements.add(self.len).write(element) };
        self.len += 1;
    }

    /// Takes the last element.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: it was an element, and is none any more.
        Some(unsafe { self.elements.add(self.len).read() })
    }

    /// Gives the memory back, without a look at the elements.
    unsafe fn give_back(&mut self) {
        if self.room > 0 {
            // SAFETY: this is where `take` put it; the caller has no use for what is in it.
            unsafe { books::give(self.elements.cast::<u8>().sub(HEAD)) };
        }
    }
}

impl<T> Deref for Table<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: so many elements are there, and borrowed with the table.
        unsafe { core::slice::from_raw_parts(self.elements.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Table<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for `deref`, and the table is borrowed for writing.
        unsafe { core::slice::from_raw_parts_mut(self.elements.as_ptr(), self.len) }
    }
}

impl<T> Drop for Table<T> {
    fn drop(&mut self) {
        // SAFETY: each element is dropped once, and the memory given back once.
        unsafe {
            ptr::drop_in_place(&raw mut **self);
            self.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;
    use std::vec::Vec;

    #[test]
    fn it_is_a_vector() {
        let mut table = Table::<u64>::new();
        let mut model = Vec::new();
        for i in 0..100_000u64 {
            table.grow_for_one().unwrap();
            if i % 7 == 0 {
                table.insert(model.len() / 2, i);
                model.insert(model.len() / 2, i);
            } else if i % 5 == 0 {
                assert_eq!(table.pop(), model.pop());
            } else {
                table.push(i);
                model.push(i);
            }
            if i.is_power_of_two() {
                assert_eq!(*table, *model);
            }
        }
        assert_eq!(*table, *model);
        assert_eq!(Table::<u64>::with_room(usize::MAX / 8).err(), Some(AllocError::TooLarge));
        assert_eq!(Table::<u64>::with_room(usize::MAX / 2).err(), Some(AllocError::TooLarge));
        assert_eq!(Table::<u64>::with_room(1 << 58).err(), Some(AllocError::OutOfMemory));
    }

    #[test]
    fn elements_are_dropped_once() {
        let witness = Rc::new(());
        let mut table = Table::with_room(1).unwrap();
        for _ in 0..100 {
            table.grow(table.len() + 1).unwrap();
            table.push(witness.clone());
        }
        drop(table.pop());
        assert_eq!(Rc::strong_count(&witness), 100);
        drop(table);
        assert_eq!(Rc::strong_count(&witness), 1);
    }
}
