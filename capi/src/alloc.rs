//! Allocating one chunk, copying into a new one, and changing the size of one.

use core::ffi::{c_char, c_void};
use core::ptr::{self, null, null_mut};
use tmempool::mem::span::SpanRef;
use tmempool::ops;
use tmempool::tree::chunk::{Chunk, MEMBER};
use tmempool::tree::sight::{Found, Look, Suspect};

use crate::pointer::{refused, with, with_context, with_slow};
use crate::reference::unlinked;

/// Allocates `size` bytes under `context`, with no name.
///
/// @param context  the parent; NULL for none.
/// @param size     bytes; less than 256 MiB.
/// @return         the payload, aligned to 16 bytes and not initialised; NULL with errno ENOMEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _talloc(context: *const c_void, size: usize) -> *mut c_void {
    // SAFETY: contract.
    unsafe { named(context, size, null()) }
}

/// Allocates `size` bytes under `context`, named `name`. What `talloc(ctx, type)`,
/// `talloc_size()` and `talloc_new()` stand for.
///
/// @param context  the parent; NULL for none.
/// @param size     bytes; less than 256 MiB.
/// @param name     kept as a pointer, so that it must outlive the chunk; NULL for none.
/// @return         the payload, aligned to 16 bytes and not initialised; NULL with errno ENOMEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_named_const(
    context: *const c_void,
    size: usize,
    name: *const c_char,
) -> *mut c_void {
    // SAFETY: contract.
    unsafe { named(context, size, name) }
}

/// [`talloc_named_const`], inlined where it is called from Rust.
///
/// # Safety
/// Contract.
#[inline(always)]
pub(crate) unsafe fn named(context: *const c_void, size: usize, name: *const c_char) -> *mut c_void {
    // SAFETY: contract.
    unsafe {
        let Some(sight) = Chunk::sight(context) else { return named_slow(context, size, name) };
        if let Some(parent) = sight.plain_parent() {
            return match ops::alloc_found(parent, size, name) {
                Some(chunk) => chunk.ptr(),
                None => named_unready(parent.chunk(), size, name),
            };
        }
        match sight.look() {
            Look::Plain(parent) => {
                let (parent, span) = parent.parts();
                named_in_pool(parent, size, name, span)
            }
            Look::Member(suspect) => named_below_member(context, size, name, suspect),
            Look::Shared | Look::Unknown => named_slow(context, size, name),
        }
    }
}

/// [`named`] for a parent that has been checked, which may be a pool, or a member of one.
///
/// # Safety
/// Contract.
#[inline(never)]
unsafe fn named_in_pool(parent: Chunk, size: usize, name: *const c_char, span: SpanRef) -> *mut c_void {
    // SAFETY: contract; they are the parts of what was found.
    unsafe {
        match ops::alloc_in_pool(Found::of_parts(parent, span), size, name) {
            Some(chunk) => chunk.ptr(),
            None => named_unready(parent, size, name),
        }
    }
}

/// [`named`] for what may be a member of a pool.
///
/// # Safety
/// Contract.
#[inline(never)]
unsafe fn named_below_member(
    context: *const c_void,
    size: usize,
    name: *const c_char,
    suspect: Suspect,
) -> *mut c_void {
    // SAFETY: contract.
    unsafe {
        match ops::alloc_below_member(suspect, size, name) {
            Some(chunk) => chunk.ptr(),
            None => named_slow(context, size, name),
        }
    }
}

/// [`named`] for a parent that has been checked, whose heap has no slot at hand, or which a pool may serve.
///
/// # Safety
/// Contract.
#[inline(never)]
unsafe fn named_unready(parent: Chunk, size: usize, name: *const c_char) -> *mut c_void {
    // SAFETY: contract.
    unsafe {
        match ops::alloc_unready(parent, size, name) {
            Some(chunk) => chunk.ptr(),
            None => named_below(Some(parent), size, name),
        }
    }
}

/// [`named`], the whole of it: kept apart, so that the short way needs no room on the stack.
///
/// # Safety
/// Contract.
#[inline(never)]
unsafe fn named_slow(context: *const c_void, size: usize, name: *const c_char) -> *mut c_void {
    // SAFETY: contract.
    unsafe {
        if context.is_null() {
            return match ops::alloc_root_quick(size, name) {
                Some(root) => root.ptr(),
                None => named_below(None, size, name),
            };
        }
        if let Some(chunk) = ops::alloc_below_other(context, size, name) {
            return chunk.ptr();
        }
        with_slow(context, |parent| named_below(Some(parent), size, name)).unwrap_or(null_mut())
    }
}

