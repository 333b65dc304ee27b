//! The span descriptor: what the allocator knows of a run of slices.
//!
//! Descriptors lie outside the spans, side by side at the head of their segment, so that looking
//! one up touches no payload and neighbours share pages. Every slice of a span carries a copy of
//! what a pointer check needs (tag, heap, distance to the first slice); all else is kept in the
//! first slice's descriptor, the *head*, and what has to do with other spans or threads in its [`ties`](super::ties).
//!
//! Invariants of a head: `used` counts the slots handed out and not yet collected, whoever freed
//! them, but in a current span, where nobody counts what is handed out: `used` is too small there, by any number, until the span is
//! current no more; and in a full one, where it is 1, so that the first slot that comes back is told, as the last one in use
//! is; a span whose slots have all been collected is the only one that may be released; slots
//! from `carved` on have never been handed out since the span was made.
//!
//! Only the owner of the span's heap writes to a `Cell`; other threads read the atomic fields, and, while they have a slot of
//! the span, those that do not change as long as one is out (`back`, `slot_size`, `reciprocal`, `room`).

use core::cell::Cell;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{
    AtomicPtr, AtomicU8, AtomicU32,
    Ordering::{Relaxed, Release},
    compiler_fence,
};

use super::geometry::{self, DESCRIPTOR, SLICE, USABLE_SLICES};
use super::heap::Heap;
use super::os::{self, PAGE};
use super::remote::Slot;
use super::size::LINE;
use super::{heads, size};
use crate::offsets::offsets;
use crate::process;

pub use crate::process::NO_TAG;

/// How many slots ahead a walk over many of them fetches.
const AHEAD: usize = 3;

/// In how many places of their first page blocks begin.
const COLOURS: usize = PAGE / LINE;
/// In fewer places, blocks of other pages meet too often.
const FEW_COLOURS: usize = COLOURS / 4;

/// Where a span of slots stands with its heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// The heap takes slots of this class from it, and there is one at least.
    Current,
    /// It waits in its class's list with slots to give.
    Partial,
    /// It has no slot left, but for what other threads have handed back, and is in no list.
    Full,
    /// It is no heap's, but the slab of a pool: see [`slab`](super::slab).
    Slab,
    /// It is one block without a chunk: see [`slab`](super::slab).
    Bare,
    /// It is one block, not slots.
    Single,
}

/// The descriptor of a slice, and of the span that starts there: a line of the cache. See the module.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Span {
    /// [`NO_TAG`] in a slice of no span, and so in descriptors of zeros.
    tag: AtomicU32,
    back: Cell<u8>,
    state: AtomicU8,
    class: Cell<u8>,
    zeroed: Cell<bool>,
    heap: AtomicPtr<Heap>,
    /// The heap, while slots that its owner gives back need no more than to be put on the free list, but where `used` becomes
    /// 0; none under options that change what a free does.
    taker: AtomicPtr<Heap>,
    pub(super) free: Cell<Option<NonNull<Slot>>>,
    pub(super) used: Cell<u32>,
    pub(super) carved: Cell<u32>,
    slot_size: Cell<u32>,
    /// 0 of what is no slots.
    reciprocal: Cell<u32>,
    /// Bytes that one user of it gets.
    room: Cell<usize>,
    /// How many it has.
    slices: AtomicU32,
    /// Bytes between its start and the block, if it is one.
    inset: Cell<u32>,
}

const _: () = assert!(size_of::<Span>() == DESCRIPTOR);

offsets! {
    /// Where the fields of a span descriptor lie that say what is in the span.
    SpanOffsets of Span { tag, back, state, class, carved, slot_size, slices, inset, heap }
}

/// What stands for a span where there is none.
struct Stub<T>(T);

// SAFETY: nobody writes to one: the span is never in a list and never has a slot to take back.
unsafe impl<T> Sync for Stub<T> {}

const fn stub() -> Stub<Span> {
    static SLOT: Stub<Slot> = Stub(Slot { stamp: 0, next: Cell::new(None) });
    let mut span = Span::unused();
    span.free = Cell::new(Some(NonNull::from_ref(&SLOT.0)));
    Stub(span)
}

/// A span descriptor in a mapped segment. Copies are handles; the segment outlives them because a
/// span is released only when nobody holds a slot of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanRef(NonNull<Span>);

impl Deref for SpanRef {
    type Target = Span;

    #[inline(always)]
    fn deref(&self) -> &Span {
        // SAFETY: a SpanRef is made only for descriptors in mapped segments, and for stubs, which are
        // static; all fields are cells or atomics.
        unsafe { self.0.as_ref() }
    }
}

