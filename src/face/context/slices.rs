//! Values of a context side by side: slices and text.

use core::alloc::Layout;
use core::mem;
use core::ptr::NonNull;

use super::{Context, or_panic};
use crate::error::AllocError;
use crate::face::kind::{Kind, Owns};

impl<K: Kind> Context<K> {
    /// Gives the context a copy of `source`.
    ///
    /// # Panics
    /// If there is no memory: see [`try_alloc_slice_copy`](Self::try_alloc_slice_copy).
    ///
    /// ```
    /// let ctx = tmempool::Context::new("numbers");
    /// let numbers = ctx.alloc_slice_copy(&[3, 1, 2]);
    /// numbers.sort();
    /// assert_eq!(numbers, [1, 2, 3]);
    /// ```
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    #[track_caller]
    pub fn alloc_slice_copy<T: Copy>(&self, source: &[T]) -> &mut [T] {
        let at = self.state.cut_or_panic(Layout::for_value(source)).cast::<T>();
        // SAFETY: cut for as many values.
        unsafe { self.copy(at, source) }
    }

    /// [`alloc_slice_copy`](Self::alloc_slice_copy), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let ctx = tmempool::Context::new("numbers");
    /// let numbers = ctx.try_alloc_slice_copy(&[3, 1, 2])?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn try_alloc_slice_copy<T: Copy>(&self, source: &[T]) -> Result<&mut [T], AllocError> {
        let at = self.state.cut(Layout::for_value(source))?.cast::<T>();
        // SAFETY: cut for as many values.
        Ok(unsafe { self.copy(at, source) })
    }

    /// Copies `source` into memory that was cut for it.
    ///
    /// # Safety
    /// As for [`fill`](Self::fill).
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    unsafe fn copy<T: Copy>(&self, at: NonNull<T>, source: &[T]) -> &mut [T] {
        // SAFETY: the caller's; it lives as long as the context, which is borrowed as long as the reference.
        unsafe {
            at.copy_from_nonoverlapping(NonNull::from_ref(source).cast(), source.len());
            core::slice::from_raw_parts_mut(at.as_ptr(), source.len())
        }
    }

    /// Gives the context `len` values, each made by `make` from its index, which are dropped with it.
    ///
    /// # Panics
    /// If there is no memory: see [`try_alloc_slice_with`](Self::try_alloc_slice_with). Should `make` panic, the
    /// values made so far are dropped.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("names");
    /// let names = ctx.alloc_slice_with(3, |i| format!("thread {i}"));
    /// assert_eq!(names[2], "thread 2");
    /// ```
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    #[track_caller]
    pub fn alloc_slice_with<T: 'static>(&self, len: usize, make: impl FnMut(usize) -> T) -> &mut [T]
    where
        K: Owns<T>,
    {
        or_panic(self.try_alloc_slice_with(len, make))
    }

    /// [`alloc_slice_with`](Self::alloc_slice_with), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`]: `make` has not been called.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("squares");
    /// let squares = ctx.try_alloc_slice_with(5, |i| i * i)?;
    /// assert_eq!(squares, [0, 1, 4, 9, 16]);
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn try_alloc_slice_with<T: 'static>(
        &self,
        len: usize,
        mut make: impl FnMut(usize) -> T,
    ) -> Result<&mut [T], AllocError>
    where
        K: Owns<T>,
    {
        let owned = mem::needs_drop::<T>();
        let at = if owned {
            self.state.cut_owned_slice::<T>(len)?
        } else {
            self.state.cut(Layout::array::<T>(len).map_err(|_| AllocError::TooLarge)?)?.cast()
        };
        let mut made = Made { at, len: 0 };
        while made.len < len {
            let value = make(made.len);
            // SAFETY: memory for `len` values; this one is not written yet.
            unsafe { at.add(made.len).write(value) };
            made.len += 1;
        }
        mem::forget(made);
        // SAFETY: all values are written, and nobody else drops them. For the rest, as in `try_alloc_with`.
        unsafe {
            if owned {
                self.state.own_slice(at, len);
            }
            Ok(core::slice::from_raw_parts_mut(at.as_ptr(), len))
        }
    }

    /// Gives the context a copy of `text`.
    ///
    /// # Panics
    /// If there is no memory: see [`try_alloc_str`](Self::try_alloc_str).
    ///
    /// ```
    /// let ctx = tmempool::Context::new("words");
    /// let word = ctx.alloc_str("mill");
    /// word.make_ascii_uppercase();
    /// assert_eq!(word, "MILL");
    /// ```
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    #[track_caller]
    pub fn alloc_str(&self, text: &str) -> &mut str {
        let bytes = self.alloc_slice_copy(text.as_bytes());
        // SAFETY: a copy of a string.
        unsafe { core::str::from_utf8_unchecked_mut(bytes) }
    }

    /// [`alloc_str`](Self::alloc_str), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let ctx = tmempool::Context::new("words");
    /// let word = ctx.try_alloc_str("mill")?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "each call gives out memory that nobody else has")]
    pub fn try_alloc_str(&self, text: &str) -> Result<&mut str, AllocError> {
        let bytes = self.try_alloc_slice_copy(text.as_bytes())?;
        // SAFETY: a copy of a string.
        Ok(unsafe { core::str::from_utf8_unchecked_mut(bytes) })
    }
}

/// Values written so far, which are dropped if the making of the next one panics.
struct Made<T> {
    at: NonNull<T>,
    len: usize,
}

impl<T> Drop for Made<T> {
    fn drop(&mut self) {
        // SAFETY: this many are written, and nobody else drops them.
        unsafe { NonNull::slice_from_raw_parts(self.at, self.len).drop_in_place() };
    }
}