/// [`named`] for a parent that has been checked.
///
/// # Safety
/// Contract.
#[inline(never)]
unsafe fn named_below(parent: Option<Chunk>, size: usize, name: *const c_char) -> *mut c_void {
    // SAFETY: contract.
    unsafe {
        match ops::alloc(parent, size) {
            Ok(chunk) => {
                chunk.set_name(name);
                chunk.ptr()
            }
            Err(error) => refused(error),
        }
    }
}

/// Allocates `size` bytes of zeros under `ctx`, named `name`.
///
/// @param ctx   the parent; NULL for none.
/// @param size  bytes; less than 256 MiB.
/// @param name  kept as a pointer; NULL for none.
/// @return      the payload, aligned to 16 bytes; NULL with errno ENOMEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _talloc_zero(ctx: *const c_void, size: usize, name: *const c_char) -> *mut c_void {
    // SAFETY: contract.
    unsafe { zeroed(ctx, size, name) }
}

/// # Safety
/// Contract.
#[inline(always)]
pub(crate) unsafe fn zeroed(ctx: *const c_void, size: usize, name: *const c_char) -> *mut c_void {
    // SAFETY: contract; the new chunk has `size` bytes.
    unsafe {
        let Some(sight) = Chunk::sight(ctx) else { return zeroed_slow(ctx, size, name) };
        if let Some(chunk) = sight.plain_parent().and_then(|parent| ops::alloc_found(parent, size, name)) {
            chunk.ptr().cast::<u8>().write_bytes(0, size);
            return chunk.ptr();
        }
        match sight.look() {
            Look::Plain(parent) => {
                let (parent, span) = parent.parts();
                zeroed_in_pool(parent, size, name, span)
            }
            _ => zeroed_slow(ctx, size, name),
        }
    }
}

/// [`zeroed`] for a parent that has been checked, which may be a pool, or a member of one.
///
/// # Safety
/// Contract.
#[inline(never)]
unsafe fn zeroed_in_pool(parent: Chunk, size: usize, name: *const c_char, span: SpanRef) -> *mut c_void {
    // SAFETY: contract; they are the parts of what was found; the new chunk has `size` bytes.
    unsafe {
        match ops::alloc_in_pool(Found::of_parts(parent, span), size, name) {
            Some(chunk) => {
                chunk.ptr().cast::<u8>().write_bytes(0, size);
                chunk.ptr()
            }
            None => zeroed_slow(parent.ptr(), size, name),
        }
    }
}

/// [`named`], only if it comes from the pool of which `ctx` is a member, in a block that shares its span with others, and threads
/// do not share it. `None` says nothing.
///
/// # Safety
/// Contract.
#[inline(always)]
pub(crate) unsafe fn in_pool_of(ctx: *const c_void, size: usize, name: *const c_char) -> Option<Chunk> {
    // SAFETY: contract.
    unsafe {
        match Chunk::look(ctx) {
            Look::Member(suspect) => ops::alloc_below_member(suspect, size, name),
            _ => None,
        }
    }
}

/// # Safety
/// Contract.
#[inline(never)]
unsafe fn zeroed_slow(ctx: *const c_void, size: usize, name: *const c_char) -> *mut c_void {
    // SAFETY: contract; the new chunk has `size` bytes.
    unsafe {
        if let Some(chunk) = in_pool_of(ctx, size, name) {
            chunk.ptr().cast::<u8>().write_bytes(0, size);
            return chunk.ptr();
        }
        with_context(ctx, |parent| zeroed_below(parent, size, name)).unwrap_or(null_mut())
    }
}

/// # Safety
/// Contract.
#[inline(always)]
unsafe fn zeroed_below(parent: Option<Chunk>, size: usize, name: *const c_char) -> *mut c_void {
    // SAFETY: contract.
    unsafe {
        match ops::alloc_zeroed(parent, size) {
            Ok(chunk) => {
                chunk.set_name(name);
                chunk.ptr()
            }
            Err(error) => refused(error),
        }
    }
}