impl SpanRef {
    /// The span that stands for "none", in a class that had none yet. It has one free slot, as every current span has one at
    /// least, but nobody takes the last one without a look at what the span is. It is never written to.
    pub(super) const fn none() -> SpanRef {
        static NONE: Stub<Span> = stub();
        SpanRef(NonNull::from_ref(&NONE.0))
    }

    /// The same in a class whose last span has been used up.
    pub(super) const fn spent() -> SpanRef {
        static SPENT: Stub<Span> = stub();
        SpanRef(NonNull::from_ref(&SPENT.0))
    }

    /// Whether it is a span, and does not stand for none.
    pub(super) fn exists(self) -> bool {
        self != SpanRef::none() && self != SpanRef::spent()
    }

    /// The descriptor of the slice that `address` lies in: enough to check a pointer by.
    ///
    /// # Safety
    /// `address` lies in a mapped segment.
    #[inline(always)]
    pub unsafe fn slice_of(address: usize) -> SpanRef {
        let at = geometry::descriptor_address(address) as *mut Span;
        // SAFETY: descriptors of a mapped segment are mapped, and address 0 is in no segment.
        SpanRef(unsafe { NonNull::new_unchecked(at) })
    }

    /// The head of the span that `address` lies in, if it is a multiple of 16, and that goes the short way. `None` says
    /// nothing. Any number can be asked about.
    #[inline(always)]
    pub fn known_at(address: usize) -> Option<SpanRef> {
        heads::head_at(address).map(SpanRef)
    }

    /// The head of the span that `address` lies in.
    ///
    /// # Safety
    /// `address` lies in a span in use.
    #[inline(always)]
    pub unsafe fn of(address: usize) -> SpanRef {
        // SAFETY: the caller's.
        unsafe { SpanRef::slice_of(address) }.head()
    }

    /// The span with the descriptor at `at`.
    ///
    /// # Safety
    /// That lies in a mapped segment.
    pub(super) unsafe fn from_descriptor(at: NonNull<Span>) -> SpanRef {
        SpanRef(at)
    }

    pub(super) fn as_non_null(self) -> NonNull<Span> {
        self.0
    }

    #[inline(always)]
    fn head(self) -> SpanRef {
        // SAFETY: `back` slices before this one, in the same segment, lies the head.
        SpanRef(unsafe { self.0.sub(self.back.get() as usize) })
    }

    /// Whether this is the descriptor of a span in use, not that of a later slice of one.
    pub(super) fn is_head(self) -> bool {
        self.tag() != NO_TAG && self.back.get() == 0
    }

    /// The address of the first byte.
    #[inline]
    pub fn start(self) -> usize {
        geometry::slice_address(self.0.addr().get())
    }

    /// The address of the first slot, or of the block.
    #[inline]
    pub(super) fn block_start(self) -> usize {
        self.start() + self.inset()
    }

    /// Whether it is one block.
    #[inline(always)]
    pub fn is_single(self) -> bool {
        self.state() == State::Single
    }

    /// The start of the slot of this span that `address` lies in, or of the span, if that is a block.
    #[inline(always)]
    pub fn slot_around(self, address: usize) -> usize {
        let start = self.start();
        // Of a block, the reciprocal is 0.
        start + geometry::slot_index(address - start, self.reciprocal.get()) * self.slot_size.get() as usize
    }

    /// The starts of the slots that have been handed out at some time; of the block, if it is one. What is no
    /// heap's has none.
    pub fn slots(self) -> impl Iterator<Item = usize> {
        let (start, bytes) = (self.block_start(), self.stride());
        let n = match self.state() {
            State::Slab | State::Bare => 0,
            State::Single => 1,
            State::Current | State::Partial | State::Full => self.carved.get() as usize,
        };
        (0..n).map(move |i| start + i * bytes)
    }

    /// Makes this the head of a span of `slices` slices, used as slots of `class`.
    pub(super) fn become_slots(
        self,
        heap: NonNull<Heap>,
        tag: u32,
        class: usize,
        slices: usize,
        zeroed: bool,
    ) {
        let slot = size::stride(class);
        self.become_span(heap, tag, slices, zeroed);
        self.class.set(class as u8);
        self.slot_size.set(slot as u32);
        self.reciprocal.set(geometry::reciprocal(slot));
        self.room.set(size::slot_size(class));
        self.carved.set(0);
        self.used.set(0);
        self.set_state(State::Full);
    }

    /// Makes this the head of a span that is one block of `slices` slices.
    pub(super) fn become_single(self, heap: NonNull<Heap>, tag: u32, slices: usize, zeroed: bool) {
        self.become_span(heap, tag, slices, zeroed);
        self.reciprocal.set(0);
        self.set_state(State::Single);
    }

