//! Looking up the tree: the parent, and what lies above it. Each step is one load.

use core::ffi::{c_char, c_int, c_void};
use core::iter::successors;
use core::ptr::{null, null_mut};
use tmempool::tree::Chunk;

use crate::names::{name_of, same};
use crate::pointer::chunk;

/// The chunk behind `ptr` and all above it, upward; nothing for NULL.
///
/// # Safety
/// Contract.
unsafe fn upward(ptr: *const c_void) -> impl Iterator<Item = Chunk> {
    // SAFETY: contract.
    successors(unsafe { unless_null(ptr) }, |chunk| chunk.parent())
}

/// The chunk of `ptr`; none for NULL.
///
/// # Safety
/// Contract.
unsafe fn unless_null(ptr: *const c_void) -> Option<Chunk> {
    // SAFETY: contract.
    if ptr.is_null() { None } else { unsafe { chunk(ptr) }.ok() }
}

/// The parent of `ptr`; NULL where it has none, and for NULL. A reference does not make a parent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_parent(ptr: *const c_void) -> *mut c_void {
    // SAFETY: contract.
    unsafe { unless_null(ptr) }.and_then(Chunk::parent).map_or(null_mut(), Chunk::ptr)
}

/// The name of the parent of `ptr`; NULL where it has no parent or that has no name, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_parent_name(ptr: *const c_void) -> *const c_char {
    // SAFETY: contract.
    unsafe { upward(ptr) }.nth(1).map_or(null(), Chunk::name)
}

/// The nearest chunk named `name` at `ctx` or above it; NULL where there is none, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_find_parent_byname(ctx: *const c_void, name: *const c_char) -> *mut c_void {
    // SAFETY: contract.
    unsafe { upward(ctx).find(|chunk| same(chunk.name(), name)).map_or(null_mut(), Chunk::ptr) }
}

/// Whether `ptr` is `context` itself or lies above it: 1 or 0. 0 where either is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_is_parent(context: *const c_void, ptr: *const c_void) -> c_int {
    // SAFETY: contract.
    let found = unsafe { upward(context) }.any(|chunk| chunk.ptr().cast_const() == ptr);
    c_int::from(found)
}

/// Writes the names of `context` and of all above it to `file`, a line each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_show_parents(context: *const c_void, file: *mut libc::FILE) {
    if file.is_null() {
        return;
    }
    // SAFETY: contract; the formats take C strings, and name_of() gives such.
    unsafe {
        let mut line = upward(context).peekable();
        if let Some(&chunk) = line.peek() {
            libc::fprintf(file, c"talloc parents of '%s'\n".as_ptr(), name_of(chunk));
        } else if context.is_null() {
            libc::fputs(c"talloc no parents for NULL\n".as_ptr(), file);
        }
        for chunk in line {
            libc::fprintf(file, c"\t'%s'\n".as_ptr(), name_of(chunk));
        }
        libc::fflush(file);
    }
}
