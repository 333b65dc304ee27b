//! Segments: large aligned pieces of address space, cut into spans.
//!
//! A segment of 4 MiB serves spans of up to 63 slices; a larger block, or one that keeps growing, gets
//! a mapping of its own (`own`). The `map` says where segments lie.
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

use core::cell::{Cell, UnsafeCell};
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

mod map;
mod own;

use super::budget::Budget;
use super::generations::Generations;
use super::geometry::{self, DESCRIPTOR, SEGMENT, SLICE, SLICES, USABLE_SLICES};
use super::heap::HeapRef;
use super::idle::Idle;
use super::lock::{Held, Lock};
use super::os;
use super::span::{Span, SpanRef};
use crate::offsets::offsets;
use map::set_covered;
pub(crate) use map::{MAP, SEGMENT_NUMBERS};
pub use map::{covers, has_covered};
pub(super) use own::{move_own, own};

/// A block that grows past this gets a mapping of its own.
pub const GROWS_ALONE: usize = 64 << 10;
/// Slices of a huge page.
const HUGE_SLICES: usize = (2 << 20) / SLICE;

/// What stands at the head of a segment, in the place of the first slice's descriptor. Its first
/// word is where a descriptor has its key, and is always 0: no pointer into slice 0 passes a check.
#[repr(C, align(128))]
struct Segment {
    no_key: AtomicU32,
    /// Bytes mapped.
    len: Cell<usize>,
    /// Slices that belong to a span, and slice 0.
    used: Cell<u64>,
    /// Slices that may hold something else than zeros; of a block's own mapping, how many may.
    dirty: Cell<u64>,
    /// It is made of huge pages.
    huge_pages: Cell<bool>,
    /// A block's own mapping: there is more of it dirty than the block has, and it is in the list of such.
    has_tail: Cell<bool>,
    /// All segments.
    next: Cell<Option<SegmentRef>>,
    prev: Cell<Option<SegmentRef>>,
    /// Segments with a free slice and one in use; or those with none in use; or blocks' own mappings with a tail.
    next_open: Cell<Option<SegmentRef>>,
    prev_open: Cell<Option<SegmentRef>>,
}

const _: () = assert!(size_of::<Segment>() == DESCRIPTOR);