    /// Makes this, one block, a span with nothing in it, not even slots. From now on no pointer into it passes a check.
    pub(super) fn empty(self, tag: u32) {
        self.carved.set(0);
        self.used.set(0);
        self.zeroed.set(false);
        self.retag(tag);
        // In this order: see `inherited`.
        compiler_fence(Release);
        self.set_state(State::Full);
    }

    /// Gives this, one block, another tag. From now on no pointer into it passes a check that led to something tagged with the
    /// one before.
    pub(super) fn retag(self, tag: u32) {
        for i in 0..geometry::slices_for(self.len()).min(USABLE_SLICES) {
            // SAFETY: as in `mark`.
            unsafe { self.0.add(i).as_ref() }.tag.store(tag, Relaxed);
        }
    }

    /// Makes this, which was [emptied](SpanRef::empty), one block again.
    pub(super) fn refill(self) {
        self.inset.set(0);
        self.room.set(self.len());
        self.set_state(State::Single);
    }

    /// Makes this the head of a span that is one block of `slices` slices with a mapping of its own.
    pub(super) fn become_alone(self, heap: NonNull<Heap>, tag: u32, slices: usize, zeroed: bool) {
        self.reset(zeroed);
        self.set_slices(slices);
        self.reciprocal.set(0);
        self.set_state(State::Single);
        self.cover_alone(heap, tag);
    }

    /// Makes this the head of a slab, of which somebody keeps `record`. Each of its slices says so.
    pub(super) fn become_slab(self, record: NonNull<()>, tag: u32, slices: usize) {
        self.become_span(record.cast(), tag, slices, false);
        self.reciprocal.set(0);
        self.set_all_states(State::Slab);
    }

    /// From now on no slice says that it belongs to a slab.
    pub(super) fn end_slab(self) {
        self.set_all_states(State::Full);
    }

    /// It is no heap's: nobody takes slots back.
    fn set_all_states(self, state: State) {
        for i in 0..geometry::slices_for(self.len()) {
            // SAFETY: as in `mark`.
            let slice = unsafe { self.0.add(i).as_ref() };
            slice.state.store(state as u8, Relaxed);
            slice.taker.store(core::ptr::null_mut(), Relaxed);
        }
    }

    /// The last slot of this span has been taken. It is in no list.
    pub(super) fn become_full(self) {
        self.used.set(1);
        self.set_state(State::Full);
    }

    fn become_span(self, heap: NonNull<Heap>, tag: u32, slices: usize, zeroed: bool) {
        self.reset(zeroed);
        self.set_slices(slices);
        self.cover(heap, tag, 0, slices);
    }

    fn reset(self, zeroed: bool) {
        self.inset.set(0);
        self.free.set(None);
        self.zeroed.set(zeroed);
    }

    /// Marks the slices `from..to` of this span as belonging to it.
    pub(super) fn cover(self, heap: NonNull<Heap>, tag: u32, from: usize, to: usize) {
        for i in from..to {
            self.mark(heap, tag, i);
            heads::set(self.start() + i * SLICE, self.0);
        }
    }

    /// Marks the slices of this span, one block with a mapping of its own, as belonging to it. Chunks begin in the first
    /// one alone, so that no other needs an entry among the heads.
    pub(super) fn cover_alone(self, heap: NonNull<Heap>, tag: u32) {
        for i in 0..USABLE_SLICES {
            self.mark(heap, tag, i);
        }
        heads::set(self.start(), self.0);
    }

    fn mark(self, heap: NonNull<Heap>, tag: u32, index: usize) {
        // SAFETY: the span's slices lie in one segment, whose descriptors are side by side.
        let slice = unsafe { self.0.add(index).as_ref() };
        slice.tag.store(tag, Relaxed);
        slice.heap.store(heap.as_ptr(), Relaxed);
        slice.back.set(index as u8);
    }

    /// Takes the tags from the slices `from..to`: from now on no pointer into them passes a check.
    pub(super) fn uncover(self, from: usize, to: usize) {
        for i in from..to {
            heads::clear(self.start() + i * SLICE);
            // SAFETY: as in `mark`.
            unsafe { self.0.add(i).as_ref() }.tag.store(NO_TAG, Relaxed);
        }
    }

    /// How many slots have been [carved](super::carve).
    pub(super) fn carved(self) -> u32 {
        self.carved.get()
    }

    /// How many slots it has room for.
    pub(super) fn capacity(self) -> u32 {
        geometry::slot_index(self.len(), self.reciprocal.get()) as u32
    }

