//! Memory limits: a chunk with a limit counts what it and all below it take, headers included.
//!
//! Everything below a limit, the chunk with the limit included, carries [`LIMITED`], so that what
//! lies below none pays nothing. Counting walks up to the root; limits nest. Members of a pool do not
//! count, as the pool does, with all the room that it announced.

use super::chunk::{Chunk, HEADER, LIMITED, MEMBER};
use super::pool::PoolRef;
use super::side::Limit;
use super::walk;
use crate::error::AllocError;

/// What `chunk` itself counts for, in bytes.
pub(crate) fn weight(chunk: Chunk) -> usize {
    if chunk.has(MEMBER) {
        if PoolRef::counts(chunk) { HEADER + chunk.size() } else { 0 }
    } else {
        HEADER + chunk.size() + PoolRef::of_chunk(chunk).map_or(0, PoolRef::room)
    }
}

/// What `chunk` and all below it count for, in bytes.
pub(crate) fn weight_of_tree(chunk: Chunk) -> usize {
    walk::preorder(chunk).map(weight).sum()
}

/// The limits on `from` and above it.
fn limits(from: Option<Chunk>) -> impl Iterator<Item = (Chunk, Limit)> {
    core::iter::successors(from, |c| c.parent())
        .take_while(|c| c.has(LIMITED))
        .filter_map(|c| Some((c, c.limit()?)))
}

fn set(chunk: Chunk, limit: Limit) {
    if let Some(side) = chunk.side() {
        side.set_limit(limit);
    }
}

/// Counts `bytes` more below `from`, if every limit there allows it. A maximum of 0 is none.
pub(crate) fn charge(from: Option<Chunk>, bytes: usize) -> Result<(), AllocError> {
    let passes =
        |l: Limit| bytes == 0 || l.max == 0 || l.current.checked_add(bytes).is_some_and(|sum| sum <= l.max);
    if limits(from).any(|(_, limit)| !passes(limit)) {
        return Err(AllocError::LimitReached);
    }
    charge_anyway(from, bytes);
    Ok(())
}

/// Counts `bytes` more below `from`, allowed or not.
pub(crate) fn charge_anyway(from: Option<Chunk>, bytes: usize) {
    for (chunk, limit) in limits(from) {
        set(chunk, Limit { current: limit.current.saturating_add(bytes), ..limit });
    }
}

/// Counts `bytes` less below `from`.
pub(crate) fn discharge(from: Option<Chunk>, bytes: usize) {
    for (chunk, limit) in limits(from) {
        set(chunk, Limit { current: limit.current.saturating_sub(bytes), ..limit });
    }
}

/// Puts a limit on `chunk`, or changes the one it has.
pub(crate) fn put_on(chunk: Chunk, max: usize) -> Result<(), AllocError> {
    let side = chunk.side_or_new()?;
    let current = match side.limit() {
        Some(limit) => limit.current,
        None => weight_of_tree(chunk),
    };
    side.set_limit(Limit { max, current });
    mark(chunk);
    Ok(())
}

/// Marks `chunk` and all below it as limited.
pub(crate) fn mark(chunk: Chunk) {
    for c in walk::preorder(chunk) {
        c.set_flags(LIMITED);
    }
}

/// Takes the mark from what lies in the tree of `chunk` and below no limit in it.
pub(crate) fn unmark(chunk: Chunk) {
    for c in walk::preorder(chunk) {
        let above = c != chunk && c.parent().is_some_and(|p| p.has(LIMITED));
        if !above && c.limit().is_none() {
            c.clear_flags(LIMITED);
        }
    }
}
