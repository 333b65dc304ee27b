//! Segments: large aligned pieces of address space, cut into spans.
//!
//! A segment of 4 MiB serves spans of up to 63 slices; a larger block, or one that keeps growing, gets
//! a mapping of its own (`own`). Which there are, and what is free in them, the `lists` say; the `map` says where segments
//! lie. Here is what heaps and slabs ask for.
//!
//! Memory given back: free slices that have been written to stay resident within a
//! budget (`mem::budget`); past it they are purged at once, and segments with nothing in them
//! unmapped.
//!
//! Huge pages make touching new memory several times cheaper, but what lies unused beside it becomes
//! resident too. So there are two kinds of segments: those that ask for huge pages, for the small slots of
//! large heaps, and those that do without, for all else. Of a segment of huge pages only whole ones are
//! purged.
//!
//! One lock guards the lists and the slice bitmaps of all segments. It is taken for a span, never
//! for a slot; nor for a span that its heap has kept (`mem::idle`).

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

mod guests;
mod head;
mod lists;
mod map;
mod own;

use super::geometry::{self, SLICE, SLICES, USABLE_SLICES};
use super::heap::HeapRef;
use super::lock::{Held, Lock};
use super::span::SpanRef;
pub(crate) use head::SegmentOffsets;
use head::SegmentRef;
use lists::Lists;
pub(crate) use map::{MAP, SEGMENT_NUMBERS};
pub use map::{covers, has_covered};
pub(super) use own::{move_own, own, own_for_guest};

/// A block that grows past this gets a mapping of its own.
pub const GROWS_ALONE: usize = 64 << 10;
/// A block that grows past this may be a guest in a mapping that a larger one has left: see `guests`.
pub const GROWS_AS_GUEST: usize = 8 << 10;

struct Segments {
    lock: Lock,
    lists: UnsafeCell<Lists>,
    mapped: AtomicUsize,
    /// Whether there is a mapping that is kept, and may be a guest's.
    invites: AtomicBool,
}

// SAFETY: `lists`, and the cells of the segments it leads to, are touched only under `lock`.
unsafe impl Sync for Segments {}

static SEGMENTS: Segments = Segments {
    lock: Lock::new(),
    lists: UnsafeCell::new(Lists::new()),
    mapped: AtomicUsize::new(0),
    invites: AtomicBool::new(false),
};

impl Segments {
    #[allow(clippy::mut_from_ref, reason = "the guard shows that the lock is held, once")]
    fn lists<'a>(&'a self, _held: &'a mut Held<'_>) -> &'a mut Lists {
        // SAFETY: the lock is held, and the borrow of the guard keeps this borrow the only one.
        unsafe { &mut *self.lists.get() }
    }
}

/// Bytes of address space mapped for segments.
pub fn mapped_bytes() -> usize {
    SEGMENTS.mapped.load(Relaxed)
}

/// The lock of the segments, for the fork handlers.
pub(super) fn lock() -> &'static Lock {
    &SEGMENTS.lock
}

/// A span of slots of `class` for `heap`, which may be of huge pages if the slots are small.
pub(super) fn slots(heap: HeapRef, class: usize, huge_pages: bool) -> Option<SpanRef> {
    let slices = super::size::span_slices(class);
    let mut held = SEGMENTS.lock.hold();
    let lists = SEGMENTS.lists(&mut held);
    lists.count(&heap.idle);
    let (span, zeroed) = lists.take(slices, huge_pages && slices == 1)?;
    span.become_slots(heap.as_non_null(), lists.generations.new_tag(), class, slices, zeroed);
    Some(span)
}

/// A span that is one block of at least `bytes`.
pub(super) fn single(heap: HeapRef, bytes: usize) -> Option<SpanRef> {
    let slices = geometry::slices_for(bytes);
    if slices > USABLE_SLICES {
        return own(heap.as_non_null(), bytes, 0);
    }
    let mut held = SEGMENTS.lock.hold();
    let lists = SEGMENTS.lists(&mut held);
    lists.count(&heap.idle);
    let (span, zeroed) = lists.take(slices, false)?;
    span.become_single(heap.as_non_null(), lists.generations.new_tag(), slices, zeroed);
    Some(span)
}

/// Sets the block that `span` is, which needs `bytes`, in from its start, if that has no mapping of its own.
pub(super) fn colour(span: SpanRef, bytes: usize) {
    let slices = geometry::slices_for(bytes);
    if slices <= USABLE_SLICES {
        span.set_in(bytes, colour_at(span.start(), slices));
    }
}

/// Whether the block that `span` is has a mapping of its own.
pub(super) fn is_own(span: SpanRef) -> bool {
    // Nobody needs the lock to ask: the length of a shared segment never changes, and that of another with its block alone.
    !SegmentRef::of(span).is_shared()
}

/// The colour of a block of `slices` that begins at `start`. It depends on nothing else, so that the same lines of the
/// cache are used when the place is used again; and where blocks overlap those that were there before, which large ones do,
/// on the segment alone.
fn colour_at(start: usize, slices: usize) -> usize {
    let place = if slices <= 2 { geometry::slice_index(start) } else { 0 };
    geometry::segment_number(start) + place
}

