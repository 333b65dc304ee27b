//! Meters: what a chunk counts of all below it: bytes against its limits, and statistics.
//!
//! Everything below a meter, the chunk that has it included, carries [`LIMITED`], so that what lies below none pays
//! nothing. Counting walks up to the root, and meters nest.
//!
//! Two things are counted, for two purposes:
//!
//! - *Weight*, for limits (`limit.rs`): memory, headers and the chunk itself included. Members of a pool weigh nothing
//!   while they fit into what their pool announced, for it weighs with all of that.
//! - *Statistics*: what was asked for below the chunk, payload by payload, wherever it was served from.

use core::cell::Cell;
use core::ffi::{c_int, c_void};
use core::ptr::{self, NonNull};

use super::chunk::{Chunk, LIMITED};
use super::pool::{Stats, bare};
use super::{domain, limit, store, walk};
use crate::error::AllocError;
use crate::offsets::offsets;

/// A function that is asked when a limit would be passed: with the payload of the chunk that has it, the bytes in
/// use and those wanted, the limit, and a word of its own. 0 says that it is worth another look; anything else
/// refuses.
pub type Say = unsafe extern "C" fn(*mut c_void, usize, usize, usize, *mut c_void) -> c_int;

/// See the module. The first word is 0, so that nobody who walks over slots takes it for a chunk.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Meter {
    not_a_tag: u32,
    /// A limit was set at some time.
    pub(crate) limited: Cell<bool>,
    /// `say` is running.
    pub(crate) asking: Cell<bool>,
    /// `say` has been told that the soft limit was passed, and it still is.
    pub(crate) warned: Cell<bool>,
    /// Bytes that may be used; 0 for any number.
    pub(crate) hard: Cell<usize>,
    pub(crate) soft: Cell<usize>,
    /// The weight of the chunk and all below it.
    pub(crate) current: Cell<usize>,
    /// Bytes that the last allocation wanted, if this meter was in its way.
    pub(crate) wanted: Cell<usize>,
    pub(crate) say: Cell<Option<Say>>,
    pub(crate) data: Cell<*mut c_void>,
    pub(crate) stats: Cell<Option<Stats>>,
}

offsets! {
    /// Where the fields of a meter lie, as far as they are the limit's.
    MeterOffsets of Meter { limited, hard, soft, current }
}

impl Chunk {
    /// The meter, when there is one.
    pub(crate) fn meter(self) -> Option<&'static Meter> {
        // SAFETY: the record lives as long as the chunk; all its fields are cells.
        self.side()?.meter.get().map(|meter| unsafe { meter.as_ref() })
    }

    /// The meter, made now if there is none.
    pub(crate) fn meter_or_new(self) -> Result<&'static Meter, AllocError> {
        if let Some(meter) = self.meter() {
            return Ok(meter);
        }
        let side = self.side_or_new()?;
        let at = store::take_record(self, size_of::<Meter>()).ok_or(AllocError::OutOfMemory)?.cast::<Meter>();
        let meter = Meter {
            not_a_tag: 0,
            limited: Cell::new(false),
            asking: Cell::new(false),
            warned: Cell::new(false),
            hard: Cell::new(0),
            soft: Cell::new(0),
            current: Cell::new(limit::weight_of_tree(self)),
            wanted: Cell::new(0),
            say: Cell::new(None),
            data: Cell::new(ptr::null_mut()),
            stats: Cell::new(None),
        };
        // SAFETY: memory for a record, nobody else's.
        unsafe { at.write(meter) };
        side.meter.set(Some(at));
        mark(self);
        // SAFETY: written just now; it lives as long as the chunk.
        Ok(unsafe { at.as_ref() })
    }
}

/// Gives the record back. Its chunk is being freed.
pub(super) fn discard(meter: NonNull<Meter>) {
    // SAFETY: taken with `take_record`, and the chunk's alone.
    unsafe { store::give_raw(meter.cast()) };
}

/// The meters on `from` and above it, up to but not on `until`, nearest first.
pub(crate) fn above(
    from: Option<Chunk>,
    until: Option<Chunk>,
) -> impl Iterator<Item = (Chunk, &'static Meter)> {
    core::iter::successors(from, |&c| if domain::is_root(c) { None } else { c.parent() })
        .take_while(move |&c| c.above_has(LIMITED) && Some(c) != until)
        .filter_map(|c| Some((c, c.meter()?)))
}

