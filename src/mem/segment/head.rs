//! The head of a segment: what is known of it.

use core::cell::Cell;
use core::mem::offset_of;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU32};

use crate::mem::geometry::{self, DESCRIPTOR, SEGMENT, SLICE};
use crate::mem::span::{Span, SpanOffsets, SpanRef};
use crate::offsets::offsets;

/// What stands at the head of a segment, in the place of the first slice's descriptor. Where a descriptor has its tag,
/// its way back and its state it has zeros, always: no pointer into slice 0 passes a check.
#[repr(C, align(64))]
pub(super) struct Segment {
    no_tag: AtomicU32,
    no_back: u8,
    no_state: AtomicU8,
    /// It is made of huge pages.
    pub(super) huge_pages: Cell<bool>,
    /// A block's own mapping: there is more of it dirty than the block has, and it is in the list of such.
    pub(super) has_tail: Cell<bool>,
    /// Bytes mapped.
    pub(super) len: Cell<usize>,
    /// Slices that belong to a span, and slice 0.
    pub(super) used: Cell<u64>,
    /// Slices that may hold something else than zeros; of a block's own mapping, how many may.
    pub(super) dirty: Cell<u64>,
    /// All segments.
    pub(super) next: Cell<Option<SegmentRef>>,
    pub(super) prev: Cell<Option<SegmentRef>>,
    /// Segments with a free slice and one in use; or those with none in use; or blocks' own mappings with a tail.
    pub(super) next_open: Cell<Option<SegmentRef>>,
    pub(super) prev_open: Cell<Option<SegmentRef>>,
}

const _: () = assert!(size_of::<Segment>() == DESCRIPTOR);
const _: () = {
    let span = SpanOffsets::HERE;
    assert!(span.tag.offset as usize == offset_of!(Segment, no_tag));
    assert!(span.back.offset as usize == offset_of!(Segment, no_back));
    assert!(span.state.offset as usize == offset_of!(Segment, no_state));
};

offsets! {
    /// Where the fields of a segment's head lie that say how much of it is mapped and in use.
    SegmentOffsets of Segment { len, used }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentRef(pub(super) NonNull<Segment>);

impl Deref for SegmentRef {
    type Target = Segment;

    fn deref(&self) -> &Segment {
        // SAFETY: made only from mapped segments, and used under the lock, which unmapping takes, or while a span is in use.
        unsafe { self.0.as_ref() }
    }
}

impl SegmentRef {
    pub(super) fn of(span: SpanRef) -> SegmentRef {
        let base = geometry::segment_base(span.as_non_null().addr().get()) as *mut Segment;
        // SAFETY: a descriptor lies in a mapped segment, which starts at a multiple of its size.
        SegmentRef(unsafe { NonNull::new_unchecked(base) })
    }

    pub(super) fn base(self) -> usize {
        self.0.addr().get()
    }

    pub(super) fn bytes(self) -> NonNull<u8> {
        self.0.cast()
    }

    pub(super) fn slice(self, index: usize) -> NonNull<u8> {
        // SAFETY: slices lie within the segment.
        unsafe { self.bytes().add(index * SLICE) }
    }

    pub(super) fn descriptor(self, slice: usize) -> SpanRef {
        // SAFETY: descriptors 1..64 lie behind the head, zeroed when the segment was mapped, which
        // is a valid descriptor.
        unsafe { SpanRef::from_descriptor(self.0.cast::<Span>().add(slice)) }
    }

    pub(super) fn is_shared(self) -> bool {
        self.len.get() == SEGMENT
    }
}
