//! Looking up the tree: the parent, and what lies above it. Each step is one load.

use core::ffi::{c_char, c_int, c_void};
use core::ptr::{null, null_mut};
use tmempool::report::may_be_shared;
use tmempool::tree::Chunk;

use crate::names::{name_of, same};
use crate::pointer::with_context;
use crate::text::{Text, print};

/// Calls `look` with the chunk behind `ptr` and all above it, upward; with nothing for NULL.
///
/// # Safety
/// Contract.
#[inline(always)]
unsafe fn upward<R: Default>(ptr: *const c_void, look: impl FnOnce(Line) -> R) -> R {
    // SAFETY: contract.
    unsafe { with_context(ptr, |first| look(Line(first))) }.unwrap_or_default()
}

/// A chunk and all above it.
struct Line(Option<Chunk>);

impl Iterator for Line {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        let chunk = self.0?;
        self.0 = chunk.parent();
        Some(chunk)
    }
}

/// What `of` makes of the parent of `ptr`, if that has one.
///
/// # Safety
/// Contract.
#[inline(always)]
unsafe fn parent<R>(ptr: *const c_void, of: impl FnOnce(Chunk) -> R) -> Option<R> {
    // SAFETY: contract.
    unsafe { with_context(ptr, |chunk| chunk.and_then(Chunk::parent).map(of)) }.ok().flatten()
}

/// The parent of `ptr`; NULL where it has none, and for NULL. A reference does not make a parent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_parent(ptr: *const c_void) -> *mut c_void {
    // SAFETY: contract.
    unsafe {
        match Chunk::check_quick(ptr) {
            Some(chunk) => chunk.parent().map_or(null_mut(), Chunk::ptr),
            None => parent_slow(ptr),
        }
    }
}

/// [`talloc_parent`] of what the short way has turned down.
///
/// # Safety
/// Contract.
#[inline(never)]
unsafe fn parent_slow(ptr: *const c_void) -> *mut c_void {
    // SAFETY: contract.
    unsafe {
        match Chunk::check_member(ptr) {
            Some(member) => member.parent().map_or(null_mut(), Chunk::ptr),
            None => parent(ptr, Chunk::ptr).unwrap_or(null_mut()),
        }
    }
}

/// The name of the parent of `ptr`; NULL where it has no parent or that has no name, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_parent_name(ptr: *const c_void) -> *const c_char {
    // SAFETY: contract.
    unsafe { parent(ptr, Chunk::name) }.unwrap_or(null())
}

/// The nearest chunk named `name` at `ctx` or above it; NULL where there is none, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_find_parent_byname(ctx: *const c_void, name: *const c_char) -> *mut c_void {
    // SAFETY: contract.
    unsafe { upward(ctx, |mut line| line.find(|chunk| same(chunk.name(), name)).map(Chunk::ptr)) }
        .unwrap_or(null_mut())
}

/// Whether `ptr` is `context` itself or lies above it: 1 or 0. 0 where either is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_is_parent(context: *const c_void, ptr: *const c_void) -> c_int {
    // SAFETY: contract.
    let found = unsafe { upward(context, |mut line| line.any(|chunk| chunk.ptr().cast_const() == ptr)) };
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
        let mut text = Text::new(file, may_be_shared());
        upward(context, |line| {
            for (depth, chunk) in line.enumerate() {
                if depth == 0 {
                    print!(&mut text, c"talloc parents of '%s'\n", name_of(chunk));
                }
                print!(&mut text, c"\t'%s'\n", name_of(chunk));
            }
        });
        if context.is_null() {
            print!(&mut text, c"talloc no parents for NULL\n");
        }
        text.finish(file);
    }
}
