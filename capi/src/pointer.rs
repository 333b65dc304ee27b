//! The door between C pointers and chunks: every pointer that comes in is checked here, once, and
//! every result that goes out becomes a pointer here.

use core::ffi::{CStr, c_void};
use core::ptr::{null, null_mut};
use tmempool::error::{AllocError, Fault};
use tmempool::ops;
use tmempool::pools::resident::{Resident, ResidentRef};
use tmempool::tree::Chunk;

use crate::fault;
use crate::free::_talloc_free;
use crate::steal::_talloc_steal_loc;

/// The caller passed a pointer that is no live chunk, it has been reported, and the abort function
/// returned.
pub(crate) struct Reported;

/// Calls `use_it` with the chunk behind `ptr`; NULL, too, is reported as no chunk. What belongs to a shared context is
/// entered meanwhile.
///
/// `use_it` calls no foreign code, neither the log function nor the abort function nor one of the caller's, but for
/// destructors, around which the verbs of the core leave.
///
/// # Safety
/// The caller's tree is not changed by another thread meanwhile, unless it is shared (contract).
#[inline(always)]
pub(crate) unsafe fn with<R>(ptr: *const c_void, use_it: impl FnOnce(Chunk) -> R) -> Result<R, Reported> {
    // SAFETY: contract.
    unsafe {
        match Chunk::check_quick(ptr) {
            Some(chunk) => Ok(use_it(chunk)),
            None => with_slow(ptr, use_it),
        }
    }
}

/// [`with`], of what the short way has turned down: it may be shared, or a member of a pool, or no chunk at all, which
/// is reported.
///
/// # Safety
/// As for [`with`].
#[inline(never)]
pub(crate) unsafe fn with_slow<R>(
    ptr: *const c_void,
    use_it: impl FnOnce(Chunk) -> R,
) -> Result<R, Reported> {
    // SAFETY: contract.
    let (entry, chunk) = match unsafe { Chunk::check_member(ptr) } {
        Some(member) => (None, member),
        // SAFETY: contract.
        None => match unsafe { ops::enter_one(ptr) } {
            Ok((entry, chunk)) => (Some(entry), chunk),
            Err(fault) => return Err(report(fault)),
        },
    };
    let result = use_it(chunk);
    drop(entry);
    Ok(result)
}

/// [`with`], where NULL stands for "no parent".
///
/// # Safety
/// As for [`with`].
#[inline(always)]
pub(crate) unsafe fn with_context<R>(
    ptr: *const c_void,
    use_it: impl FnOnce(Option<Chunk>) -> R,
) -> Result<R, Reported> {
    // SAFETY: contract.
    unsafe {
        match Chunk::check_quick(ptr) {
            Some(chunk) => Ok(use_it(Some(chunk))),
            None => with_context_slow(ptr, use_it),
        }
    }
}

/// # Safety
/// As for [`with`].
#[inline(never)]
unsafe fn with_context_slow<R>(
    ptr: *const c_void,
    use_it: impl FnOnce(Option<Chunk>) -> R,
) -> Result<R, Reported> {
    if ptr.is_null() {
        return Ok(use_it(None));
    }
    // SAFETY: contract.
    unsafe { with_slow(ptr, |chunk| use_it(Some(chunk))) }
}

/// [`with_context`] of `context`, together with the chunk behind `ptr`, which is not NULL.
///
/// # Safety
/// As for [`with`].
#[inline(always)]
pub(crate) unsafe fn with_both<R>(
    context: *const c_void,
    ptr: *const c_void,
    use_them: impl FnOnce(Option<Chunk>, Chunk) -> R,
) -> Result<R, Reported> {
    // SAFETY: contract.
    unsafe {
        if let Some(context) = Chunk::check_quick(context)
            && let Some(chunk) = Chunk::check_quick(ptr)
        {
            return Ok(use_them(Some(context), chunk));
        }
        with_three(context, null(), ptr, |context, _, chunk| use_them(context, chunk))
    }
}

/// [`with_both`], of two contexts.
///
/// # Safety
/// As for [`with`].
#[inline(never)]
pub(crate) unsafe fn with_three<R>(
    one: *const c_void,
    other: *const c_void,
    ptr: *const c_void,
    use_them: impl FnOnce(Option<Chunk>, Option<Chunk>, Chunk) -> R,
) -> Result<R, Reported> {
    // SAFETY: contract.
    match unsafe { ops::enter([one, other, ptr]) } {
        Ok((entry, [one, other, Some(chunk)])) => {
            let result = use_them(one, other, chunk);
            drop(entry);
            Ok(result)
        }
        Ok((entry, _)) => {
            drop(entry);
            Err(report(Fault::Unknown))
        }
        Err(fault) => Err(report(fault)),
    }
}

#[cold]
fn report(fault: Fault) -> Reported {
    fault::bad_pointer(fault);
    Reported
}

/// The resident (a cache, a mempool, a genpool) behind `ptr`, for `function`. What is none is logged, and
/// `errno` is `EINVAL`; nothing aborts.
///
/// # Safety
/// No other thread frees the resident meanwhile (contract).
#[inline(always)]
pub(crate) unsafe fn resident<T: Resident>(
    function: &CStr,
    what: &CStr,
    ptr: *const c_void,
) -> Result<ResidentRef<T>, Reported> {
    // SAFETY: as the caller promises.
    unsafe { ResidentRef::check(ptr) }.map_err(|fault| {
        fault::no_resident(function, what, ptr, fault);
        Reported
    })
}

/// What `make` makes below the context behind `parent`. As `make` may call foreign code, it is called outside of all shared
/// contexts: what is for one of these is made without a parent, and then stolen.
///
/// # Safety
/// As for [`with`]; what is made is a chunk.
pub(crate) unsafe fn settled<T>(parent: *const c_void, make: impl FnOnce(Option<Chunk>) -> *mut T) -> *mut T {
    // SAFETY: contract.
    unsafe {
        match with_context(parent, |parent| parent.filter(|&parent| !ops::is_shared(parent))) {
            Ok(None) if !parent.is_null() => {
                let made = make(None);
                if !made.is_null() && _talloc_steal_loc(parent, made.cast(), c"".as_ptr()).is_null() {
                    _talloc_free(made.cast(), c"".as_ptr());
                    return null_mut();
                }
                made
            }
            Ok(parent) => make(parent),
            Err(_) => null_mut(),
        }
    }
}

/// The payload of a new chunk, or NULL with `errno` set.
#[inline(always)]
pub(crate) fn given(result: Result<Chunk, AllocError>) -> *mut c_void {
    match result {
        Ok(chunk) => chunk.ptr(),
        Err(error) => refused(error),
    }
}

#[cold]
pub(crate) fn refused(error: AllocError) -> *mut c_void {
    fault::no_memory(error);
    null_mut()
}
