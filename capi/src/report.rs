//! Reports: what a tree holds, to a stream or to a function.
//!
//! Nothing here takes a lock of its own or allocates, so that a report in a signal handler cannot
//! deadlock on the library. A shared context is entered while it is looked at, and never while a line is written or a
//! callback runs: what these are told has been noted down before, and may have changed since.

use core::ffi::{c_int, c_ulong, c_void};
use core::slice;
use tmempool::ops;
use tmempool::report::{Visit, may_be_shared, walk};
use tmempool::tree::Chunk;

use crate::mapped::Mapped;
use crate::names::name_of;
use crate::size::with_root;
use crate::text::{Text, print};

/// How deep a short report goes: the context and its children.
const SHORT: c_int = 1;

/// A report without end.
const FULL: c_int = -1;

/// Calls `callback` for `ptr` and all below it, newest children first; for a reference, with the
/// chunk that it leads to, and not below that.
///
/// @param ptr           a chunk; NULL for the null context.
/// @param depth         the depth to be told for `ptr`; its children are one deeper.
/// @param max_depth     the last depth to be visited; negative for all.
/// @param callback      is given a chunk, its depth, `max_depth`, 1 for a reference or else 0, and
///                      `private_data`. It must not change the tree. Where the program uses shared contexts, it
///                      is called after all has been looked at: of what other threads may free meanwhile, it must not
///                      look at more than the pointer.
/// @param private_data  handed to `callback`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_report_depth_cb(
    ptr: *const c_void,
    depth: c_int,
    max_depth: c_int,
    callback: Option<
        unsafe extern "C" fn(
            ptr: *const c_void,
            depth: c_int,
            max_depth: c_int,
            is_ref: c_int,
            private_data: *mut c_void,
        ),
    >,
    private_data: *mut c_void,
) {
    let Some(callback) = callback else {
        return;
    };
    // SAFETY: contract; the callback takes what talloc.h says.
    unsafe {
        let tell = |told: Told| {
            callback(told.ptr, told.depth, max_depth, c_int::from(told.is_reference), private_data);
        };
        if may_be_shared() {
            // First noted down, then told: the callback is called when nothing is entered.
            let mut all = Mapped::default();
            with_root(ptr, |root| walk(root, depth, max_depth, &mut |visit| Told::of(visit).note(&mut all)));
            Told::noted(&all).iter().copied().for_each(tell);
        } else {
            with_root(ptr, |root| walk(root, depth, max_depth, &mut |visit| tell(Told::of(visit))));
        }
    }
}

/// What a callback is told of a chunk.
#[derive(Clone, Copy)]
struct Told {
    ptr: *const c_void,
    depth: c_int,
    is_reference: bool,
}

impl Told {
    fn of(visit: Visit) -> Told {
        Told { ptr: visit.chunk.ptr(), depth: visit.depth, is_reference: visit.is_reference }
    }

    /// Notes it down. What there is no memory for is left out.
    fn note(self, all: &mut Mapped) {
        if let Some((at, _)) = all.room(size_of::<Told>()) {
            // SAFETY: room for it; what lies there is a multiple of its size from the start of a page.
            unsafe { at.cast().write(self) };
            all.fill(size_of::<Told>());
        }
    }

    fn noted(all: &Mapped) -> &[Told] {
        let bytes = all.bytes();
        // SAFETY: all that was noted down is one of them after the other.
        unsafe { slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / size_of::<Told>()) }
    }
}

/// Writes a report on `ptr` and all below it to `f`, a line each, newest children first: name,
/// bytes and blocks of its tree, references to it, address.
///
/// @param ptr        a chunk; NULL for the null context.
/// @param depth      the depth of `ptr`, which sets the indentation; 0 also gives a title line.
/// @param max_depth  the last depth to be shown; negative for all.
/// @param f          a stream; NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_report_depth_file(
    ptr: *const c_void,
    depth: c_int,
    max_depth: c_int,
    f: *mut libc::FILE,
) {
    // SAFETY: contract.
    unsafe { write(ptr, depth, max_depth, f) }
}

/// Writes a report on all of the tree of `ptr` to `f`, as `talloc_report_depth_file()` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_report_full(ptr: *const c_void, f: *mut libc::FILE) {
    // SAFETY: contract.
    unsafe { write(ptr, 0, FULL, f) }
}

/// Writes a report on `ptr` and its children to `f`, as `talloc_report_depth_file()` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_report(ptr: *const c_void, f: *mut libc::FILE) {
    // SAFETY: contract.
    unsafe { write(ptr, 0, SHORT, f) }
}

/// # Safety
/// Contract; `file` is an open stream or null.
pub(crate) unsafe fn write(ptr: *const c_void, depth: c_int, max_depth: c_int, file: *mut libc::FILE) {
    if file.is_null() {
        return;
    }
    // SAFETY: contract.
    unsafe {
        let mut text = Text::new(file, may_be_shared());
        with_root(ptr, |root| walk(root, depth, max_depth, &mut |visit| write_visit(&mut text, &visit)));
        text.finish(file);
    }
}

/// Writes a report on the tree of `root`, if it is alive, to `file`.
///
/// # Safety
/// Contract; `file` is an open stream.
pub(crate) unsafe fn write_tree(root: Chunk, file: *mut libc::FILE) {
    let mut text = Text::new(file, may_be_shared());
    // SAFETY: as the caller promises.
    unsafe {
        if let Ok((entry, root)) = ops::enter_one(root.ptr()) {
            walk(root, 0, FULL, &mut |visit| write_visit(&mut text, &visit));
            drop(entry);
        }
        text.finish(file);
    }
}

/// # Safety
/// The chunk visited is alive, and so is the stream of the text.
unsafe fn write_visit(text: &mut Text, visit: &Visit) {
    let name = name_of(visit.chunk);
    let indent = visit.depth.wrapping_mul(4);
    // SAFETY: each format is given what it asks for.
    unsafe {
        if visit.is_reference {
            print!(text, c"%*sreference to: %s\n", indent, c"".as_ptr(), name);
            return;
        }
        if let Some(limit) = visit.chunk.limit() {
            print!(
                text,
                c"%*s%-30s is a memlimit context (max_size = %lu bytes, cur_size = %lu bytes)\n",
                indent,
                c"".as_ptr(),
                name,
                limit.max as c_ulong,
                limit.current as c_ulong,
            );
        }
        let (size, blocks) = (visit.total_size as c_ulong, visit.total_blocks as c_ulong);
        if visit.depth == 0 {
            print!(
                text,
                c"%stalloc report on '%s' (total %6lu bytes in %3lu blocks)\n",
                if visit.max_depth < 0 { c"full " } else { c"" }.as_ptr(),
                name,
                size,
                blocks,
            );
        } else {
            print!(
                text,
                c"%*s%-30s contains %6lu bytes in %3lu blocks (ref %d) %p\n",
                indent,
                c"".as_ptr(),
                name,
                size,
                blocks,
                ops::reference_count(visit.chunk) as c_int,
                visit.chunk.ptr(),
            );
        }
    }
}
