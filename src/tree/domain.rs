//! Which shared context a chunk belongs to, and with that, which lock guards it.
//!
//! A shared context has a [`Shared`] heap, and everything below it is its *domain*: guarded by the heap's lock, and
//! marked [`GUARDED`]. A chunk of the domain lies in that heap, which its address leads to; one that lies elsewhere (it
//! came from another tree, or from malloc) has a side record that says so.
//!
//! Invariants: all of a tree below a shared context is of one domain; what is above it is of none, so domains do not
//! lie in each other. The links of a shared context itself are its parent's affair, all the rest of it is the domain's.
//! A chunk changes its domain only while both are entered.

use super::chunk::{Chunk, GUARDED, POOL, SIDE};
use super::pool::PoolRef;
use super::store;
use super::walk;
use crate::error::{AllocError, StealError};
use crate::mem::shared::Shared;

/// The domain of `chunk`, to which the calling thread has the right.
#[inline(always)]
pub(crate) fn of(chunk: Chunk) -> Option<Shared> {
    if chunk.above_has(GUARDED) { with_flags(chunk, chunk.peek_flags()) } else { None }
}

/// The domain of `chunk`, of which nothing is known but that it lives: it may be another when this returns. Where the
/// calling thread is in the heap that the chunk lies in, or in the domain that was found, that is certain.
#[inline]
pub(crate) fn peek(chunk: Chunk) -> Option<Shared> {
    let flags = chunk.see_flags();
    if flags & GUARDED != 0 { with_flags(chunk, flags) } else { None }
}

#[inline(never)]
fn with_flags(chunk: Chunk, flags: u32) -> Option<Shared> {
    if flags & SIDE != 0 {
        // SAFETY: the flag says that there is one.
        let elsewhere = unsafe { chunk.side_record() }.shared();
        if elsewhere.is_some() {
            return elsewhere;
        }
    }
    store::shared_heap_of(chunk)
}

/// The shared heap that `chunk` lies in, which is not one of malloc's, if it does.
#[inline(always)]
pub(crate) fn heap_of(chunk: Chunk) -> Option<Shared> {
    Shared::of(store::heap_of(chunk))
}

/// Whether `chunk`, which is guarded and has these flags, belongs to the domain of the shared heap that it lies in, and in which
/// the calling thread is.
#[inline(always)]
pub(crate) fn is_heaps(chunk: Chunk, flags: u32) -> bool {
    // By the word and not by the flag: the chunk may be of another domain, where its record is just coming.
    flags & SIDE == 0 || chunk.name.side().is_some_and(|side| side.shared().is_none())
}

/// What to enter first for `chunk`, of which nothing is known but that it lives; then [`peek`] again. Where the answer is
/// none, the calling thread sees what a thread has done that has taken it out of its domain.
#[inline]
pub(crate) fn guess(chunk: Chunk) -> Option<Shared> {
    if chunk.see_flags() & GUARDED == 0 {
        return None;
    }
    // Without the lock, the side record of a chunk that lies in a shared heap may just be coming.
    store::shared_heap_of(chunk).or_else(|| peek(chunk))
}

/// Whether `chunk`, which threads share, is the null context: in use, or out of use.
pub(crate) fn is_null_context(chunk: Chunk) -> bool {
    chunk.above_has(GUARDED) && of(chunk).is_none()
}

/// Whether `chunk` is a shared context itself. Who has the right to its parent's tree may ask, too.
pub(crate) fn is_root(chunk: Chunk) -> bool {
    const MARKS: u32 = GUARDED | SIDE;
    // SAFETY: the flag says that there is a side record, and what was written before the flag is to be seen. The record of a
    // shared context is there from the beginning; the null context, which every walk up may come to, may just have been
    // given one by another thread.
    chunk.see_flags() & MARKS == MARKS && unsafe { chunk.side_record() }.is_shared_context.get()
}

/// The fresh `chunk` belongs to `shared`.
pub(crate) fn enroll(chunk: Chunk, shared: Shared) -> Result<(), AllocError> {
    if !store::lies_in(chunk, shared) {
        chunk.side_or_new()?.set_shared(Some(shared));
    }
    chunk.set_flags(GUARDED);
    Ok(())
}

/// The fresh `chunk` of `shared` is a shared context.
pub(crate) fn enroll_root(chunk: Chunk, shared: Shared) -> Result<(), AllocError> {
    let side = chunk.side_or_new()?;
    enroll(chunk, shared)?;
    side.is_shared_context.set(true);
    set_home(chunk, Some(shared));
    Ok(())
}

/// Makes sure that [`assign`] can do its work.
///
/// # Errors
/// What is in the way; nothing has changed that is to be seen.
pub(crate) fn prepare(chunk: Chunk, to: Option<Shared>) -> Result<(), StealError> {
    for c in walk::preorder(chunk) {
        if c.is_dying() {
            return Err(StealError::Dying);
        }
        if let Some(to) = to {
            if is_root(c) {
                return Err(StealError::SharedContext);
            }
            if !store::lies_in(c, to) {
                c.side_or_new().map_err(|_| StealError::OutOfMemory)?;
            }
        }
    }
    Ok(())
}

/// `chunk` and all below it, which is of one domain or of none, belongs to `to` from now on. Both are entered, and it has
/// been [prepared](prepare). What has been a domain of its own stays one.
pub(crate) fn assign(chunk: Chunk, to: Option<Shared>) {
    // The chunk itself last, and its flag after all else: a thread that has lost it to another [peeks](peek) at it until that
    // is done.
    let below = walk::within(chunk).filter(|&c| c != chunk);
    for c in below.chain([chunk]) {
        set_home(c, to);
        let Some(to) = to else {
            // What the side record says stays: with the flag, but without that, it would seem to be of the heap's domain.
            c.clear_flags(GUARDED);
            continue;
        };
        if let Some(side) = c.side() {
            side.set_shared(Some(to).filter(|&to| !store::lies_in(c, to)));
        }
        c.set_flags(GUARDED);
    }
}

/// Says which trees a pool serves.
fn set_home(chunk: Chunk, home: Option<Shared>) {
    if chunk.has(POOL)
        && let Some(pool) = PoolRef::of_chunk(chunk)
    {
        pool.set_home(home);
    }
}
