//! Which segments there are, and what of them is free: where a run of slices is found, and where it goes.
//!
//! Invariant: a segment is in the list of those that are open, or empty, or neither, as its slices in use say
//! ([`Lists::set_used`]); a slice is dirty if it may hold something else than zeros. The one lock guards it all.

use core::sync::atomic::Ordering::Relaxed;

use super::guests::Guests;
use super::head::SegmentRef;
use super::map::set_covered;
use super::{SEGMENTS, own};
use crate::mem::budget::Budget;
use crate::mem::generations::Generations;
use crate::mem::geometry::{self, SEGMENT, SLICE, USABLE_SLICES};
use crate::mem::idle::Idle;
use crate::mem::os;
use crate::mem::span::SpanRef;

/// Slices of a huge page.
pub(super) const HUGE_SLICES: usize = (2 << 20) / SLICE;

pub(super) struct Lists {
    pub(super) all: Option<SegmentRef>,
    /// Segments with a free slice and one in use, without and with huge pages.
    pub(super) open: [Option<SegmentRef>; 2],
    /// Segments with nothing in use, without and with huge pages.
    pub(super) empty: [Option<SegmentRef>; 2],
    /// Blocks' own mappings that hold more than their block.
    pub(super) tails: Option<SegmentRef>,
    pub(super) budget: Budget,
    /// Mappings that were blocks' own, kept for the next, the one kept last first.
    pub(super) spares: [Option<SegmentRef>; own::SPARES],
    pub(super) guests: Guests,
    pub(super) generations: Generations,
}

impl Lists {
    pub(super) const fn new() -> Lists {
        Lists {
            all: None,
            open: [None; 2],
            empty: [None; 2],
            tails: None,
            budget: Budget::new(),
            spares: [None; own::SPARES],
            guests: Guests::new(),
            generations: Generations::new(),
        }
    }

    /// A run of `slices` free slices, claimed, and whether it is all zeros. One that was never written to is taken only if
    /// there is no segment that is resident with nothing in use.
    pub(super) fn take(&mut self, slices: usize, huge_pages: bool) -> Option<(SpanRef, bool)> {
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

    pub(super) fn release(&mut self, span: SpanRef) {
        let segment = SegmentRef::of(span);
        let slices = geometry::slices_for(span.len());
        if segment.is_shared() {
            span.uncover(0, slices);
            self.put_back(segment, geometry::slice_index(span.start()), slices);
        } else {
            span.uncover(0, USABLE_SLICES);
            self.set_tail(segment, false);
            self.guests.see(slices, 0);
            self.spare_or_unmap(segment, slices);
        }
    }

    /// The idle spans of a heap count as free.
    pub(super) fn count(&mut self, idle: &Idle) {
        if let Some((fewer, more)) = idle.change() {
            self.budget.claim(fewer, fewer);
            self.budget.free(more);
        }
    }

    /// Marks free slices as used. Says whether they are all zeros.
    pub(super) fn claim(&mut self, segment: SegmentRef, start: usize, slices: usize) -> bool {
        let run = geometry::run_mask(start, slices);
        let dirty = segment.dirty.get() & run;
        self.budget.claim(slices, dirty.count_ones() as usize);
        segment.dirty.set(segment.dirty.get() | run);
        self.set_used(segment, segment.used.get() | run);
        dirty == 0
    }

    pub(super) fn put_back(&mut self, segment: SegmentRef, start: usize, slices: usize) {
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
    pub(super) fn set_used(&mut self, segment: SegmentRef, used: u64) {
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

    pub(super) fn purge(&mut self, segment: SegmentRef, start: usize, slices: usize) {
        let run = geometry::run_mask(start, slices);
        // SAFETY: the slices are free, whole pages of a mapping.
        if unsafe { os::purge(segment.slice(start), slices * SLICE) } {
            self.budget.give_back((segment.dirty.get() & run).count_ones() as usize);
            segment.dirty.set(segment.dirty.get() & !run);
        }
    }

    pub(super) fn map(&mut self, len: usize, huge_pages: bool) -> Option<SegmentRef> {
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

    pub(super) fn unmap(&mut self, segment: SegmentRef) {
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

    pub(super) fn link(&mut self, segment: SegmentRef) {
        segment.prev.set(None);
        segment.next.set(self.all);
        if let Some(first) = self.all {
            first.prev.set(Some(segment));
        }
        self.all = Some(segment);
    }

    pub(super) fn unlink(&mut self, segment: SegmentRef) {
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

    pub(super) fn enlist(&mut self, segment: SegmentRef, used: u64) {
        let list = self.list_for(segment, used);
        segment.prev_open.set(None);
        segment.next_open.set(*list);
        if let Some(first) = *list {
            first.prev_open.set(Some(segment));
        }
        *list = Some(segment);
    }

    pub(super) fn delist(&mut self, segment: SegmentRef, used: u64) {
        match segment.prev_open.get() {
            Some(prev) => prev.next_open.set(segment.next_open.get()),
            None => *self.list_for(segment, used) = segment.next_open.get(),
        }
        if let Some(next) = segment.next_open.get() {
            next.prev_open.set(segment.prev_open.get());
        }
    }
}
