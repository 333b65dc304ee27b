//! What is said and done when a call cannot be served: log lines, `errno` and the abort.
//!
//! Everything here is off the fast paths, and nothing here allocates: a fault may be reported from
//! a heap that is damaged.

use core::ffi::{CStr, c_char, c_int, c_void};
use tmempool::error::{AllocError, Fault, FreeError};
use tmempool::ops;
use tmempool::pools::{notice, resident::Kind};
use tmempool::tree::Chunk;

use crate::hooks;
use crate::names::name_of;
use crate::pointer::with;

/// A message built from C strings in a buffer of fixed size; what does not fit is cut, except for
/// the last byte, which the caller may rely on (a newline).
struct Message {
    text: [c_char; Message::CAPACITY],
    length: usize,
}

impl Message {
    /// Bytes of text, with the terminating NUL: a path of 4 KiB and what is said about it.
    const CAPACITY: usize = 4608;

    /// # Safety
    /// Each piece is a C string, or null, which reads `(null)`.
    unsafe fn of(pieces: &[*const c_char]) -> Message {
        let mut message = Message { text: [0; Message::CAPACITY], length: 0 };
        for &piece in pieces {
            let piece = if piece.is_null() {
                c"(null)"
            } else {
                // SAFETY: the caller gives C strings.
                unsafe { CStr::from_ptr(piece) }
            };
            message.add(piece);
        }
        message
    }

