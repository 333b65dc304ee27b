//! Blocks with a mapping of their own: those that are larger than a segment, and those that keep growing.
//!
//! Such a mapping looks like a segment with one span, and is told from a shared one by its length. It may have
//! address space to spare, so that the block grows without moving; when it must move, its pages move and are
//! not copied. Here `dirty` counts the slices that may be resident, and all of `used` is set. What of them lies beyond
//! the block is its *tail*: the rest of the huge page that it ends in, or what an earlier block has left, for a few
//! mappings that nobody uses any more are kept for the next blocks, and for small ones that grow (`guests`). A block grows
//! into its tail for nothing. Tails count as free memory, and are given back as that is.

use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

use super::SEGMENTS;
use super::head::SegmentRef;
use super::lists::{HUGE_SLICES, Lists};
use super::map::set_covered;
use crate::mem::geometry::{self, SEGMENT, SLICE, USABLE_SLICES};
use crate::mem::heap::Heap;
use crate::mem::os;
use crate::mem::span::SpanRef;

/// How many mappings are kept.
pub(super) const SPARES: usize = 4;
/// A block with this many slices, 1 MiB, asks for huge pages.
const HUGE: usize = (1 << 20) / SLICE;

/// A span that is one block of at least `bytes`, in a mapping of its own with address space for
/// `reserve` bytes, if there is that much.
pub(in crate::mem) fn own(heap: NonNull<Heap>, bytes: usize, reserve: usize) -> Option<SpanRef> {
    let mut held = SEGMENTS.lock.hold();
    let lists = SEGMENTS.lists(&mut held);
    let len = own_len(bytes)?;
    let (segment, zeroed) = match lists.take_spare(len) {
        Some(segment) => (segment, false),
        None => (lists.map(own_len(reserve.max(bytes))?, false).or_else(|| lists.map(len, false))?, true),
    };
    if reserve > 0 {
        lists.guests.see_growth();
    }
    Some(lists.put_to_use(segment, heap, bytes, zeroed))
}

/// The same for a block of at most a slice, which has grown, in a mapping that is kept: if there is one, and guests may come.
pub(in crate::mem) fn own_for_guest(heap: NonNull<Heap>, bytes: usize) -> Option<SpanRef> {
    if !SEGMENTS.invites.load(Relaxed) {
        return None;
    }
    let mut held = SEGMENTS.lock.hold();
    let lists = SEGMENTS.lists(&mut held);
    if !lists.guests.may_come() {
        return None;
    }
    let segment = lists.take_spare(own_len(bytes)?)?;
    Some(lists.put_to_use(segment, heap, bytes, false))
}

/// Bytes to map for a block of `bytes` with a mapping of its own: whole slices, and more than a
/// segment, which tells it from those that are shared.
fn own_len(bytes: usize) -> Option<usize> {
    let len = geometry::round_up(bytes.checked_add(SLICE)?, SLICE)?;
    Some(len.max(SEGMENT + SLICE))
}

/// Gives the block `span`, which has `have` slices, `want`, if that can be without moving it.
pub(super) fn resize(
    lists: &mut Lists,
    segment: SegmentRef,
    span: SpanRef,
    have: usize,
    want: usize,
) -> bool {
    if (want + 1) * SLICE > segment.len.get() {
        let len = (want + 1) * SLICE;
        // SAFETY: the whole mapping, which grows.
        if !unsafe { os::resize_in_place(segment.bytes(), segment.len.get(), len) } {
            return false;
        }
        SEGMENTS.mapped.fetch_add(len - segment.len.get(), Relaxed);
        segment.len.set(len);
    }
    if want > have {
        lists.extend(segment, have, want);
    } else {
        lists.budget.free(have - want);
        // SAFETY: the caller has given up what is cut off.
        unsafe { lists.purge_tail(segment, want) };
        lists.guests.see(have, want);
        lists.invite();
    }
    span.set_slices(want);
    true
}