offsets! {
    /// Where the fields of a segment's head lie that say how much of it is mapped and in use.
    SegmentOffsets of Segment { len, used }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct SegmentRef(NonNull<Segment>);

impl Deref for SegmentRef {
    type Target = Segment;

    fn deref(&self) -> &Segment {
        // SAFETY: made only from mapped segments, and used under the lock, which unmapping takes, or while a span is in use.
        unsafe { self.0.as_ref() }
    }
}

impl SegmentRef {
    fn of(span: SpanRef) -> SegmentRef {
        let base = geometry::segment_base(span.as_non_null().addr().get()) as *mut Segment;
        // SAFETY: a descriptor lies in a mapped segment, which starts at a multiple of its size.
        SegmentRef(unsafe { NonNull::new_unchecked(base) })
    }

    fn base(self) -> usize {
        self.0.addr().get()
    }

    fn bytes(self) -> NonNull<u8> {
        self.0.cast()
    }

    fn slice(self, index: usize) -> NonNull<u8> {
        // SAFETY: slices lie within the segment.
        unsafe { self.bytes().add(index * SLICE) }
    }

    fn descriptor(self, slice: usize) -> SpanRef {
        // SAFETY: descriptors 1..64 lie behind the head, zeroed when the segment was mapped, which
        // is a valid descriptor.
        SpanRef::from_descriptor(unsafe { self.0.cast::<Span>().add(slice).as_ref() })
    }

    fn is_shared(self) -> bool {
        self.len.get() == SEGMENT
    }
}

struct Lists {
    all: Option<SegmentRef>,
    /// Segments with a free slice and one in use, without and with huge pages.
    open: [Option<SegmentRef>; 2],
    /// Segments with nothing in use, without and with huge pages.
    empty: [Option<SegmentRef>; 2],
    /// Blocks' own mappings that hold more than their block.
    tails: Option<SegmentRef>,
    budget: Budget,
    /// Mappings that were blocks' own, kept for the next, the one kept last first.
    spares: [Option<SegmentRef>; own::SPARES],
    generations: Generations,
}

struct Segments {
    lock: Lock,
    lists: UnsafeCell<Lists>,
    mapped: AtomicUsize,
}

// SAFETY: `lists`, and the cells of the segments it leads to, are touched only under `lock`.
unsafe impl Sync for Segments {}

static SEGMENTS: Segments = Segments {
    lock: Lock::new(),
    lists: UnsafeCell::new(Lists {
        all: None,
        open: [None; 2],
        empty: [None; 2],
        tails: None,
        budget: Budget::new(),
        spares: [None; own::SPARES],
        generations: Generations::new(),
    }),
    mapped: AtomicUsize::new(0),
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
    span.set_len(want * SLICE);
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

impl Lists {
    /// A run of `slices` free slices, claimed, and whether it is all zeros. One that was never written to is taken only if
    /// there is no segment that is resident with nothing in use.
    fn take(&mut self, slices: usize, huge_pages: bool) -> Option<(SpanRef, bool)> {
        let kind = usize::from(huge_pages);
        let mut next = self.open[kind];
        let (segment, start) = loop {
            let Some(segment) = next else {
                break (self.empty[kind].or_else(|| self.map(SEGMENT, huge_pages))?, 1);
            };
            if let Some(start) = geometry::find_run(segment.used.get(), slices, 1) {
                let is_new = segment.dirty.get() & geometry::run_mask(start, 1) == 0;
                break match self.empty[kind] {
                    Some(empty) if is_new => (empty, 1),
                    _ => (segment, start),
                };
            }
            next = segment.next_open.get();
        };
        let zeroed = self.claim(segment, start, slices);
        Some((segment.descriptor(start), zeroed))
    }

    fn release(&mut self, span: SpanRef) {
        let segment = SegmentRef::of(span);
        let slices = geometry::slices_for(span.len());
        if segment.is_shared() {
            span.uncover(0, slices);
            self.put_back(segment, geometry::slice_index(span.start()), slices);
        } else {
            span.uncover(0, USABLE_SLICES);
            self.set_tail(segment, false);
            self.spare_or_unmap(segment, slices);
        }
    }

    /// The idle spans of a heap count as free.
    fn count(&mut self, idle: &Idle) {
        if let Some((fewer, more)) = idle.change() {
            self.budget.claim(fewer, fewer);
            self.budget.free(more);
        }
    }

    /// Marks free slices as used. Says whether they are all zeros.
    fn claim(&mut self, segment: SegmentRef, start: usize, slices: usize) -> bool {
        let run = geometry::run_mask(start, slices);
        let dirty = segment.dirty.get() & run;
        self.budget.claim(slices, dirty.count_ones() as usize);
        segment.dirty.set(segment.dirty.get() | run);
        self.set_used(segment, segment.used.get() | run);
        dirty == 0
    }

    fn put_back(&mut self, segment: SegmentRef, start: usize, slices: usize) {
        self.set_used(segment, segment.used.get() & !geometry::run_mask(start, slices));
        self.budget.free(slices);
        if !self.budget.is_exceeded() {
            return;
        }
        self.drop_tails();
        self.drop_spares();
        if segment.used.get() != 1 {
            if segment.huge_pages.get() {
                self.purge_huge_page(segment);
            } else {
                self.purge(segment, start, slices);
            }
        }
        while self.budget.is_exceeded()
            && let Some(empty) = self.empty[1].or(self.empty[0])
        {
            self.unmap(empty);
        }
    }

    /// Changes which slices of a segment are in use, and moves it to the list where it belongs then.
    fn set_used(&mut self, segment: SegmentRef, used: u64) {
        let before = segment.used.replace(used);
        let place = |used| (used == 1, used == u64::MAX);
        if place(before) != place(used) {
            if before != u64::MAX {
                self.delist(segment, before);
            }
            if used != u64::MAX {
                self.enlist(segment, used);
            }
        }
    }

    /// Purges the second of a segment's two huge pages if nothing of it is in use. The first one holds
    /// the descriptors.
    fn purge_huge_page(&mut self, segment: SegmentRef) {
        let page = geometry::run_mask(HUGE_SLICES, HUGE_SLICES);
        if segment.used.get() & page == 0 && segment.dirty.get() & page != 0 {
            self.purge(segment, HUGE_SLICES, HUGE_SLICES);
        }
    }

    fn purge(&mut self, segment: SegmentRef, start: usize, slices: usize) {
        let run = geometry::run_mask(start, slices);
        // SAFETY: the slices are free, whole pages of a mapping.
        if unsafe { os::purge(segment.slice(start), slices * SLICE) } {
            self.budget.give_back((segment.dirty.get() & run).count_ones() as usize);
            segment.dirty.set(segment.dirty.get() & !run);
        }
    }

    fn map(&mut self, len: usize, huge_pages: bool) -> Option<SegmentRef> {
        let segment = SegmentRef(os::map(len, SEGMENT)?.cast());
        SEGMENTS.mapped.fetch_add(len, Relaxed);
        os::prefer_huge_pages(segment.bytes(), len, huge_pages);
        segment.huge_pages.set(huge_pages);
        segment.len.set(len);
        segment.used.set(1);
        self.link(segment);
        if len == SEGMENT {
            self.enlist(segment, 1);
        }
        set_covered(segment.base(), true);
        Some(segment)
    }

    fn unmap(&mut self, segment: SegmentRef) {
        if segment.is_shared() {
            self.budget.give_back((segment.dirty.get() & !1).count_ones() as usize);
            self.delist(segment, 1);
        }
        self.unlink(segment);
        set_covered(segment.base(), false);
        let len = segment.len.get();
        SEGMENTS.mapped.fetch_sub(len, Relaxed);
        // SAFETY: the whole mapping; no list leads to it any more and no span of it is in use.
        unsafe { os::unmap(segment.bytes(), len) };
    }

    fn link(&mut self, segment: SegmentRef) {
        segment.prev.set(None);
        segment.next.set(self.all);
        if let Some(first) = self.all {
            first.prev.set(Some(segment));
        }
        self.all = Some(segment);
    }

    fn unlink(&mut self, segment: SegmentRef) {
        match segment.prev.get() {
            Some(prev) => prev.next.set(segment.next.get()),
            None => self.all = segment.next.get(),
        }
        if let Some(next) = segment.next.get() {
            next.prev.set(segment.prev.get());
        }
    }

    fn list_for(&mut self, segment: SegmentRef, used: u64) -> &mut Option<SegmentRef> {
        let kind = usize::from(segment.huge_pages.get());
        match used {
            1 => &mut self.empty[kind],
            u64::MAX => &mut self.tails,
            _ => &mut self.open[kind],
        }
    }

    fn enlist(&mut self, segment: SegmentRef, used: u64) {
        let list = self.list_for(segment, used);
        segment.prev_open.set(None);
        segment.next_open.set(*list);
        if let Some(first) = *list {
            first.prev_open.set(Some(segment));
        }
        *list = Some(segment);
    }

    fn delist(&mut self, segment: SegmentRef, used: u64) {
        match segment.prev_open.get() {
            Some(prev) => prev.next_open.set(segment.next_open.get()),
            None => *self.list_for(segment, used) = segment.next_open.get(),
        }
        if let Some(next) = segment.next_open.get() {
            next.prev_open.set(segment.prev_open.get());
        }
    }
}