    /// `function`, and `why` it says no.
    fn of_refusal(function: &CStr, why: &[Piece<'_>]) -> Message {
        let mut message = Message { text: [0; Message::CAPACITY], length: 0 };
        message.add(function);
        message.add(c": ");
        message.add_pieces(why);
        message
    }

    fn add_pieces(&mut self, pieces: &[Piece<'_>]) {
        for piece in pieces {
            match *piece {
                Piece::Text(text) => self.add(text),
                Piece::Foreign(text) if text.is_null() => self.add(c"(null)"),
                // SAFETY: a C string, as its type says.
                Piece::Foreign(text) => self.add(unsafe { CStr::from_ptr(text) }),
                Piece::Address(address) => self.add_digits(address.addr(), 16, c"0x"),
                Piece::Number(number) => self.add_digits(number, 10, c""),
            }
        }
    }

    fn add_digits(&mut self, mut value: usize, base: usize, prefix: &CStr) {
        let mut digits = [0u8; 21];
        let mut from = digits.len() - 1;
        loop {
            from -= 1;
            digits[from] = b"0123456789abcdef"[value % base];
            value /= base;
            if value == 0 {
                break;
            }
        }
        self.add(prefix);
        self.add(CStr::from_bytes_until_nul(&digits[from..]).unwrap_or_default());
    }

    /// Room is kept for one more byte and the NUL, so that [`line`](Self::line) always fits.
    fn add(&mut self, piece: &CStr) {
        let room = Message::CAPACITY - 2 - self.length;
        for &byte in piece.to_bytes().iter().take(room) {
            self.text[self.length] = byte as c_char;
            self.length += 1;
        }
    }

    /// The text with a newline behind it.
    fn line(&mut self) -> *const c_char {
        self.text[self.length] = b'\n' as c_char;
        self.text[self.length + 1] = 0;
        self.text.as_ptr()
    }

    /// The text alone.
    fn text(&mut self) -> *const c_char {
        self.text[self.length] = 0;
        self.text.as_ptr()
    }
}

/// A part of a message.
#[derive(Clone, Copy)]
pub(crate) enum Piece<'a> {
    Text(&'a CStr),
    /// A C string, or null, which reads `(null)`.
    Foreign(*const c_char),
    Address(*const c_void),
    Number(usize),
}

/// Logs one line made of `pieces`.
#[cold]
#[inline(never)]
pub(crate) fn say(pieces: &[Piece<'_>]) {
    let mut message = Message { text: [0; Message::CAPACITY], length: 0 };
    message.add_pieces(pieces);
    // SAFETY: a line is a C string.
    unsafe { hooks::log(message.line()) }
}

/// Says that `function` was called with what makes no sense, and why: a log line, and `errno` is `EINVAL`.
#[cold]
pub(crate) fn misuse(function: &CStr, why: &[Piece<'_>]) {
    misused(function, why).report();
}

/// What [`misuse`] is to say, with all names copied: for chunks of shared contexts, whose names others may free as soon
/// as these are left, while nothing can be logged before.
pub(crate) struct Misuse(Message);

/// The misuse of `function`, and why it is one.
#[cold]
pub(crate) fn misused(function: &CStr, why: &[Piece<'_>]) -> Misuse {
    Misuse(Message::of_refusal(function, why))
}

impl Misuse {
    /// Says it, as [`misuse`] does. Nothing is entered.
    #[cold]
    pub(crate) fn report(mut self) {
        // SAFETY: a line is a C string.
        unsafe { hooks::log(self.0.line()) }
        invalid();
    }
}

/// Says that `function` cannot do what it should at the moment, and why: a log line, and `errno` is `EBUSY`.
#[cold]
pub(crate) fn busy(function: &CStr, why: &[Piece<'_>]) {
    // SAFETY: a line is a C string.
    unsafe { hooks::log(Message::of_refusal(function, why).line()) }
    set_errno(libc::EBUSY);
}

/// [`misuse`]: `ptr` is no `what` that is alive.
#[cold]
pub(crate) fn no_resident(function: &CStr, what: &CStr, ptr: *const c_void, fault: Fault) {
    let (verdict, location) = match fault {
        Fault::Freed { location } if location.is_null() => (c" that is alive: it was freed", c"".as_ptr()),
        Fault::Freed { location } => (c" that is alive: it was freed at ", location),
        Fault::Unknown | Fault::Interrupted => (c"", c"".as_ptr()),
    };
    let what = [Piece::Address(ptr), Piece::Text(c" is no "), Piece::Text(what), Piece::Text(verdict)];
    let [address, is_no, what, verdict] = what;
    misuse(function, &[address, is_no, what, verdict, Piece::Foreign(location)]);
}

/// Says why the chunk of a resident lives on, which `function` was to free; `errno` is `EBUSY`. The chunk is alive.
#[cold]
pub(crate) fn not_destroyed(function: &CStr, chunk: Chunk, error: FreeError) {
    let why = match error {
        FreeError::HasReferences => c"' has references",
        _ => c"' refuses to be freed",
    };
    busy(function, &[Piece::Text(c"'"), Piece::Foreign(name_of(chunk)), Piece::Text(why)]);
}

/// Logs that the tree freed a resident that was in use. Set as the core's handler whenever a resident is made.
pub(crate) fn hear_notices() {
    notice::set_handler(|notice| {
        let (what, parts) = match notice.kind {
            Kind::Cache => (c"cache '", c" objects"),
            Kind::Mempool => (c"mempool '", c" elements"),
            Kind::Genpool => (c"genpool '", c" allocations"),
        };
        say(&[
            Piece::Text(c"WARNING: "),
            Piece::Text(what),
            Piece::Foreign(notice.name),
            Piece::Text(c"' was freed while "),
            Piece::Number(notice.in_use),
            Piece::Text(parts),
            Piece::Text(c" were in use"),
        ]);
    });
}

/// What is to be logged, with all names copied, as in [`Misuse`].
pub(crate) struct Words(Message);

/// The words that `pieces` make.
///
/// # Safety
/// Each piece is a C string or null.
#[cold]
pub(crate) unsafe fn words(pieces: &[*const c_char]) -> Words {
    // SAFETY: as the caller promises.
    Words(unsafe { Message::of(pieces) })
}

impl Words {
    /// Logs them as a line. Nothing is entered.
    #[cold]
    pub(crate) fn log(mut self) {
        // SAFETY: a line is a C string.
        unsafe { hooks::log(self.0.line()) }
    }

    /// Logs them as a line and aborts with them as the reason. Returns if the user's abort function does. Nothing
    /// is entered.
    #[cold]
    pub(crate) fn abort(mut self) {
        // SAFETY: both forms are C strings.
        unsafe {
            hooks::log(self.0.line());
            hooks::abort(self.0.text());
        }
    }
}

/// Logs one line made of `pieces`.
///
/// # Safety
/// Each piece is a C string or null.
#[cold]
pub(crate) unsafe fn log_line(pieces: &[*const c_char]) {
    // SAFETY: as the caller promises.
    unsafe { words(pieces) }.log();
}

/// Logs `pieces` as a line and aborts with them as the reason. Returns if the user's abort
/// function does.
///
/// # Safety
/// Each piece is a C string or null.
#[cold]
pub(crate) unsafe fn abort(pieces: &[*const c_char]) {
    // SAFETY: as the caller promises.
    unsafe { words(pieces) }.abort();
}

/// Reports a pointer that is no live chunk. Returns if the user's abort function does.
#[cold]
pub(crate) fn bad_pointer(fault: Fault) {
    // SAFETY: the pieces are C strings; the core keeps only locations that the program gave as such.
    unsafe {
        match fault {
            Fault::Freed { location } => {
                log_line(&[c"talloc: access after free error - first free may be at ".as_ptr(), location]);
                abort(&[c"Bad talloc magic value - access after free".as_ptr()]);
            }
            Fault::Unknown => abort(&[c"Bad talloc magic value - unknown value".as_ptr()]),
            Fault::Interrupted => abort(&[INTERRUPTED.as_ptr()]),
        }
    }
}

/// What is said where a thread would wait for a lock that it has itself.
const INTERRUPTED: &CStr = c"A signal handler uses memory that its thread was in the middle of changing";

/// A thread would wait for itself, in the middle of a call. The process ends after this.
#[cold]
pub(crate) fn deadlock() {
    // SAFETY: a C string.
    unsafe { abort(&[INTERRUPTED.as_ptr()]) }
}

/// Sets `errno` to say why memory was not given.
#[cold]
pub(crate) fn no_memory(error: AllocError) {
    set_errno(match error {
        AllocError::TooLarge | AllocError::OutOfMemory | AllocError::LimitReached => libc::ENOMEM,
        AllocError::Refused => libc::EINVAL,
    });
}

/// Says that the arguments make no sense.
#[cold]
pub(crate) fn invalid() {
    set_errno(libc::EINVAL);
}

/// Says why a handle was of no use: `ESTALE`, `EBUSY`, `EPERM` or `EINVAL`.
#[cold]
pub(crate) fn handle_refused(number: c_int) {
    set_errno(number);
}

/// Sets `errno`, and says nothing.
pub(crate) fn set_errno(number: c_int) {
    // SAFETY: the C library gives each thread its own errno.
    unsafe { *libc::__errno_location() = number }
}

/// Logs `what` with the place of the call, and then where each reference to `ptr` was made.
///
/// # Safety
/// `ptr` is a live chunk; `location` is a C string or null.
#[cold]
pub(crate) unsafe fn still_referenced(what: &CStr, ptr: *const c_void, location: *const c_char) {
    // SAFETY: as the caller promises; the core keeps the locations as the program gave them.
    unsafe {
        log_line(&[what.as_ptr(), c" with references at ".as_ptr(), location]);
        // One at a time: while one is logged, nothing is entered.
        let mut index = 0;
        while let Ok(Some(reference)) = with(ptr, |chunk| ops::reference_locations(chunk).nth(index)) {
            log_line(&[c"\treference at ".as_ptr(), reference]);
            index += 1;
        }
    }
}