/// Copies `size` bytes from `p` into a new chunk under `t`, named `name`.
///
/// @param t     the parent; NULL for none.
/// @param p     at least `size` bytes; NULL only where `size` is 0.
/// @param size  bytes; less than 256 MiB.
/// @param name  kept as a pointer; NULL for none.
/// @return      the copy, aligned to 16 bytes; NULL where `p` is, or with errno ENOMEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _talloc_memdup(
    t: *const c_void,
    p: *const c_void,
    size: usize,
    name: *const c_char,
) -> *mut c_void {
    if p.is_null() && size > 0 {
        return null_mut();
    }
    // SAFETY: contract; the new chunk has room for the `size` bytes that the caller has at `p`.
    unsafe {
        let copy = named(t, size, name);
        if !copy.is_null() && size > 0 {
            ptr::copy_nonoverlapping(p.cast::<u8>(), copy.cast::<u8>(), size);
        }
        copy
    }
}

/// Changes the size of `ptr` to `size`, moving it where it must. The parent, children, references
/// and destructor stay; the name becomes `name` if the memory had to grow or move.
///
/// With `ptr` NULL this is an allocation under `context`; with `size` 0 it is
/// `talloc_unlink(context, ptr)`. A pool, and a chunk that others refer to, are refused.
///
/// @param context  the parent of what is allocated, or the owner of what is unlinked.
/// @param ptr      a chunk, or NULL.
/// @param size     bytes; less than 256 MiB.
/// @param name     kept as a pointer; NULL for none.
/// @return         the payload in its place; NULL with `ptr` as it was, or for `size` 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _talloc_realloc(
    context: *const c_void,
    ptr: *mut c_void,
    size: usize,
    name: *const c_char,
) -> *mut c_void {
    // SAFETY: contract.
    unsafe { resized(context, ptr, size, name) }
}

/// # Safety
/// Contract.
#[inline]
pub(crate) unsafe fn resized(
    context: *const c_void,
    ptr: *mut c_void,
    size: usize,
    name: *const c_char,
) -> *mut c_void {
    // SAFETY: contract.
    unsafe {
        if ptr.is_null() {
            return if size > 0 { named(context, size, name) } else { null_mut() };
        }
        if size > 0 {
            // The context is not looked at: programs pass what is none.
            return match Chunk::find(ptr) {
                Some(old) if old.flags() == MEMBER => {
                    let (old, span) = old.parts();
                    grown_member(old, size, name, span)
                }
                Some(old) => grown(old.chunk(), size, name),
                None => grown_slow(ptr, size, name),
            };
        }
        let _ = unlinked(context, ptr);
        null_mut()
    }
}

/// [`grown`] of a member of a pool that was found just now.
///
/// # Safety
/// Contract; `size` is not 0.
#[inline(never)]
unsafe fn grown_member(old: Chunk, size: usize, name: *const c_char, span: SpanRef) -> *mut c_void {
    // SAFETY: contract; they are the parts of what was found.
    unsafe {
        if ops::extend_found(Found::of_parts(old, span), size) {
            old.set_name(name);
            return old.ptr();
        }
        grown(old, size, name)
    }
}

/// [`grown`] of what the short way has turned down.
///
/// # Safety
/// Contract; `size` is not 0.
#[inline(never)]
unsafe fn grown_slow(ptr: *mut c_void, size: usize, name: *const c_char) -> *mut c_void {
    // SAFETY: contract.
    unsafe { with_slow(ptr, |old| grown(old, size, name)) }.unwrap_or(null_mut())
}

/// `old` with `size` bytes, renamed if it went the long way; NULL with `errno` set and `old` as it
/// was.
///
/// # Safety
/// Contract; `size` is not 0.
#[inline(always)]
unsafe fn grown(old: Chunk, size: usize, name: *const c_char) -> *mut c_void {
    // SAFETY: contract.
    unsafe {
        match ops::realloc(old, size) {
            Ok((chunk, rename)) => {
                if rename {
                    chunk.set_name(name);
                }
                chunk.ptr()
            }
            Err(error) => refused(error),
        }
    }
}

/// `_talloc_realloc()` as a function without a name, to be given to code that asks for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn talloc_realloc_fn(
    context: *const c_void,
    ptr: *mut c_void,
    size: usize,
) -> *mut c_void {
    // SAFETY: contract.
    unsafe { resized(context, ptr, size, null()) }
}

/// The size of the payload of `ptr`, 0 for NULL or a chunk that is none.
///
/// # Safety
/// Contract.
#[inline(always)]
pub(crate) unsafe fn payload_size(ptr: *const c_void) -> usize {
    if ptr.is_null() {
        return 0;
    }
    // SAFETY: contract.
    unsafe { with(ptr, Chunk::size) }.unwrap_or(0)
}