/// Counts `blocks` chunks with `bytes` of payload more in the statistics of `from` and above, up to `until`.
pub(crate) fn allocated(from: Option<Chunk>, until: Option<Chunk>, bytes: usize, blocks: usize) {
    for_each_stats(from, until, |stats| {
        grow(stats, bytes);
        stats.allocations += blocks;
    });
}

/// Counts as many less.
pub(crate) fn freed(from: Option<Chunk>, until: Option<Chunk>, bytes: usize, blocks: usize) {
    for_each_stats(from, until, |stats| {
        stats.current = stats.current.saturating_sub(bytes);
        stats.frees += blocks;
    });
}

/// A chunk below `from` has `new` bytes instead of `old`.
pub(crate) fn resized(from: Option<Chunk>, old: usize, new: usize) {
    for_each_stats(from, None, |stats| {
        stats.current = stats.current.saturating_sub(old.saturating_sub(new));
        grow(stats, new.saturating_sub(old));
    });
}

/// An allocation below `from` was refused.
pub(crate) fn failed(from: Option<Chunk>) {
    for_each_stats(from, None, |stats| stats.failures += 1);
}

fn grow(stats: &mut Stats, bytes: usize) {
    stats.total += bytes;
    stats.current += bytes;
    stats.peak = stats.peak.max(stats.current);
}

fn for_each_stats(from: Option<Chunk>, until: Option<Chunk>, mut change: impl FnMut(&mut Stats)) {
    for (_, meter) in above(from, until) {
        if let Some(mut stats) = meter.stats.get() {
            change(&mut stats);
            meter.stats.set(Some(stats));
        }
    }
}

/// From now on `chunk` counts what is allocated and freed below it; what is there counts as allocated.
pub(crate) fn enable_stats(chunk: Chunk) -> Result<(), AllocError> {
    let meter = chunk.meter_or_new()?;
    if meter.stats.get().is_none() {
        let (bytes, blocks) = contents(chunk);
        let current = bytes - chunk.size();
        meter.stats.set(Some(Stats {
            total: current,
            current,
            peak: current,
            allocations: blocks - 1,
            ..Stats::default()
        }));
    }
    Ok(())
}

/// Bytes of payload, and allocations, in the tree of `chunk`.
pub(crate) fn contents(chunk: Chunk) -> (usize, usize) {
    let all = walk::within(chunk).map(contents_of);
    all.fold((0, 0), |sum, more| (sum.0 + more.0, sum.1 + more.1))
}

/// The same of `chunk` itself: it is one allocation, and so is each of its bare bytes', if it is a pool.
pub(crate) fn contents_of(chunk: Chunk) -> (usize, usize) {
    let (bytes, pieces) = bare::contents(chunk);
    (chunk.size() + bytes, 1 + pieces)
}

/// The lowest chunk above both, or the same as either, if both lie below a meter.
pub(crate) fn meeting(a: Option<Chunk>, b: Option<Chunk>) -> Option<Chunk> {
    let counted = |c: &Chunk| c.above_has(LIMITED);
    let (mut a, mut b) = (a.filter(counted)?, b.filter(counted)?);
    if domain::of(a) != domain::of(b) {
        return None;
    }
    let depth = |c: Chunk| core::iter::successors(Some(c), |c| c.parent()).count();
    let (mut above_a, mut above_b) = (depth(a), depth(b));
    while a != b {
        if above_a >= above_b {
            a = a.parent()?;
            above_a -= 1;
        } else {
            b = b.parent()?;
            above_b -= 1;
        }
    }
    Some(a)
}

/// Marks `chunk` and all below it as counted.
pub(crate) fn mark(chunk: Chunk) {
    for c in walk::within(chunk) {
        c.set_flags(LIMITED);
        bare::count(c);
    }
}

/// Takes the mark from what lies in the tree of `chunk` and below no meter in it.
pub(crate) fn unmark(chunk: Chunk) {
    for c in walk::within(chunk) {
        let above = c != chunk && c.parent().is_some_and(|p| p.above_has(LIMITED));
        if !above && c.meter().is_none() {
            c.clear_flags(LIMITED);
        }
    }
}