    /// Whether there are slots that were never used.
    pub(super) fn can_be_carved(self) -> bool {
        self.carved() < self.capacity()
    }
}

impl Span {
    const fn unused() -> Span {
        Span {
            tag: AtomicU32::new(NO_TAG),
            back: Cell::new(0),
            state: AtomicU8::new(State::Full as u8),
            class: Cell::new(0),
            zeroed: Cell::new(false),
            heap: AtomicPtr::new(core::ptr::null_mut()),
            taker: AtomicPtr::new(core::ptr::null_mut()),
            free: Cell::new(None),
            used: Cell::new(0),
            carved: Cell::new(0),
            slot_size: Cell::new(48),
            reciprocal: Cell::new(0),
            room: Cell::new(0),
            slices: AtomicU32::new(0),
            inset: Cell::new(0),
        }
    }

    /// The number that is mixed into what the span's slots hold, renewed when the span is made anew.
    /// Its low byte is 0; a slice in no span has [`NO_TAG`].
    #[inline(always)]
    pub fn tag(&self) -> u32 {
        self.tag.load(Relaxed)
    }

    /// The heap it belongs to.
    #[inline(always)]
    pub fn heap(&self) -> NonNull<Heap> {
        // SAFETY: set when the span was made, from a non-null pointer; heaps are never unmapped.
        unsafe { NonNull::new_unchecked(self.heap.load(Relaxed)) }
    }

    /// Where it stands.
    #[inline(always)]
    pub fn state(&self) -> State {
        match self.state.load(Relaxed) {
            0 => State::Current,
            1 => State::Partial,
            2 => State::Full,
            3 => State::Slab,
            4 => State::Bare,
            _ => State::Single,
        }
    }

    pub(super) fn set_state(&self, state: State) {
        self.state.store(state as u8, Relaxed);
        let taker = match state {
            State::Current | State::Partial | State::Full if process::mode() == 0 => self.heap.load(Relaxed),
            _ => core::ptr::null_mut(),
        };
        self.taker.store(taker, Relaxed);
    }

    /// The heap it belongs to, if it is a span of slots, and no option changes what a free does; else null.
    #[inline(always)]
    pub(super) fn taker(&self) -> *mut Heap {
        self.taker.load(Relaxed)
    }

    /// Its size class, when it is a span of slots.
    #[inline]
    pub fn class(&self) -> usize {
        self.class.get() as usize
    }

    /// Asks for the memory of a slot some places before the one at `at`: who walks from the newest slot to the
    /// oldest will want it soon.
    #[inline(always)]
    pub fn prefetch_before(&self, at: NonNull<u8>) {
        os::prefetch(at.as_ptr().wrapping_sub(AHEAD * self.slot_size.get() as usize));
    }

    /// Bytes that one user of it gets: of a slot, or of the block.
    #[inline]
    pub fn room(&self) -> usize {
        self.room.get()
    }

    /// Bytes from one slot to the next.
    #[inline]
    pub(super) fn stride(&self) -> usize {
        self.slot_size.get() as usize
    }

    /// Whether its memory came zeroed from the system and no slot of it has been used twice.
    pub fn zeroed(&self) -> bool {
        self.zeroed.get()
    }

    /// Bytes of the whole span.
    #[inline]
    pub fn len(&self) -> usize {
        self.slices.load(Relaxed) as usize * SLICE
    }

    /// Bytes between its start and the block that it is.
    pub(super) fn inset(&self) -> usize {
        self.inset.get() as usize
    }

    /// Sets the block, which needs `bytes`, in by so many lines of its first page, as far as there is room: `colour` is
    /// another for each of those that are in use together. Where its last page has room for many colours, they make do
    /// with that, so that the block takes no page more.
    pub(super) fn set_in(&self, bytes: usize, colour: usize) {
        let rest = (bytes.next_multiple_of(PAGE) - bytes) / LINE;
        // Powers of two: to divide by anything else takes as long as all the rest.
        let colours = if rest < FEW_COLOURS { COLOURS } else { 1 << (rest + 1).ilog2() };
        let spare = (self.len() - bytes) / LINE;
        self.inset.set((spare.min(colour & (colours - 1)) * LINE) as u32);
        self.room.set(self.len() - self.inset());
    }

    /// The block that it is reaches to the end of so many slices.
    pub(super) fn set_slices(&self, slices: usize) {
        self.slices
            .store(u32::try_from(slices).expect("a span lies in an address space of 48 bits"), Relaxed);
        self.room.set(self.len() - self.inset());
    }

    /// Whether it has no bytes: true of no span in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
