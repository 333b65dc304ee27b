//! How much is held back: filling a reserve, and resizing it while it is used. The source makes and takes elements
//! with no lock held; so what was true before may not be after, and is looked at again.

use core::ffi::c_void;
use core::ptr::NonNull;

use super::reserve::Put;
use super::stack::Stack;
use super::{Mempool, SizeError};
use crate::pools::table::Table;

impl Mempool {
    /// Hands a new element over, or keeps it. Says whether it had a use for it.
    pub(super) fn put_new(&self, element: NonNull<c_void>) -> bool {
        let mut reserve = self.lock();
        if reserve.is_waited_for() {
            // Counted before it goes out: it may come back at once.
            self.out.mine().give();
        }
        // SAFETY: the lock is held.
        match unsafe { reserve.put(element) } {
            Put::HandedOver(wake) => {
                drop(reserve);
                wake.now();
                true
            }
            Put::Kept => true,
            Put::Surplus => false,
        }
    }

    /// Has the source make `count` elements, and puts them where they are wanted: all of them, or none.
    pub(super) fn fill(&self, count: usize) -> Result<(), SizeError> {
        let mut fresh = self.make(count)?;
        self.settle(&mut fresh);
        Ok(())
    }

    /// `count` elements of the source, or none.
    fn make(&self, count: usize) -> Result<Table<NonNull<c_void>>, SizeError> {
        let mut fresh = Table::with_room(count).map_err(SizeError::Memory)?;
        while fresh.len() < count {
            let Some(element) = self.source.alloc() else {
                self.give_up(&mut fresh);
                return Err(SizeError::SourceFailed);
            };
            self.source.touch(element);
            fresh.push(element);
        }
        Ok(fresh)
    }

    /// Puts elements that were promised where they are wanted.
    fn settle(&self, fresh: &mut Table<NonNull<c_void>>) {
        while let Some(element) = fresh.pop() {
            if !self.put_new(element) {
                self.source.free(element);
            }
            self.lock().has_come();
        }
    }

    fn give_up(&self, elements: &mut Table<NonNull<c_void>>) {
        while let Some(element) = elements.pop() {
            self.source.free(element);
        }
    }

    /// From now on holds back `min` elements. What is more, the source adds before this returns; what is
    /// less, it gets back at once, as far as it is not out.
    ///
    /// # Errors
    /// [`SizeError`].
    pub fn resize(&self, min: usize) -> Result<(), SizeError> {
        if min == 0 {
            return Err(SizeError::Zero);
        }
        let mut reserve = self.lock();
        let now = reserve.min();
        if min > now {
            drop(reserve);
            return self.grow(now, min);
        }
        reserve.shrink_to(min);
        let mut surplus = reserve.take_surplus();
        drop(reserve);
        while let Some(element) = surplus {
            self.source.free(element);
            surplus = self.lock().take_surplus();
        }
        Ok(())
    }

    fn grow(&self, from: usize, to: usize) -> Result<(), SizeError> {
        let mut room = Stack::with_room(to).map_err(SizeError::Memory)?;
        let mut fresh = self.make(to - from)?;
        let mut reserve = self.lock();
        // The source is foreign code, and time has passed.
        if reserve.min() != from {
            drop(reserve);
            self.give_up(&mut fresh);
            return Err(SizeError::Busy);
        }
        reserve.grow_to(to, &mut room);
        drop(reserve);
        self.settle(&mut fresh);
        Ok(())
    }
}
