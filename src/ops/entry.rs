//! Entering: the right to use what belongs to a shared context, for the length of one call.
//!
//! A verb wants the right to every tree that it is given (see the [module](super)). To a tree that threads do not share,
//! the caller has it by its own rule. What belongs to a shared context is entered first, here: the calling thread waits
//! for the lock of each context that the call has to do with, at most three, in the order that `mem::shared` prescribes.
//! The lock is left when the [`Entry`] is dropped, and around all foreign code that a verb runs.
//!
//! ```ignore
//! let (entry, [chunk]) = ops::enter([payload])?;
//! ops::set_destructor(chunk, destructor)
//! ```

use core::ffi::c_void;

use crate::error::Fault;
use crate::mem::shared::{Entering, Shared};
use crate::process;
use crate::tree::{Chunk, domain, refs};

/// The most chunks that a call is given.
const MOST: usize = 3;

/// Shared contexts that the calling thread has entered; left when this is dropped. Nothing foreign runs meanwhile but
/// what a verb calls.
#[derive(Debug)]
#[must_use]
pub struct Entry([Option<Shared>; MOST]);

impl Drop for Entry {
    #[inline]
    fn drop(&mut self) {
        for shared in self.0.into_iter().flatten() {
            shared.leave();
        }
    }
}

impl Entry {
    /// The domain that was entered, if no more than one was.
    fn of(shared: Option<Shared>) -> Entry {
        Entry([shared, None, None])
    }

    /// Enters all of `wanted`. `None` when one of them is shared no more.
    fn all<const N: usize>(mut wanted: [Option<Shared>; N]) -> Result<Option<Entry>, Fault> {
        wanted.sort_unstable_by(|a, b| match (a, b) {
            (Some(a), Some(b)) => b.goes_before(*a).cmp(&a.goes_before(*b)),
            _ => a.is_none().cmp(&b.is_none()),
        });
        let mut entry = Entry([None; MOST]);
        let mut last = None;
        for (place, shared) in entry.0.iter_mut().zip(wanted.into_iter().flatten()) {
            if last == Some(shared) {
                continue;
            }
            match shared.enter() {
                Entering::Done => *place = Some(shared),
                Entering::Gone => return Ok(None),
                Entering::Inside => return Err(Fault::Interrupted),
            }
            last = Some(shared);
        }
        Ok(Some(entry))
    }
}

/// The live chunks with these payloads, at most three, null being none, and the right to use them.
///
/// # Errors
/// What one of the pointers is instead; [`Fault::Interrupted`] in a signal handler that has interrupted its thread while it was in
/// one of the shared contexts.
///
/// # Safety
/// Nobody frees the chunks meanwhile, or uses those of them that threads do not share. The calling thread is in no
/// shared context.
pub unsafe fn enter<const N: usize>(
    payloads: [*const c_void; N],
) -> Result<(Entry, [Option<Chunk>; N]), Fault> {
    const { assert!(N <= MOST) };
    let mut wanted: [Option<Shared>; N] = [None; N];
    loop {
        let mut found = [None; N];
        let mut needs_none = true;
        for i in 0..N {
            if wanted[i].is_none() && !payloads[i].is_null() {
                // SAFETY: the caller's.
                let chunk = unsafe { Chunk::check(payloads[i]) }?;
                found[i] = Some(chunk);
                wanted[i] = domain::guess(chunk);
            }
            needs_none &= wanted[i].is_none();
        }
        if needs_none {
            // All were just found, and nobody else uses them.
            return Ok((Entry::of(None), found));
        }
        let Some(entry) = Entry::all(wanted)? else {
            wanted = [None; N];
            continue;
        };
        let mut chunks = [None; N];
        let mut certain = true;
        for i in 0..N {
            if !payloads[i].is_null() {
                // SAFETY: the caller's.
                let chunk = unsafe { Chunk::check(payloads[i]) }?;
                let domain = domain::peek(chunk);
                certain &= domain == wanted[i];
                wanted[i] = domain;
                chunks[i] = Some(chunk);
            }
        }
        if certain {
            return Ok((entry, chunks));
        }
    }
}

/// [`enter`] for one chunk, which is not null.
///
/// # Errors
/// As for [`enter`].
///
/// # Safety
/// As for [`enter`].
#[inline]
pub unsafe fn enter_one(payload: *const c_void) -> Result<(Entry, Chunk), Fault> {
    // SAFETY: the caller's.
    unsafe {
        let chunk = Chunk::check(payload)?;
        let Some(shared) = domain::guess(chunk) else { return Ok((Entry::of(None), chunk)) };
        match shared.enter() {
            Entering::Done => {
                let entry = Entry::of(Some(shared));
                let chunk = Chunk::check(payload)?;
                if domain::peek(chunk) == Some(shared) {
                    return Ok((entry, chunk));
                }
            }
            Entering::Gone => {}
            Entering::Inside => return Err(Fault::Interrupted),
        }
        enter_one_slow(payload)
    }
}

