//! Where reports are written: to a stream, or first to memory of their own, because nothing is written
//! while a shared context is entered: a stream may be the program's own code, and may block.

use core::ffi::{c_char, c_int};

use crate::mapped::Mapped;

/// See the module.
pub(crate) enum Text {
    /// Written at once.
    Stream(*mut libc::FILE),
    /// Kept until [`Text::finish`].
    Kept(Kept),
}

/// Formats like printf() and writes the result to a [`Text`]: `print!(text, format, arguments…)`.
macro_rules! print {
    ($text:expr, $format:expr $(, $argument:expr)* $(,)?) => {
        match $text {
            $crate::text::Text::Stream(file) => {
                libc::fprintf(*file, $format.as_ptr() $(, $argument)*);
            }
            $crate::text::Text::Kept(kept) => {
                kept.format(|at, room| libc::snprintf(at, room, $format.as_ptr() $(, $argument)*));
            }
        }
    };
}
pub(crate) use print;

impl Text {
    /// A text for `file`; kept, if what it tells of `may_be_shared`.
    pub(crate) fn new(file: *mut libc::FILE, may_be_shared: bool) -> Text {
        if may_be_shared { Text::Kept(Kept::default()) } else { Text::Stream(file) }
    }

    /// Writes to `file` what has been kept. Nothing is entered now.
    ///
    /// # Safety
    /// `file` is the open stream that it was made for.
    pub(crate) unsafe fn finish(self, file: *mut libc::FILE) {
        // SAFETY: as the caller promises; so many bytes have been kept.
        unsafe {
            if let Text::Kept(Kept(text)) = &self {
                let text = text.bytes();
                libc::fwrite(text.as_ptr().cast(), 1, text.len(), file);
            }
            libc::fflush(file);
        }
    }
}

/// A text in memory. What there is no memory for is left out.
#[derive(Default)]
pub(crate) struct Kept(Mapped);

impl Kept {
    /// Adds what `format` writes, which is called like snprintf() and returns what that does.
    pub(crate) fn format(&mut self, format: impl Fn(*mut c_char, usize) -> c_int) {
        let mut needs = 256;
        while let Some((at, room)) = self.0.room(needs) {
            match usize::try_from(format(at.as_ptr().cast(), room)) {
                Ok(length) if length < room => return self.0.fill(length),
                Ok(length) => needs = length + 1,
                Err(_) => return,
            }
        }
    }
}