/// A slab of `slices`, of which somebody keeps `record`.
pub(super) fn slab(record: NonNull<()>, slices: usize) -> Option<SpanRef> {
    let mut held = SEGMENTS.lock.hold();
    let lists = SEGMENTS.lists(&mut held);
    let (span, _) = lists.take(slices, false)?;
    span.become_slab(record, lists.generations.new_tag(), slices);
    Some(span)
}

/// Gives a whole span of a shared segment back, and its memory to the system at once.
pub(super) fn release_to_system(span: SpanRef) {
    let mut held = SEGMENTS.lock.hold();
    let lists = SEGMENTS.lists(&mut held);
    let segment = SegmentRef::of(span);
    let (start, slices) = (geometry::slice_index(span.start()), geometry::slices_for(span.len()));
    span.uncover(0, slices);
    lists.set_used(segment, segment.used.get() & !geometry::run_mask(start, slices));
    lists.budget.free(slices);
    if segment.used.get() == 1 {
        lists.unmap(segment);
    } else {
        lists.purge(segment, start, slices);
    }
}

/// Gives a whole span back. Nobody uses any of it.
pub(super) fn release(span: SpanRef) {
    let mut held = SEGMENTS.lock.hold();
    SEGMENTS.lists(&mut held).release(span);
}

/// [`release`] of a span of `heap`, the calling thread's.
pub(super) fn release_from(heap: HeapRef, span: SpanRef) {
    let mut held = SEGMENTS.lock.hold();
    let lists = SEGMENTS.lists(&mut held);
    lists.count(&heap.idle);
    lists.release(span);
}

/// Makes the single block `span` at least `bytes` long, or shorter, without moving it.
pub(super) fn resize(span: SpanRef, bytes: usize) -> bool {
    let mut held = SEGMENTS.lock.hold();
    let lists = SEGMENTS.lists(&mut held);
    let segment = SegmentRef::of(span);
    let (have, want) = (geometry::slices_for(span.len()), geometry::slices_for(bytes));
    if segment.is_shared() {
        // What keeps growing is better moved to a mapping of its own while it is small.
        let grows_alone = span.len() <= GROWS_ALONE && bytes > GROWS_ALONE;
        !grows_alone && resize_slices(lists, segment, span, want)
    } else {
        own::resize(lists, segment, span, have, want)
    }
}

fn resize_slices(lists: &mut Lists, segment: SegmentRef, span: SpanRef, want: usize) -> bool {
    let have = geometry::slices_for(span.len());
    let start = geometry::slice_index(span.start());
    if want < have {
        span.uncover(want, have);
        lists.put_back(segment, start + want, have - want);
    } else if want > have {
        let more = want - have;
        if start + want > SLICES || segment.used.get() & geometry::run_mask(start + have, more) != 0 {
            return false;
        }
        lists.claim(segment, start + have, more);
        span.cover(span.heap(), span.tag(), have, want);
    }
    span.set_slices(want);
    true
}

/// Purges all free memory and unmaps empty segments. Returns the bytes that were given back.
pub(super) fn release_free_memory() -> usize {
    let mut held = SEGMENTS.lock.hold();
    let lists = SEGMENTS.lists(&mut held);
    let mut given = lists.drop_tails() + lists.drop_spares();
    while let Some(segment) = lists.empty[1].or(lists.empty[0]) {
        given += (segment.dirty.get() & !1).count_ones() as usize * SLICE;
        lists.unmap(segment);
    }
    let mut next = lists.open[0];
    let mut then = lists.open[1];
    while let Some(segment) = next.or_else(|| then.take()) {
        next = segment.next_open.get();
        let mut rest = !segment.used.get() & segment.dirty.get();
        given += rest.count_ones() as usize * SLICE;
        while rest != 0 {
            let start = rest.trailing_zeros() as usize;
            let n = (!(rest >> start)).trailing_zeros() as usize;
            lists.purge(segment, start, n);
            rest &= !geometry::run_mask(start, n);
        }
    }
    given
}

/// Calls `visit` with every span in use, in no order. Nobody may allocate or free meanwhile, but
/// from within the visit nothing is locked.
///
/// # Safety
/// No other thread changes the heaps while this runs.
pub unsafe fn for_each_span(visit: &mut dyn FnMut(SpanRef)) {
    // SAFETY: the caller promises that nobody else is at it.
    visit_spans(unsafe { (*SEGMENTS.lists.get()).all }, visit);
}

/// The same while others are at it: `visit` may neither take nor release a span.
pub(super) fn for_each_span_locked(visit: &mut dyn FnMut(SpanRef)) {
    let mut held = SEGMENTS.lock.hold();
    visit_spans(SEGMENTS.lists(&mut held).all, visit);
}

fn visit_spans(all: Option<SegmentRef>, visit: &mut dyn FnMut(SpanRef)) {
    let mut next = all;
    while let Some(segment) = next {
        next = segment.next.get();
        let mut slice = 1;
        while slice < SLICES {
            let span = segment.descriptor(slice);
            slice += 1;
            if span.is_head() {
                visit(span);
            }
        }
    }
}