#[cold]
unsafe fn enter_one_slow(payload: *const c_void) -> Result<(Entry, Chunk), Fault> {
    // SAFETY: the caller's.
    let (entry, [chunk]) = unsafe { enter([payload]) }?;
    Ok((entry, chunk.ok_or(Fault::Unknown)?))
}

/// Calls `look` with what the reference `handle` refers to, which may belong elsewhere than the reference, to which the
/// calling thread has the right. Another shared context is entered meanwhile, if nobody is in it just now, since to wait
/// for it might be to wait for ever. If somebody is, or if a reference in a shared context is to some thread's own chunk, `look`
/// is called with the reference itself.
pub(crate) fn referred<R>(handle: Chunk, look: impl FnOnce(Chunk) -> R) -> R {
    let chunk = refs::target(handle);
    let shared = match (domain::peek(chunk), domain::of(handle)) {
        (None, None) => return look(chunk),
        (None, Some(_)) => return look(handle),
        (Some(there), _) if there.is_entered() => return look(chunk),
        (Some(there), _) => there,
    };
    if !shared.try_enter() {
        return look(handle);
    }
    // It may have moved on until it was entered.
    let result = look(if domain::of(chunk) == Some(shared) { chunk } else { handle });
    shared.leave();
    result
}

/// [`enter_one`], only if it goes the short way: for a chunk with no flags but those of `allowed`, which is of the
/// domain whose heap it lies in. `None` says nothing.
///
/// # Safety
/// As for [`enter`].
#[inline(always)]
pub(super) unsafe fn enter_quick(payload: *const c_void, allowed: u32) -> Option<(Inside, Chunk)> {
    // SAFETY: the caller's.
    let (chunk, _) = unsafe { Chunk::check_shared(payload, allowed) }?;
    let shared = domain::heap_of(chunk)?;
    if shared.enter() != Entering::Done {
        return None;
    }
    let inside = Inside(shared);
    // SAFETY: the caller's.
    let (_, flags) = unsafe { Chunk::check_shared(payload, allowed) }?;
    domain::is_heaps(chunk, flags).then_some((inside, chunk))
}

/// The one shared context that the calling thread has entered; left when this is dropped.
#[must_use]
pub(super) struct Inside(pub(super) Shared);

impl Drop for Inside {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Waits for `shared`, which is no guess. What it is needed for cannot go on without it.
pub(super) fn enter_surely(shared: Shared) -> bool {
    match shared.enter() {
        Entering::Done => true,
        Entering::Gone => false,
        Entering::Inside => process::would_deadlock(),
    }
}

/// A domain that was entered besides another; left when this is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Gained(Option<Shared>);

impl Drop for Gained {
    fn drop(&mut self) {
        if let Some(shared) = self.0 {
            shared.leave();
        }
    }
}

/// Enters the domain of `chunk`, which lives, besides `held`, all that the calling thread is in. `None` when it had to
/// leave that meanwhile: anything may have happened.
pub(super) fn gain(held: Option<Shared>, chunk: Chunk) -> Option<Gained> {
    let mut shared = domain::guess(chunk);
    while let Some(wanted) = shared {
        let entered = if wanted.is_entered() {
            Gained(None)
        } else if let Some(held) = held
            && !wanted.try_enter()
        {
            wait_for(wanted, held);
            return None;
        } else if held.is_some() || enter_surely(wanted) {
            Gained(Some(wanted))
        } else {
            shared = domain::guess(chunk);
            continue;
        };
        shared = domain::peek(chunk);
        if shared == Some(wanted) {
            return Some(entered);
        }
    }
    Some(Gained(None))
}

/// Waits until `shared` has been free, outside of `held`.
fn wait_for(shared: Shared, held: Shared) {
    held.pause();
    if enter_surely(shared) {
        shared.leave();
    }
    held.resume();
}

/// Comes back into `held` after foreign code has run, which was given `chunk`, and also into the domain of that, if it is
/// another than its `home` before, which is `held` or none: then that is returned.
pub(super) fn come_back(held: Option<Shared>, home: Option<Shared>, chunk: Chunk) -> Option<Gained> {
    if let Some(held) = held {
        held.resume();
    }
    loop {
        // Another thread may have taken it out of its domain.
        if domain::guess(chunk).is_none() {
            return home.map(|_| Gained(None));
        }
        if let Some(gained) = gain(held, chunk) {
            return if domain::of(chunk) == home { None } else { Some(gained) };
        }
    }
}

/// Lets others in for a moment, if any are waiting. All is valid, as for foreign code.
#[cold]
pub(super) fn let_others_in(held: Shared) {
    if held.is_waited_for() {
        held.pause();
        // SAFETY: has no preconditions.
        unsafe { libc::sched_yield() };
        held.resume();
    }
}
