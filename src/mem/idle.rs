//! Idle spans: those with nothing in them that a heap keeps for what it builds next.
//!
//! Where trees come and go, their spans do, too. Each that goes back to the segments and is fetched again takes the one
//! lock of all threads twice. So a heap keeps those that have become idle of late. Those of slots wait in the lists of their
//! classes, like others with slots to give; what was a block is a span of no slots, and waits here for a block of as many
//! slices. Spans of small slots are not kept: the lock is taken once for hundreds of them, which are better used anew in
//! the order of their addresses, from memory that was used last by whatever class.
//!
//! What is kept is bounded, for each heap and for all together, and counts as free memory in the budget, which is told
//! when the heap next has to do with the segments. Heaps of shared contexts keep nothing: there may be many, with
//! nobody who comes by. Used by `heap`; the owner's alone.

use core::cell::Cell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::geometry::{DESCRIPTOR, SLICE, slices_for};
use super::size;
use super::span::{Span, SpanRef};

/// The most that one heap keeps, in slices: 4 MiB.
const MOST: usize = (4 << 20) / SLICE;
/// The most that all keep, but for one slice each: 8 MiB.
const MOST_OF_ALL: usize = (8 << 20) / SLICE;
/// The longest block that is kept, in slices: 256 KiB. Longer ones of any length leave others little room in the caches.
const BLOCK_MAX: usize = (256 << 10) / SLICE;

/// How many heaps may keep some.
static KEEPERS: AtomicUsize = AtomicUsize::new(0);

/// There is one more heap that may keep spans.
pub(super) fn add_keeper() {
    KEEPERS.fetch_add(1, Relaxed);
}

/// How many slices one heap may keep.
fn allowed() -> usize {
    (MOST_OF_ALL / KEEPERS.load(Relaxed).max(1)).clamp(1, MOST)
}

/// Whether what was a block of so many slices may be kept.
#[inline(always)]
pub(super) fn is_kept(slices: usize) -> bool {
    slices <= BLOCK_MAX
}

/// A span that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// One of slots.
    Slots(SpanRef),
    /// What was a block, and how many slices it has.
    Block(SpanRef, usize),
}

impl Kept {
    fn slices(self) -> usize {
        match self {
            Kept::Slots(span) => slices_for(span.len()),
            Kept::Block(_, slices) => slices,
        }
    }
}

/// The same in one word, so that a heap fits into a page: where the descriptor lies, and in the bits that are 0 there how
/// many slices what was a block has, 0 for one of slots.
#[derive(Clone, Copy, Debug)]
struct Entry(*mut Span);

const _: () = assert!(BLOCK_MAX < DESCRIPTOR && align_of::<Span>() == DESCRIPTOR);

impl Entry {
    const NONE: Entry = Entry(core::ptr::null_mut());

    fn new(span: SpanRef, block: usize) -> Entry {
        Entry(span.as_non_null().as_ptr().map_addr(|at| at | block))
    }

    fn block(self) -> usize {
        self.0.addr() % DESCRIPTOR
    }

