//! A stack of elements that knows those that came last: whether an element is among them is seen by some comparisons of
//! half its address, several at a time.

use core::ffi::c_void;
use core::ptr::NonNull;

use crate::error::AllocError;
use crate::mem::os;
use crate::pools::table::Table;

/// How many of the elements that came last are known.
const KNOWN: usize = 16;

/// See the module.
#[derive(Debug)]
pub(super) struct Stack {
    elements: Table<NonNull<c_void>>,
    /// The key of each, behind [`KNOWN`] zeros: so there are as many to look at, however few elements there are.
    keys: Table<u32>,
}

/// The lower half of an address. Two elements may have the same.
#[inline]
fn key_of(element: NonNull<c_void>) -> u32 {
    element.addr().get() as u32
}

impl Stack {
    /// An empty one, with room for `room` elements.
    pub(super) fn with_room(room: usize) -> Result<Stack, AllocError> {
        let mut keys = Table::with_room(room.saturating_add(KNOWN))?;
        (0..KNOWN).for_each(|_| keys.push(0));
        Ok(Stack { elements: Table::with_room(room)?, keys })
    }

    /// How many elements there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.elements.len()
    }

    /// Puts an element on top, for which there is room.
    #[inline]
    pub(super) fn push(&mut self, element: NonNull<c_void>) {
        self.elements.push(element);
        self.keys.push(key_of(element));
    }

    /// Takes the element on top.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<NonNull<c_void>> {
        let element = self.elements.pop()?;
        self.keys.pop();
        Some(element)
    }

    /// Whether `element` is among those that came last.
    #[inline]
    pub(super) fn has(&self, element: NonNull<c_void>) -> bool {
        let key = key_of(element);
        let newest = self.keys.last_chunk::<KNOWN>();
        newest.is_some_and(|keys| keys.iter().fold(false, |found, &kept| found | (kept == key)))
            && self.elements.iter().rev().take(KNOWN).any(|&kept| kept == element)
    }

    /// All elements, those that came first at the front.
    pub(super) fn iter(&self) -> impl Iterator<Item = NonNull<c_void>> {
        self.elements.iter().copied()
    }

    /// Makes its memory this process's own again.
    pub(super) fn touch(&mut self) {
        let parts = [
            (NonNull::from_mut(&mut *self.elements).cast(), size_of_val(&*self.elements)),
            (NonNull::from_mut(&mut *self.keys).cast(), size_of_val(&*self.keys)),
        ];
        for (at, bytes) in parts {
            // SAFETY: the tables' own memory.
            unsafe { os::touch(at, bytes) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: usize) -> NonNull<c_void> {
        NonNull::new(core::ptr::without_provenance_mut(address)).unwrap()
    }

    #[test]
    fn it_has_what_came_last_and_nothing_else() {
        let mut stack = Stack::with_room(40).unwrap();
        // Those with a key that is like that of no element.
        assert!(!stack.has(at(1 << 32)));
        for i in 1..=40 {
            let element = at(i << 4);
            assert!(!stack.has(element));
            stack.push(element);
            assert!(stack.has(element) && !stack.has(at(i << 4 | 1 << 40)));
            assert!(stack.has(at(i.saturating_sub(KNOWN - 1).max(1) << 4)));
            assert!(i <= KNOWN || !stack.has(at((i - KNOWN) << 4)));
        }
        for i in (1..=40).rev() {
            assert_eq!(stack.pop(), Some(at(i << 4)));
            assert!(!stack.has(at(i << 4)));
        }
        assert_eq!((stack.pop(), stack.len()), (None, 0));
    }
}