/// How many slices will be resident when the first `used` of a block's own mapping are, and the first `dirty` are already: of a
/// huge page that is used for the first time, all.
fn resident_with(segment: SegmentRef, used: usize, dirty: usize) -> usize {
    let end_of_page = |slices: usize| (1 + slices).next_multiple_of(HUGE_SLICES) - 1;
    let end = end_of_page(used);
    if segment.huge_pages.get() && used > end_of_page(dirty) && (1 + end) * SLICE <= segment.len.get() {
        end
    } else {
        used.max(dirty)
    }
}

/// Moves a block with a mapping of its own to where it can be `bytes` long, without copying it.
pub(in crate::mem) fn move_own(span: SpanRef, bytes: usize) -> Option<SpanRef> {
    let mut held = SEGMENTS.lock.hold();
    let lists = SEGMENTS.lists(&mut held);
    let segment = SegmentRef::of(span);
    let len = own_len(bytes)?;
    let old = segment.len.get();
    if segment.is_shared() || len <= old {
        return None;
    }
    lists.unlink(segment);
    let (heap, tag) = (span.heap(), span.tag());
    lists.set_tail(segment, false);
    span.uncover(0, USABLE_SLICES);
    set_covered(segment.base(), false);
    // SAFETY: the whole mapping of this segment, which grows.
    let moved = unsafe { os::move_pages(segment.bytes(), old, len, SEGMENT) };
    let now = moved.map_or(segment, |to| SegmentRef(to.cast()));
    set_covered(now.base(), true);
    now.descriptor(1).cover_alone(heap, tag);
    lists.link(now);
    if moved.is_none() {
        lists.set_tail(now, now.dirty.get() as usize > geometry::slices_for(span.len()));
        return None;
    }
    SEGMENTS.mapped.fetch_add(len - old, Relaxed);
    now.len.set(len);
    let span = now.descriptor(1);
    let slices = geometry::slices_for(bytes);
    lists.extend(now, geometry::slices_for(span.len()), slices);
    span.set_slices(slices);
    Some(span)
}

impl Lists {
    /// Keeps the mapping of a block that was `slices` long, if that is not too much, before those kept earlier.
    pub(super) fn spare_or_unmap(&mut self, segment: SegmentRef, slices: usize) {
        self.budget.free(slices);
        if let Some(oldest) = self.spares[SPARES - 1].take() {
            self.unmap_spare(oldest);
        }
        self.spares.rotate_right(1);
        self.spares[0] = Some(segment);
        self.drop_long_tails();
        if self.budget.is_exceeded() {
            self.drop_tails();
        }
        while self.budget.is_exceeded()
            && let Some(oldest) = self.spares.iter_mut().rev().find_map(Option::take)
        {
            self.unmap_spare(oldest);
        }
        self.invite();
    }

    /// Says whether a guest may come, for those who do not have the lock.
    fn invite(&self) {
        let open = self.guests.may_come() && self.spares.iter().any(Option::is_some);
        if open != SEGMENTS.invites.load(Relaxed) {
            SEGMENTS.invites.store(open, Relaxed);
        }
    }

    /// The spare mapping that was kept last, of those that are at least `len` long.
    fn take_spare(&mut self, len: usize) -> Option<SegmentRef> {
        self.spares.iter_mut().find_map(|spare| spare.take_if(|spare| spare.len.get() >= len))
    }

    /// A span that is one block of at least `bytes` in `segment`, which is in nobody's use.
    fn put_to_use(
        &mut self,
        segment: SegmentRef,
        heap: NonNull<Heap>,
        bytes: usize,
        zeroed: bool,
    ) -> SpanRef {
        let slices = geometry::slices_for(bytes);
        segment.used.set(u64::MAX);
        self.extend(segment, 0, slices);
        let span = segment.descriptor(1);
        span.become_alone(heap, self.generations.new_tag(), slices, zeroed);
        span
    }

