//! What is dropped with a context: values with an [`Entry`] before each.
//!
//! The entries are a list, newest first. With the first one the chunk gets a destructor, which runs whoever frees the
//! chunk: this layer, or a C program that was given it. Invariants: an entry on the list is followed by a live value of
//! its type; an entry is off the list before its value is dropped.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use super::StateRef;
use crate::error::AllocError;
use crate::face::unwind;

/// What precedes a value that is dropped with its context.
#[repr(C)]
pub(in crate::face) struct Entry {
    older: Option<NonNull<Entry>>,
    drop: unsafe fn(NonNull<Entry>),
}

/// A value with its entry.
#[repr(C)]
struct Owned<T> {
    entry: Entry,
    value: T,
}

/// Values of one type, side by side, with their entry.
#[repr(C)]
struct OwnedSlice<T> {
    entry: Entry,
    len: usize,
    values: [T; 0],
}

impl StateRef {
    /// Memory for a value that is dropped with the context, to be written and then given to [`own`](Self::own).
    ///
    /// # Errors
    /// [`AllocError`]: nothing has changed.
    #[inline(always)]
    pub(in crate::face) fn cut_owned<T>(self) -> Result<NonNull<T>, AllocError> {
        self.need_destructor()?;
        let at = self.cut(Layout::new::<Owned<T>>())?.cast::<Owned<T>>();
        // SAFETY: memory for an `Owned<T>`.
        Ok(unsafe { NonNull::new_unchecked(&raw mut (*at.as_ptr()).value) })
    }

    /// Has the value at `value` dropped with the context.
    ///
    /// # Safety
    /// [`cut_owned`](Self::cut_owned) gave the memory, a value has been written there, and nobody else drops it.
    #[inline(always)]
    pub(in crate::face) unsafe fn own<T>(self, value: NonNull<T>) {
        unsafe fn drop_value<T>(entry: NonNull<Entry>) {
            // SAFETY: the entry was made by `own` for an `Owned<T>`, whose value nobody has dropped yet.
            unsafe { ptr::drop_in_place(&raw mut (*entry.cast::<Owned<T>>().as_ptr()).value) };
        }
        // SAFETY: the value lies in an `Owned<T>`.
        let entry = unsafe { value.byte_sub(core::mem::offset_of!(Owned<T>, value)).cast::<Entry>() };
        self.list(entry, drop_value::<T>);
    }

    /// [`cut_owned`](Self::cut_owned) for `len` values.
    pub(in crate::face) fn cut_owned_slice<T>(self, len: usize) -> Result<NonNull<T>, AllocError> {
        self.need_destructor()?;
        let layout = Layout::array::<T>(len).and_then(|values| Layout::new::<OwnedSlice<T>>().extend(values));
        let (layout, _) = layout.map_err(|_| AllocError::TooLarge)?;
        let at = self.cut(layout.pad_to_align())?.cast::<OwnedSlice<T>>();
        // SAFETY: memory for an `OwnedSlice<T>` and the values.
        Ok(unsafe { NonNull::new_unchecked((&raw mut (*at.as_ptr()).values).cast()) })
    }

    /// [`own`](Self::own) for `len` values.
    ///
    /// # Safety
    /// As for [`own`](Self::own).
    pub(in crate::face) unsafe fn own_slice<T>(self, values: NonNull<T>, len: usize) {
        unsafe fn drop_values<T>(entry: NonNull<Entry>) {
            let slice = entry.cast::<OwnedSlice<T>>().as_ptr();
            // SAFETY: the entry was made by `own_slice` for this many values, which nobody has dropped.
            unsafe {
                let values = (&raw mut (*slice).values).cast::<T>();
                ptr::drop_in_place(ptr::slice_from_raw_parts_mut(values, (*slice).len));
            }
        }
        // SAFETY: the values lie behind an `OwnedSlice<T>`.
        unsafe {
            let slice = values.byte_sub(core::mem::offset_of!(OwnedSlice<T>, values)).cast::<OwnedSlice<T>>();
            (&raw mut (*slice.as_ptr()).len).write(len);
            self.list(slice.cast(), drop_values::<T>);
        }
    }

    /// Makes the memory at `entry` the newest entry.
    #[inline(always)]
    fn list(self, entry: NonNull<Entry>, drop: unsafe fn(NonNull<Entry>)) {
        // SAFETY: memory for an entry before a value of this context.
        unsafe { entry.write(Entry { older: self.dropped.get(), drop }) };
        self.dropped.set(Some(entry));
        self.count.set(self.count.get() + 1);
    }

    /// Drops what is to be dropped, newest first; also what is added meanwhile.
    pub(in crate::face) fn drop_values(self) {
        unwind::contain(|| {
            while let Some(entry) = self.dropped.get() {
                // SAFETY: an entry on the list, which is taken off it before its value is dropped.
                unsafe {
                    self.dropped.set(entry.as_ref().older);
                    self.count.set(self.count.get() - 1);
                    (entry.as_ref().drop)(entry);
                }
            }
        });
    }
}
