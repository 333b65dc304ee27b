//! The library's beginning and end in a process: what is done when it is loaded, and when the process
//! exits or the library is unloaded. Whoever started the process may ask, in `TMEMPOOL_OPTIONS`, to be
//! told of both (`tmempool run` does):
//!
//! - `notify=FILE`: at the beginning, a line `PID LIBRARY` is added to FILE.
//! - `report=FILE`: at the end, a report on all that is still allocated is added to FILE, in whose
//!   name `%p` stands for the process id.
//!
//! The beginning does not touch our heap. A file that cannot be written is let be: the program never
//! notices.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::zeroed;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use tmempool::{mem, process};

use crate::{exit_report, fault, handle_chunk, layout, roots};

/// Bytes of a path, with its NUL.
const PATH: usize = 4096;

/// Where the report goes: kept from the beginning, for programs overwrite their environment. Empty
/// where there is to be none.
static REPORT: [AtomicU8; PATH] = [const { AtomicU8::new(0) }; PATH];
/// Whether there may be one: asked instead of the path, whose page most processes never touch.
static REPORTS: AtomicBool = AtomicBool::new(false);

/// Run by the loader before the program starts, or when the library is loaded later. In a program that the library is linked
/// into, before all constructors that ask for no place: the lower the number, the earlier, and up to 100 are the compiler's.
#[used]
#[unsafe(link_section = ".init_array.00101")]
static BEGINNING: extern "C" fn() = beginning;

/// Run by the C library after the handlers of atexit(), and after the ends of the libraries that
/// need this one.
#[used]
#[unsafe(link_section = ".fini_array")]
static END: extern "C" fn() = end;

extern "C" fn beginning() {
    // Kept in programs that are linked with the static library and drop what nothing leads to.
    core::hint::black_box(&raw const layout::tm_layout);
    mem::threads::begin();
    process::on_deadlock(fault::deadlock);
    if let Some(path) = process::option("notify") {
        notify(path);
    }
    if let Some(path) = process::option("report") {
        keep(path);
    }
}

/// Notes where the report is to go.
#[cold]
#[inline(never)]
fn keep(path: &[u8]) {
    for (place, byte) in REPORT.iter().zip(terminated::<PATH>(path).into_iter().flatten()) {
        place.store(byte, Ordering::Relaxed);
    }
    REPORTS.store(true, Ordering::Relaxed);
}

extern "C" fn end() {
    // Unloading comes here first, before what atexit() has for this library.
    roots::at_exit();
    if REPORTS.load(Ordering::Relaxed) {
        report();
    }
    if mem::threads::end() {
        handle_chunk::unload();
    }
}

/// `text` with a NUL behind it; None if it is too long or empty.
fn terminated<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut copy = [0; N];
    copy.get_mut(..text.len()).filter(|_| !text.is_empty() && text.len() < N)?.copy_from_slice(text);
    Some(copy)
}

/// Says which library this process has loaded, in one write, so that lines of several processes do
/// not mix.
#[cold]
#[inline(never)]
fn notify(path: &[u8]) {
    let Some(path) = terminated::<PATH>(path) else {
        return;
    };
    // SAFETY: Dl_info is plain data; dladdr() fills it in where it finds the function.
    let library = unsafe {
        let mut info: libc::Dl_info = zeroed();
        libc::dladdr(beginning as *const c_void, &mut info);
        if info.dli_fname.is_null() { c"".as_ptr() } else { info.dli_fname }
    };
    let file = open(&path);
    if file < 0 {
        return;
    }
    let mut line: [c_char; PATH + 32] = [0; PATH + 32];
    // SAFETY: the buffer is as long as is said, and the format takes a number and a C string.
    unsafe {
        let length =
            libc::snprintf(line.as_mut_ptr(), line.len(), c"%d %s\n".as_ptr(), libc::getpid(), library);
        if let Ok(length) = usize::try_from(length) {
            libc::write(file, line.as_ptr().cast(), length.min(line.len() - 1));
        }
        libc::close(file);
    }
}

/// Opens a file to add to; negative where that cannot be.
fn open(path: &[u8]) -> c_int {
    let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC | libc::O_NOCTTY;
    let Ok(path) = CStr::from_bytes_until_nul(path) else {
        return -1;
    };
    // SAFETY: a C string; the mode of a file that is created is given. errno is the program's.
    unsafe {
        let errno = *libc::__errno_location();
        let file = libc::open(path.as_ptr(), flags, 0o600 as libc::c_uint);
        *libc::__errno_location() = errno;
        file
    }
}

/// Writes the report. Apart, as paths take three pages of the stack.
#[cold]
#[inline(never)]
fn report() {
    if let Some(path) = report_path() {
        let file = open(&path);
        if file >= 0 {
            exit_report::write(file);
        }
    }
}

/// The file for the report, with this process's id in its name; None where there is to be none.
fn report_path() -> Option<[u8; PATH]> {
    let kept: [u8; PATH] = core::array::from_fn(|i| REPORT[i].load(Ordering::Relaxed));
    let kept = CStr::from_bytes_until_nul(&kept).ok()?.to_bytes();
    let mut id = [0; 16];
    // SAFETY: the buffer is as long as is said.
    let digits = unsafe { libc::snprintf(id.as_mut_ptr().cast(), id.len(), c"%d".as_ptr(), libc::getpid()) };
    let id = id.get(..usize::try_from(digits).ok()?)?;
    let mut path = [0; PATH];
    let mut length = 0;
    let mut rest = kept;
    while let Some((&byte, tail)) = rest.split_first() {
        let (piece, after) = match rest.strip_prefix(b"%p") {
            Some(after) => (id, after),
            None => (core::slice::from_ref(&byte), tail),
        };
        path.get_mut(length..length + piece.len())?.copy_from_slice(piece);
        length += piece.len();
        rest = after;
    }
    (0 < length && length < PATH).then_some(path)
}