    /// The block with a mapping of its own that had `have` slices gets `want`, more.
    fn extend(&mut self, segment: SegmentRef, have: usize, want: usize) {
        if want >= HUGE && !segment.huge_pages.replace(true) {
            os::prefer_huge_pages(segment.bytes(), segment.len.get(), true);
        }
        let dirty = segment.dirty.get() as usize;
        let resident = resident_with(segment, want, dirty);
        self.budget.claim(want - have, dirty.clamp(have, want) - have);
        self.budget.find(resident - dirty.max(want));
        segment.dirty.set(resident as u64);
        self.set_tail(segment, resident > want);
        self.guests.see(have, want);
        self.invite();
    }

    /// Whether a block's own mapping is in the list of those with a tail.
    pub(super) fn set_tail(&mut self, segment: SegmentRef, has_tail: bool) {
        match (segment.has_tail.replace(has_tail), has_tail) {
            (false, true) => self.enlist(segment, u64::MAX),
            (true, false) => self.delist(segment, u64::MAX),
            _ => {}
        }
    }

    /// Purges tails that are more than twice as long as their blocks, but for a few that came last, if more stays resident
    /// than without what was learned: that is kept because memory was fetched again, and a tail is of use to its block
    /// alone, if it grows. A tail comes with a spare mapping, and never becomes longer: so a look at some of the next ones
    /// for each mapping that is kept is enough.
    fn drop_long_tails(&mut self) {
        if self.budget.uses_extra() {
            self.drop_tails_if(SPARES..3 * SPARES, &|block, tail| tail > 2 * block);
        }
    }

    /// Purges what blocks' own mappings hold beyond their blocks. Returns the bytes that this was.
    pub(super) fn drop_tails(&mut self) -> usize {
        self.drop_tails_if(0..usize::MAX, &|_, _| true)
    }

    /// Purges those of the tails at these places, from the one that came last, that are to go, by how many slices the block
    /// has, and its tail. Returns the bytes that this was.
    fn drop_tails_if(&mut self, places: Range<usize>, is_to_go: &dyn Fn(usize, usize) -> bool) -> usize {
        let mut given = 0;
        let mut next =
            core::iter::successors(self.tails, |segment| segment.next_open.get()).nth(places.start);
        for _ in places {
            let Some(segment) = next else { break };
            next = segment.next_open.get();
            let slices = geometry::slices_for(segment.descriptor(1).len());
            if is_to_go(slices, segment.dirty.get() as usize - slices) {
                // SAFETY: behind the block.
                match unsafe { self.purge_tail(segment, slices) } {
                    // Where one is refused, all are, most likely: a program has locked all its memory.
                    0 => break,
                    bytes => given += bytes,
                }
            }
        }
        given
    }

    /// Purges what is resident behind the first `slices` of a block's own mapping. Returns the bytes that this was: none where
    /// the system refuses, as it does with memory that is locked; that is a tail, then.
    ///
    /// # Safety
    /// Nobody uses any of it.
    unsafe fn purge_tail(&mut self, segment: SegmentRef, slices: usize) -> usize {
        let tail = segment.dirty.get() as usize - slices;
        // SAFETY: whole slices of the mapping; the rest is the caller's.
        let is_purged = unsafe { os::purge(segment.slice(1 + slices), tail * SLICE) };
        self.set_tail(segment, !is_purged);
        if !is_purged {
            return 0;
        }
        segment.dirty.set(slices as u64);
        self.budget.give_back_tail(tail);
        tail * SLICE
    }

    /// Unmaps the spare mappings. Returns the bytes that they held.
    pub(super) fn drop_spares(&mut self) -> usize {
        let mut given = 0;
        while let Some(spare) = self.spares.iter_mut().find_map(Option::take) {
            given += self.unmap_spare(spare);
        }
        self.invite();
        given
    }

    /// Unmaps a spare mapping that is off the list. Returns the bytes that it held.
    fn unmap_spare(&mut self, spare: SegmentRef) -> usize {
        let resident = spare.dirty.get() as usize;
        self.budget.give_back(resident);
        self.unmap(spare);
        resident * SLICE
    }
}
