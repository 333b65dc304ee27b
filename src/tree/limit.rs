//! Memory limits: a chunk with a limit counts what it and all below it weigh (`meter.rs`).
//!
//! A hard limit is not passed: what would pass it is refused, unless the function that was set with it finds room.
//! A soft limit may be passed, but the function is told of it, once until the weight has been below it again. The
//! function is called from the verbs (`ops::say`), never from here.
//!
//! A shared context, with all below it, counts for no limit above it: that is another thread's to use. What all threads
//! have below the null context counts for a limit there, under a lock.

use core::ffi::c_void;

use super::chunk::{Chunk, HEADER, LIMITED, MEMBER};
use super::domain;
use super::meter::{self, Meter, Say, above};
use super::pool::{Origin, PoolRef, bare};
use super::side::Limit;
use super::walk;
use crate::error::AllocError;
use crate::mem::lock::Held;
use crate::process;

/// What `chunk` itself counts for, in bytes.
pub(crate) fn weight(chunk: Chunk) -> usize {
    if chunk.has(MEMBER) {
        if Origin::of_member(chunk).counts() { HEADER + chunk.size() } else { 0 }
    } else {
        HEADER + chunk.size() + PoolRef::of_chunk(chunk).map_or(0, PoolRef::room) + bare::weight(chunk)
    }
}

/// What `chunk` and all below it count for, in bytes.
pub(crate) fn weight_of_tree(chunk: Chunk) -> usize {
    walk::within(chunk).map(weight).sum()
}

impl Meter {
    /// Whether `bytes` more would pass the hard limit.
    pub(crate) fn is_full(&self, bytes: usize) -> bool {
        let (hard, sum) = (self.hard.get(), self.current.get().checked_add(bytes));
        bytes > 0 && hard != 0 && sum.is_none_or(|sum| sum > hard)
    }

    /// Whether `bytes` more pass the soft limit, and its function is to be told so.
    pub(crate) fn is_to_warn(&self, bytes: usize) -> bool {
        let (soft, sum) = (self.soft.get(), self.current.get().saturating_add(bytes));
        let heard = self.say.get().is_none() || self.warned.get() || self.asking.get();
        bytes > 0 && soft != 0 && sum > soft && !heard
    }
}

/// Counts `bytes` more below `from`, if every limit there allows it. The meter that does not, or is to be told of
/// them first, keeps in mind what is wanted.
pub(crate) fn charge(from: Option<Chunk>, bytes: usize) -> Result<(), AllocError> {
    let _held = guard(from, None);
    above(from, None).for_each(|(_, meter)| meter.wanted.set(0));
    let full = above(from, None).find(|(_, meter)| meter.is_full(bytes));
    if let Some((_, meter)) = full.or_else(|| above(from, None).find(|(_, meter)| meter.is_to_warn(bytes))) {
        meter.wanted.set(bytes);
        return Err(AllocError::LimitReached);
    }
    add(from, None, bytes);
    Ok(())
}

/// What is held while meters are changed of which one may be the null context's.
fn guard(from: Option<Chunk>, until: Option<Chunk>) -> Option<Held<'static>> {
    let all_threads = above(from, until).any(|(chunk, _)| domain::is_null_context(chunk));
    all_threads.then(|| process::NULL_LIMIT.hold())
}

/// Counts `bytes` more below `from`, up to `until`, allowed or not.
pub(crate) fn charge_anyway(from: Option<Chunk>, until: Option<Chunk>, bytes: usize) {
    let _held = guard(from, until);
    add(from, until, bytes);
}

fn add(from: Option<Chunk>, until: Option<Chunk>, bytes: usize) {
    for (_, meter) in above(from, until) {
        meter.current.set(meter.current.get().saturating_add(bytes));
    }
}

/// Counts `bytes` less below `from`, up to `until`.
pub(crate) fn discharge(from: Option<Chunk>, until: Option<Chunk>, bytes: usize) {
    let _held = guard(from, until);
    for (_, meter) in above(from, until) {
        meter.current.set(meter.current.get().saturating_sub(bytes));
        if meter.current.get() <= meter.soft.get() {
            meter.warned.set(false);
        }
    }
}

/// Puts a hard limit on `chunk`, or changes the one it has; 0 is none.
pub(crate) fn put_on(chunk: Chunk, hard: usize) -> Result<(), AllocError> {
    let meter = chunk.meter_or_new()?;
    meter.hard.set(hard);
    meter.limited.set(true);
    Ok(())
}

/// Puts both limits on `chunk`, or changes those it has, with the function that is asked; 0 is none.
pub(crate) fn put_both_on(
    chunk: Chunk,
    soft: usize,
    hard: usize,
    say: Option<Say>,
    data: *mut c_void,
) -> Result<(), AllocError> {
    put_on(chunk, hard)?;
    if let Some(meter) = chunk.meter() {
        meter.soft.set(soft);
        // Who sets it from within the function has heard of what is in use.
        meter.warned.set(meter.asking.get() && meter.current.get() > soft);
        meter.say.set(say);
        meter.data.set(data);
    }
    Ok(())
}

impl Chunk {
    /// The memory limit set on this chunk itself.
    pub fn limit(self) -> Option<Limit> {
        let meter = self.meter().filter(|meter| meter.limited.get())?;
        Some(Limit { max: meter.hard.get(), current: meter.current.get() })
    }
}

/// A chunk on its way from one parent to another: what it and all below it count for moves along. Meters that lie
/// above both places see nothing of it.
pub(crate) struct Moving {
    chunk: Chunk,
    common: Option<Chunk>,
    weight: usize,
    contents: (usize, usize),
}

impl Moving {
    /// Takes `chunk` off the meters above it that do not lie above `to`, too.
    pub(crate) fn leave(chunk: Chunk, to: Option<Chunk>) -> Moving {
        let from = chunk.parent();
        let common = meter::meeting(from, to);
        let (weight, contents) = (weight_of_tree(chunk), meter::contents(chunk));
        discharge(from, common, weight);
        meter::freed(from, common, contents.0, contents.1);
        Moving { chunk, common, weight, contents }
    }

    /// It lies below `to` now.
    pub(crate) fn arrive(self, to: Option<Chunk>) {
        charge_anyway(to, self.common, self.weight);
        meter::allocated(to, self.common, self.contents.0, self.contents.1);
        if to.is_some_and(|to| to.above_has(LIMITED)) {
            meter::mark(self.chunk);
        } else {
            meter::unmark(self.chunk);
        }
    }
}