    fn kept(self) -> Option<Kept> {
        let descriptor = NonNull::new(self.0.map_addr(|at| at & !(DESCRIPTOR - 1)))?;
        // SAFETY: a span is kept as long as it stands here.
        let span = unsafe { SpanRef::from_descriptor(descriptor) };
        Some(if self.block() == 0 { Kept::Slots(span) } else { Kept::Block(span, self.block()) })
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Idle {
    /// From the one that has waited longest.
    kept: [Cell<Entry>; MOST + 1],
    len: Cell<usize>,
    slices: Cell<usize>,
    /// How many slices the budget knows of. Changed under the lock of the segments.
    counted: Cell<usize>,
}

impl Idle {
    pub(super) const fn new() -> Idle {
        Idle {
            kept: [const { Cell::new(Entry::NONE) }; MOST + 1],
            len: Cell::new(0),
            slices: Cell::new(0),
            counted: Cell::new(0),
        }
    }

    /// Keeps `span`, from which the last slot has just been given back, if its slots are large and it is not too much by
    /// itself. Those that are [in excess](Idle::excess) then are to go.
    pub(super) fn keep(&self, span: SpanRef) -> bool {
        span.room() > size::SMALL_MAX && self.put(span, 0, slices_for(span.len()))
    }

    /// The same with `span` that was a block of so many slices, which [may be kept](is_kept).
    pub(super) fn keep_block(&self, span: SpanRef, slices: usize) -> bool {
        self.put(span, slices, slices)
    }

    fn put(&self, span: SpanRef, block: usize, slices: usize) -> bool {
        let fits = slices <= allowed();
        if fits {
            self.kept[self.len.get()].set(Entry::new(span, block));
            self.len.set(self.len.get() + 1);
            self.slices.set(self.slices.get() + slices);
        }
        fits
    }

    /// Takes out the one that has waited longest, if too much is kept.
    pub(super) fn excess(&self) -> Option<Kept> {
        if self.slices.get() > allowed() { self.take() } else { None }
    }

    /// Takes out the one that has waited longest.
    pub(super) fn take(&self) -> Option<Kept> {
        if self.len.get() == 0 { None } else { self.take_at(0) }
    }

    /// Takes out what was a block of so many slices, the one that was kept last.
    pub(super) fn take_block(&self, slices: usize) -> Option<SpanRef> {
        let fits = |kept: &Cell<Entry>| kept.get().block() == slices;
        match self.take_at(self.kept[..self.len.get()].iter().rposition(fits)?) {
            Some(Kept::Block(span, _)) => Some(span),
            _ => None,
        }
    }

    /// Takes out `span`, of slots, if it is kept: a slot of it is about to be used.
    pub(super) fn take_out(&self, span: SpanRef) {
        let kept = &self.kept[..self.len.get()];
        if let Some(at) = kept.iter().position(|kept| kept.get().0 == span.as_non_null().as_ptr()) {
            self.take_at(at);
        }
    }

    fn take_at(&self, at: usize) -> Option<Kept> {
        let taken = self.kept[at].get().kept();
        self.slices.set(self.slices.get() - taken.map_or(0, Kept::slices));
        let last = self.len.get() - 1;
        for at in at..last {
            self.kept[at].set(self.kept[at + 1].get());
        }
        self.kept[last].set(Entry::NONE);
        self.len.set(last);
        taken
    }

    /// Nothing is kept, whatever was. What is known of it may be half changed: see `inherited`.
    pub(super) fn forget(&self) {
        self.kept.iter().for_each(|kept| kept.set(Entry::NONE));
        self.len.set(0);
        self.slices.set(0);
    }

    /// How many slices have been kept and are not any more, and how many are now and were not, since this was last asked;
    /// `None` when it is as it was. The caller tells the budget.
    #[inline]
    pub(super) fn change(&self) -> Option<(usize, usize)> {
        let (before, now) = (self.counted.get(), self.slices.get());
        if before == now {
            return None;
        }
        self.counted.set(now);
        Some((before.saturating_sub(now), now.saturating_sub(before)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::mem::give;
    use crate::mem::heap::HeapRef;
    use crate::mem::os;

    #[test]
    fn a_heap_that_nobody_owns_keeps_none() {
        let heap = HeapRef::create(os::thread_pointer()).unwrap();
        let class = size::class_of(4096);
        let slots = [(); 100].map(|()| heap.take(class).unwrap().0);
        let (mine, others) = slots.split_at(50);
        // SAFETY: taken above, and given back once.
        let give = |slots: &[NonNull<u8>]| slots.iter().for_each(|&at| unsafe { give::give(at) });
        give(mine);
        let Some(Kept::Slots(span)) = heap.idle.take() else { panic!("none is kept") };
        assert!(heap.idle.keep(span));
        heap.leave();
        assert_eq!(heap.idle.take(), None);
        give(others);
        assert_eq!(heap.idle.take(), None);
        assert!(heap.owner.adopt(os::thread_pointer()));
        heap.retire_empty_spans();
        // SAFETY: all that was taken has been given back.
        unsafe { heap.destroy() };
    }

    #[test]
    fn the_ones_that_have_waited_longest_go_first() {
        let heap = HeapRef::create(os::thread_pointer()).unwrap();
        let spans = [(); MOST + 1].map(|()| {
            let (at, _) = heap.take_single(SLICE).unwrap();
            // SAFETY: a block in use.
            unsafe { SpanRef::of(at.addr().get()) }
        });
        let (idle, [first, second, third, .., last]) = (Idle::new(), spans);
        assert!(spans[..MOST].iter().all(|&span| idle.keep(span)));
        assert_eq!((idle.excess(), idle.change()), (None, Some((0, MOST))));
        idle.take_out(second);
        idle.take_out(second);
        assert!(idle.keep(last) && idle.keep(second));
        assert_eq!((idle.excess(), idle.excess()), (Some(Kept::Slots(first)), None));
        assert_eq!(
            (idle.take(), idle.change(), idle.change()),
            (Some(Kept::Slots(third)), Some((1, 0)), None)
        );
        idle.forget();
        assert_eq!((idle.take(), idle.change()), (None, Some((MOST - 1, 0))));
        for span in spans {
            crate::mem::segment::release(span);
        }
        // SAFETY: all that was taken has been given back.
        unsafe { heap.destroy() };
    }

    #[test]
    fn a_freed_block_is_the_next_of_its_length_under_another_tag() {
        let heap = HeapRef::create(os::thread_pointer()).unwrap();
        // SAFETY: a block in use.
        let span_of = |at: NonNull<u8>| unsafe { SpanRef::of(at.addr().get()) };
        let (at, tag) = heap.take_large(100_000).unwrap();
        let (other, _) = heap.take_single(100_000).unwrap();
        for at in [other, at] {
            // SAFETY: taken above, and given back once.
            unsafe { give::give(at) };
        }
        let span = span_of(at);
        assert_eq!((span.slots().count(), span.tag() == tag), (0, false));
        let (longer, _) = heap.take_large(200_000).unwrap();
        assert_ne!(span_of(longer), span);
        let (again, new) = heap.take_single(100_001).unwrap();
        assert_eq!((span_of(again), again.addr().get()), (span, span.start()));
        assert_eq!((new, span.room(), span.slots().count()), (span.tag(), span.len(), 1));
        assert_eq!(heap.idle.take_block(2), Some(span_of(other)));
        assert!(heap.idle.keep_block(span_of(other), 2));
        for at in [longer, again] {
            // SAFETY: as above.
            unsafe { give::give(at) };
        }
        heap.retire_empty_spans();
        assert_eq!(heap.idle.take(), None);
        // SAFETY: all that was taken has been given back.
        unsafe { heap.destroy() };
    }

    #[test]
    fn a_block_that_another_thread_frees_is_not_kept() {
        let heap = HeapRef::create(os::thread_pointer()).unwrap();
        let (at, _) = heap.take_large(100_000).unwrap();
        let address = at.as_ptr().expose_provenance();
        let give = move || {
            let at = NonNull::new(core::ptr::with_exposed_provenance_mut(address)).unwrap();
            // SAFETY: taken above, and given back once.
            unsafe { give::give(at) };
        };
        std::thread::spawn(give).join().unwrap();
        assert_eq!(heap.idle.take(), None);
        // SAFETY: all that was taken has been given back.
        unsafe { heap.destroy() };
    }

    #[test]
    fn what_a_lost_heap_has_kept_goes_back() {
        let heap = HeapRef::create(os::thread_pointer()).unwrap();
        let (at, _) = heap.take_large(100_000).unwrap();
        // SAFETY: taken above, and given back once.
        unsafe { give::give(at) };
        crate::mem::inherited::recover(heap);
        assert_eq!(heap.idle.take(), None);
        crate::mem::segment::for_each_span_locked(&mut |span| {
            assert!(HeapRef::of_span(span) != heap);
        });
        // SAFETY: no span belongs to it.
        unsafe { heap.destroy() };
    }
}
