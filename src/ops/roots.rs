//! The two contexts that belong to the process: the null context, below which chunks without a parent
//! are kept while null tracking is on, and the autofree context, which is freed at exit.

use core::ffi::{c_int, c_void};
use core::ptr;
use core::sync::atomic::{
    AtomicPtr,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use super::alloc::make_chunk;
use super::free::{free_it, put_destructor};
use super::reparent;
use crate::error::AllocError;
use crate::mem::here::Change;
use crate::process::{NULL_CONTEXT, NULL_LIST, ROOTS};
use crate::tree::chunk::GUARDED;
use crate::tree::{Chunk, domain, links};

/// The payload of a null context that is out of use, kept for the next: other threads may be about to
/// look at it.
pub(crate) static RETIRED: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
/// The payload of the autofree context; null while there is none.
pub(crate) static AUTOFREE: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

fn load(root: &AtomicPtr<c_void>) -> Option<Chunk> {
    let at = root.load(Acquire);
    if at.is_null() {
        return None;
    }
    // SAFETY: any address can be checked; whoever frees a root takes it out of here.
    unsafe { Chunk::check(at) }.ok()
}

/// The null context, while null tracking is on.
#[inline]
pub fn null_context() -> Option<Chunk> {
    if is_tracking() { load(&NULL_CONTEXT) } else { None }
}

/// Whether chunks made without a parent get one.
#[inline(always)]
pub(super) fn is_tracking() -> bool {
    !NULL_CONTEXT.load(Relaxed).is_null()
}

/// From now on chunks made without a parent are children of the null context. Those made before stay
/// as they are, but for the autofree context, if `with_autofree` and nobody has it. Where tracking is on already, and
/// without memory for the null context, nothing changes.
///
/// # Safety
/// See the [module](super).
pub unsafe fn enable_null_tracking(with_autofree: bool) {
    let _change = Change::begin();
    let _held = ROOTS.hold();
    if null_context().is_some() {
        return;
    }
    // One that was in use before may still be looked at: it is as it should be.
    let retired = load(&RETIRED);
    let Some(context) = retired.or_else(new_null_context) else { return };
    RETIRED.store(ptr::null_mut(), Release);
    NULL_CONTEXT.store(context.ptr(), Release);
    if with_autofree
        && let Some(autofree) = load(&AUTOFREE)
        && domain::guess(autofree).is_none()
        && autofree.parent().is_none()
    {
        reparent::relink(autofree, Some(context));
    }
}

fn new_null_context() -> Option<Chunk> {
    let context = make_chunk(None, 0).ok()?;
    context.set_name(c"null_context".as_ptr());
    context.set_flags(GUARDED);
    Some(context)
}

/// The tracking ends; the children of the null context live on without a parent.
///
/// # Safety
/// See the [module](super).
pub unsafe fn disable_null_tracking() {
    let _change = Change::begin();
    let _held = ROOTS.hold();
    let Some(context) = null_context() else { return };
    let _list = NULL_LIST.hold();
    NULL_CONTEXT.store(ptr::null_mut(), Release);
    while let Some(child) = context.child.get() {
        links::detach_unguarded(child, context);
        child.parent.set(None);
    }
    RETIRED.store(context.ptr(), Release);
}

/// Whether `chunk` is a null context that is out of use.
pub(crate) fn is_retired(chunk: Chunk) -> bool {
    RETIRED.load(Acquire) == chunk.ptr()
}

/// The null context is being freed itself, with all below it: tracking ends.
pub(super) fn forget_null_context(context: Chunk) {
    for place in [&NULL_CONTEXT, &RETIRED] {
        let _ = place.compare_exchange(context.ptr(), ptr::null_mut(), AcqRel, Relaxed);
    }
    context.clear_flags(GUARDED);
}

/// The context that is freed when the process exits, made on first use. Its exit handler is the
/// caller's affair.
///
/// # Errors
/// [`AllocError::OutOfMemory`].
///
/// # Safety
/// See the [module](super).
pub unsafe fn autofree_context() -> Result<Chunk, AllocError> {
    let _change = Change::begin();
    let _held = ROOTS.hold();
    if let Some(context) = load(&AUTOFREE) {
        return Ok(context);
    }
    let context = make_chunk(None, 0)?;
    context.set_name(c"autofree_context".as_ptr());
    if let Err(error) = put_destructor(context, Some(forget_autofree)) {
        let _ = free_it(context, ptr::null());
        return Err(error);
    }
    AUTOFREE.store(context.ptr(), Release);
    Ok(context)
}

/// The autofree context is being freed.
unsafe extern "C" fn forget_autofree(context: *mut c_void) -> c_int {
    let _ = AUTOFREE.compare_exchange(context, ptr::null_mut(), AcqRel, Relaxed);
    0
}
