//! Where in a map an allocation goes, by the algorithm that was asked for. No unsafe code, nothing
//! changes: the answer is a place. Called by the module above, for one range after the other.
//!
//! An alignment is kept by every algorithm. With `n` granules asked for:
//!
//! | algorithm | the place | time |
//! |---|---|---|
//! | first fit, next fit | the first free run that is long enough, from the start or from a place | log |
//! | the same, aligned | the first that is long enough behind an aligned place | a log a run of `n` |
//! | worst fit | the start of the longest run | log; aligned: a log a run of `n` |
//! | best fit | the start of the shortest run that is long enough | log |
//! | the same, aligned, or without sets of lengths, or for 63 and more | | a log a run of `n`; ends at an exact one |
//! | buddy | the first of the smallest free blocks | log |

use super::map::Map;

/// What an allocation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Granules, at least one.
    pub(super) granules: usize,
    /// The granule that it starts at, counted from address 0, is a multiple of this power of two.
    pub(super) align: usize,
}

/// A place, and how long the free run is that it lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The first bit of the allocation.
    pub(super) at: usize,
    /// The length of the run; the order of the block, with [`buddy`].
    pub(super) from: usize,
}

/// The aligned place in a run at or behind `from` that is long enough, and the end of its run.
fn next_place(map: &Map<'_>, from: usize, request: Request) -> Option<(Place, usize)> {
    let mut from = from;
    loop {
        let start = map.first_run(from, request.granules)?;
        let end = map.run_end(start);
        match map.shape().align_up(start, request.align) {
            Some(at) if at < end && end - at >= request.granules => {
                return Some((Place { at, from: end - start }, end));
            }
            _ => from = end,
        }
    }
}

/// The first place at or behind `from`.
pub(super) fn first(map: &Map<'_>, from: usize, request: Request) -> Option<usize> {
    if request.align == 1 {
        return map.first_run(from, request.granules);
    }
    next_place(map, from, request).map(|(place, _)| place.at)
}

/// The place in the shortest run that is long enough; in the first of them.
pub(super) fn best(map: &Map<'_>, request: Request) -> Option<Place> {
    if request.align == 1
        && map.has_lengths()
        && let Some((at, from)) = map.shortest_run(request.granules)
    {
        return Some(Place { at, from });
    }
    let mut best: Option<Place> = None;
    let mut from = 0;
    while let Some((place, end)) = next_place(map, from, request) {
        if place.from == request.granules {
            return Some(place);
        }
        if best.is_none_or(|best| place.from < best.from) {
            best = Some(place);
        }
        from = end;
    }
    best
}

/// The place in the longest run; in the first of them.
pub(super) fn worst(map: &Map<'_>, request: Request) -> Option<Place> {
    if request.align == 1 {
        let longest = map.longest();
        if longest < request.granules {
            return None;
        }
        return map.first_run(0, longest).map(|at| Place { at, from: longest });
    }
    let mut worst: Option<Place> = None;
    let mut from = 0;
    while let Some((place, end)) = next_place(map, from, request) {
        if worst.is_none_or(|worst| place.from > worst.from) {
            worst = Some(place);
        }
        from = end;
    }
    worst
}

/// The order of the block that a request takes: its size, rounded up to a power of two. `None` where
/// there is no such number.
pub(super) fn order_of(granules: usize) -> Option<u32> {
    granules.checked_next_power_of_two().map(usize::trailing_zeros)
}

/// The start of the first of the smallest free blocks that hold the block for the request. A block that
/// is larger than needed is halved, and the first half taken; halves that are free again are one block
/// again, for blocks are nothing but free bits at a multiple of their number.
pub(super) fn buddy(map: &Map<'_>, request: Request) -> Option<Place> {
    let order = order_of(request.granules)?.max(request.align.trailing_zeros());
    map.smallest_block(order).map(|(order, at)| Place { at, from: order as usize })
}
