//! Reports: what a tree holds, to a stream or to a function.
//!
//! Nothing here takes a lock of its own or allocates, so that a report in a signal handler cannot
//! deadlock on the library.

use core::ffi::{c_int, c_ulong, c_void};
use tmempool::ops;
use tmempool::report::{Visit, walk};
use tmempool::tree::Chunk;

use crate::names::name_of;
use crate::size::root;

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
///                      `private_data`. It must not change the tree.
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
        if let Some(root) = root(ptr) {
            walk(root, depth, max_depth, &mut |visit: Visit| {
                callback(
                    visit.chunk.ptr(),
                    visit.depth,
                    visit.max_depth,
                    c_int::from(visit.is_reference),
                    private_data,
                );
            });
        }
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
        if let Some(root) = root(ptr) {
            write_tree(root, depth, max_depth, file);
        }
    }
}

/// # Safety
/// `root` is alive; `file` is an open stream.
pub(crate) unsafe fn write_tree(root: Chunk, depth: c_int, max_depth: c_int, file: *mut libc::FILE) {
    // SAFETY: as the caller promises.
    unsafe {
        walk(root, depth, max_depth, &mut |visit| write_visit(file, &visit));
        libc::fflush(file);
    }
}

/// # Safety
/// `file` is an open stream, and the chunk visited is alive.
unsafe fn write_visit(file: *mut libc::FILE, visit: &Visit) {
    let name = name_of(visit.chunk);
    let indent = visit.depth.wrapping_mul(4);
    // SAFETY: each format is given what it asks for.
    unsafe {
        if visit.is_reference {
            let format = c"%*sreference to: %s\n".as_ptr();
            libc::fprintf(file, format, indent, c"".as_ptr(), name);
            return;
        }
        if let Some(limit) = visit.chunk.limit() {
            libc::fprintf(
                file,
                c"%*s%-30s is a memlimit context (max_size = %lu bytes, cur_size = %lu bytes)\n".as_ptr(),
                indent,
                c"".as_ptr(),
                name,
                limit.max as c_ulong,
                limit.current as c_ulong,
            );
        }
        let (size, blocks) = (visit.total_size as c_ulong, visit.total_blocks as c_ulong);
        if visit.depth == 0 {
            libc::fprintf(
                file,
                c"%stalloc report on '%s' (total %6lu bytes in %3lu blocks)\n".as_ptr(),
                if visit.max_depth < 0 { c"full " } else { c"" }.as_ptr(),
                name,
                size,
                blocks,
            );
        } else {
            libc::fprintf(
                file,
                c"%*s%-30s contains %6lu bytes in %3lu blocks (ref %d) %p\n".as_ptr(),
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
