//! Bytes that grow, straight from the kernel: for what is noted down while a shared context is entered, and perhaps in a
//! signal handler, where no heap can be touched.

use core::ptr::NonNull;
use core::slice;
use tmempool::mem::os;

/// The bytes noted down, and room for more.
#[derive(Default)]
pub(crate) struct Mapped(Option<Mapping>);

struct Mapping {
    at: NonNull<u8>,
    /// Bytes noted down.
    length: usize,
    /// Bytes mapped.
    mapped: usize,
}

impl Mapped {
    /// Where at least `more` bytes can be put, and how many; `None` when there is no memory for them.
    pub(crate) fn room(&mut self, more: usize) -> Option<(NonNull<u8>, usize)> {
        let length = self.bytes().len();
        if self.0.as_ref().is_none_or(|mapping| mapping.mapped - length < more) {
            let mapped = ((length + more) * 2).next_multiple_of(os::PAGE);
            let at = os::map(mapped, os::PAGE)?;
            // SAFETY: a new mapping, at least this long.
            unsafe { at.copy_from_nonoverlapping(NonNull::from_ref(self.bytes()).cast(), length) };
            self.0 = Some(Mapping { at, length, mapped });
        }
        let mapping = self.0.as_ref()?;
        // SAFETY: within the mapping.
        Some((unsafe { mapping.at.add(length) }, mapping.mapped - length))
    }

    /// `more` bytes have been put there.
    pub(crate) fn fill(&mut self, more: usize) {
        if let Some(mapping) = &mut self.0 {
            mapping.length += more;
        }
    }

    /// All that was noted down, aligned to a page.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.0 {
            // SAFETY: so many bytes have been written; before that, they are zero.
            Some(mapping) => unsafe { slice::from_raw_parts(mapping.at.as_ptr(), mapping.length) },
            None => &[],
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the whole mapping, used by nobody else.
        unsafe { os::unmap(self.at, self.mapped) };
    }
}
