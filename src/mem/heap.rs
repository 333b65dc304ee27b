//! A thread's heap: its spans, one list for each size class.
//!
//! A heap has at most one owner, a thread, named by its thread pointer; only the owner touches its
//! cells. How slots come back is told in `give`. Spans never change their heap; when a thread ends, its heap waits for the
//! next thread (see `threads`). Heaps are unmapped only when the library is unloaded with nothing in it.
//!
//! Slots are taken from one span of a class until it has none left, so that what is allocated
//! together lies together, however it was freed; spans wait for reuse first in, first out. Who takes the last slot of a
//! span makes another one current, or none: so a current span always has a slot at hand, and whether it is the last is
//! all that the short way asks.

use core::cell::Cell;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{
    AtomicPtr, AtomicU32,
    Ordering::{Relaxed, Release},
    compiler_fence,
};

use super::borrowed::Borrowed;
use super::generations::{Generations, Uses};
use super::geometry;
use super::give::{collected, collected_unowned};
use super::idle::{self, Idle, Kept};
use super::inherited;
use super::lone::Lone;
use super::os;
use super::owner::Owner;
use super::remote::{Mailbox, Slot};
use super::segment;
use super::shared::{self, Gate};
use super::size::CLASSES;
use super::span::{SpanRef, State};
use super::ties::Ties;

/// The spans of one size class that wait with free slots.
#[derive(Debug)]
struct Waiting {
    first: Cell<Option<SpanRef>>,
    last: Cell<Option<SpanRef>>,
}

/// See the module. What an allocation looks at comes first, in as few lines of the cache as that takes; what other threads
/// write to comes last.
#[repr(C)]
#[derive(Debug)]
pub struct Heap {
    pub(super) owner: Owner,
    /// How many spans of slots it has: the owner's to change, anybody's to read.
    spans: AtomicU32,
    uses: Uses,
    /// The spans that slots are taken from, one for each size class.
    current: [Cell<SpanRef>; CLASSES],
    waiting: [Waiting; CLASSES],
    borrowed: Borrowed,
    /// The spans that it keeps with nothing in them.
    pub(super) idle: Idle,
    pub(super) lone: Lone,
    generations: Generations,
    /// What the layer above hangs on the thread that owns this heap.
    annex: Cell<Option<NonNull<()>>>,
    /// How often its thread has left shared heaps and not come back yet: see `shared`.
    pub(super) pauses: Cell<u32>,
    /// The next heap of the process.
    pub(super) next: AtomicPtr<Heap>,
    /// What a shared heap has more: see `shared`.
    pub(super) gate: Gate,
    pub(super) mailbox: Mailbox<Ties>,
}

// What a process, and each of its threads, has of it is resident.
const _: () = assert!(size_of::<Heap>() <= os::PAGE);

/// A heap with more spans than this, 12 MiB, takes huge pages: what one of them holds unused is little beside that.
const LARGE: u32 = 192;
/// So many spans lie in the caches next to a processor: 1 MiB.
const CACHED: u32 = 16;
/// The most address space that a growing block gets beyond its size: 64 MiB.
const GROWTH: usize = 64 << 20;

/// A heap. Heaps live as long as the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapRef(NonNull<Heap>);

impl Deref for HeapRef {
    type Target = Heap;

    #[inline(always)]
    fn deref(&self) -> &Heap {
        // SAFETY: heaps outlive their spans and their threads; all fields are cells, touched by the owner, or atomics.
        unsafe { self.0.as_ref() }
    }
}

impl HeapRef {
    /// A heap of its own for the thread `owner`.
    pub(super) fn create(owner: usize) -> Option<HeapRef> {
        let at: NonNull<Heap> = os::map(os::PAGE, os::PAGE)?.cast();
        let heap = Heap {
            owner: Owner::new(owner),
            gate: Gate::new(),
            next: AtomicPtr::new(core::ptr::null_mut()),
            annex: Cell::new(None),
            pauses: Cell::new(0),
            spans: AtomicU32::new(0),
            uses: Uses::new(),
            idle: Idle::new(),
            lone: Lone::new(),
            generations: Generations::new(),
            current: [const { Cell::new(SpanRef::none()) }; CLASSES],
            waiting: [const { Waiting { first: Cell::new(None), last: Cell::new(None) } }; CLASSES],
            borrowed: Borrowed::new(),
            mailbox: Mailbox::new(),
        };
        // SAFETY: mapped just now, long enough and page-aligned.
        unsafe { at.write(heap) };
        Some(HeapRef(at))
    }

    /// Unmaps the heap.
    ///
    /// # Safety
    /// Nobody has it, and no span belongs to it.
    pub(super) unsafe fn destroy(self) {
        self.gate.release();
        // SAFETY: mapped by `create` with this length; the rest is the caller's.
        unsafe { os::unmap(self.0.cast(), os::PAGE) };
    }

    /// The heap at `heap`, or `None` if that is null.
    pub(crate) fn from_raw(heap: *mut Heap) -> Option<HeapRef> {
        NonNull::new(heap).map(HeapRef)
    }

    /// Its address.
    pub(crate) fn as_ptr(self) -> *mut Heap {
        self.0.as_ptr()
    }

    pub(super) fn as_non_null(self) -> NonNull<Heap> {
        self.0
    }

    /// The heap that `span` belongs to.
    #[inline(always)]
    pub fn of_span(span: SpanRef) -> HeapRef {
        HeapRef(span.heap())
    }

    /// Whether the calling thread owns this heap.
    #[inline(always)]
    pub fn is_mine(self) -> bool {
        self.owner.is(os::thread_pointer())
    }

    /// A slot of `class`, and the tag of its span. The heap is the calling thread's.
    #[inline(always)]
    pub fn take(self, class: usize) -> Option<(NonNull<u8>, u32)> {
        match self.take_ready(class) {
            Some(slot) => Some(slot),
            None => self.take_slow(class),
        }
    }

    /// [`take`](HeapRef::take), only if there is one at hand. `None` says nothing.
    #[inline(always)]
    pub fn take_ready(self, class: usize) -> Option<(NonNull<u8>, u32)> {
        let span = self.current[class].get();
        // SAFETY: each current span has a free slot, and so has what stands for none.
        let slot = unsafe { span.free.get().unwrap_unchecked() };
        // SAFETY: as in `pop`.
        let next = unsafe { slot.as_ref() }.next.get()?;
        Some((pop(span, slot, Some(next)), span.tag()))
    }

    /// [`take`](HeapRef::take) where no other slot would be left at hand: with this one, the class gets its next ones.
    #[cold]
    #[inline(never)]
    fn take_slow(self, class: usize) -> Option<(NonNull<u8>, u32)> {
        if !self.mailbox.is_empty() {
            self.collect();
        }
        let current = self.current[class].get();
        if !current.exists() && !self.reopen(class) {
            let had_some = current == SpanRef::spent();
            let has_slots = |larger: usize| self.current[larger].get().exists();
            if !had_some && let Some(lender) = self.borrowed.lender(class, has_slots) {
                return self.take(lender);
            }
            self.open_new(class, had_some)?;
        }
        let span = self.current[class].get();
        let slot = span.free.get()?;
        // SAFETY: as in `pop`.
        let next = unsafe { slot.as_ref() }.next.get();
        if next.is_some() {
            return Some((pop(span, slot, next), span.tag()));
        }
        // First: it is no current span without a slot, not even for a signal handler.
        self.current[class].set(SpanRef::spent());
        compiler_fence(Release);
        let taken = (pop(span, slot, None), span.tag());
        if span.can_be_carved() && span.carve() {
            self.current[class].set(span);
        } else {
            span.become_full();
            // If none waits, a new one comes when it is needed.
            self.reopen(class);
        }
        Some(taken)
    }

    /// Makes a span that waits with free slots the current one of its class, for which there is none, if one waits.
    #[inline]
    fn reopen(self, class: usize) -> bool {
        let Some(span) = self.waiting[class].pop_first() else { return false };
        if span.used.get() == 0 {
            self.idle.take_out(span);
        }
        if span.free.get().is_none() {
            span.carve();
        }
        span.set_state(State::Current);
        self.current[class].set(span);
        true
    }

    /// Makes a new span the current one of its class, for which there is none; `had_some` says that one was used up.
    #[inline(never)]
    fn open_new(self, class: usize, had_some: bool) -> Option<()> {
        // Of the first span of a class, no more may ever be used than a few slots.
        let huge_pages = had_some && self.spans.load(Relaxed) >= LARGE;
        let span = segment::slots(self, class, huge_pages)?;
        self.count_spans(1);
        if had_some {
            span.carve();
        } else {
            span.carve_coloured();
        }
        span.set_state(State::Current);
        self.current[class].set(span);
        Some(())
    }

    /// A block of at least `bytes` with a span of its own, at whose start it begins, and the tag of the span. The heap is
    /// the calling thread's.
    #[cold]
    pub fn take_single(self, bytes: usize) -> Option<(NonNull<u8>, u32)> {
        let span = self.take_block(bytes)?;
        Some((NonNull::new(span.start() as *mut u8)?, span.tag()))
    }

    /// [`take_single`](HeapRef::take_single) for a block of at most a slice, which is to be given back by
    /// [`give_lone`](super::give::give_lone). `None` also where there are enough of them.
    #[inline]
    pub fn take_lone(self, bytes: usize) -> Option<(NonNull<u8>, u32)> {
        if !self.lone.has_room() || shared::is_reserved(self) {
            return None;
        }
        let span = self.take_block(bytes)?;
        self.lone.take();
        Some((NonNull::new(span.start() as *mut u8)?, span.tag()))
    }

    /// [`take_single`](HeapRef::take_single) for a block that is set in from the start of its span.
    #[cold]
    pub fn take_large(self, bytes: usize) -> Option<(NonNull<u8>, u32)> {
        let span = self.take_block(bytes)?;
        segment::colour(span, bytes);
        Some((NonNull::new(span.block_start() as *mut u8)?, span.tag()))
    }

    /// [`take_large`](HeapRef::take_large) for a block that grows: with address space behind it.
    #[cold]
    pub fn take_growing(self, bytes: usize) -> Option<(NonNull<u8>, u32)> {
        let span = segment::own(self.0, bytes, bytes.saturating_mul(64).min(bytes + GROWTH))?;
        Some((NonNull::new(span.start() as *mut u8)?, span.tag()))
    }

    /// [`take_growing`](HeapRef::take_growing) for a block of at most a slice, if it may be a guest in what a larger block has
    /// left.
    #[cold]
    pub fn take_as_guest(self, bytes: usize) -> Option<(NonNull<u8>, u32)> {
        let span = segment::own_for_guest(self.0, bytes)?;
        Some((NonNull::new(span.start() as *mut u8)?, span.tag()))
    }

    /// A span that is one block of at least `bytes`.
    #[inline(always)]
    fn take_block(self, bytes: usize) -> Option<SpanRef> {
        let slices = geometry::slices_for(bytes);
        if idle::is_kept(slices)
            && let Some(span) = self.idle.take_block(slices)
        {
            span.refill();
            return Some(span);
        }
        segment::single(self, bytes)
    }

    /// Takes back what other threads have freed. The heap is the calling thread's.
    pub(super) fn collect(self) {
        self.mailbox.empty(&mut collected);
    }

    /// The calling thread leaves its heap, and takes back what comes in while it does.
    pub(super) fn leave(self) {
        self.release_idle();
        self.owner.leave();
        self.mailbox.empty_unowned(&self.owner, os::thread_pointer(), &mut collected_unowned);
    }

    /// Gives back the spans that are kept with nothing in them.
    pub(super) fn release_idle(self) {
        while let Some(kept) = self.idle.take() {
            self.release_kept(kept);
        }
    }

    /// Gives back the spans that hold nothing.
    pub(super) fn retire_empty_spans(self) {
        for current in &self.current {
            let span = current.get();
            if span.exists() && span.count_free() == span.carved() {
                current.set(SpanRef::none());
                self.release(span);
            }
        }
        self.release_idle();
    }

    /// Nothing is taken from it for now: spans that hold nothing go back, and the others when their last slot does.
    pub(super) fn lay_down(self) {
        self.retire_empty_spans();
        for current in &self.current {
            let span = current.replace(SpanRef::none());
            if span.exists() {
                span.used.set(span.carved() - span.count_free());
                self.lay_up_or_fill(span);
            }
        }
    }

    /// Makes the calling thread the owner of a heap that a fork has left behind, if it can be made whole.
    #[cold]
    pub(super) fn adopt_lost(self) -> bool {
        inherited::IN_ORDER && self.owner.adopt_lost(os::thread_pointer()) && {
            inherited::recover(self);
            true
        }
    }

    /// Nothing is in the mailbox any more. The process has one thread.
    pub(super) fn clear_mailbox(self) {
        self.mailbox.clear();
    }

    /// Puts a span into the mailbox.
    pub(super) fn post(self, span: SpanRef) {
        self.mailbox.post(span.mail());
    }

    /// The heap has no span, until it takes them up one by one.
    pub(super) fn forget_spans(self) {
        self.annex.set(None);
        self.pauses.set(0);
        self.spans.store(0, Relaxed);
        self.idle.forget();
        for (current, waiting) in self.current.iter().zip(&self.waiting) {
            current.set(SpanRef::none());
            waiting.first.set(None);
            waiting.last.set(None);
        }
    }

    /// Takes up a span of its own of which a slot is in use.
    pub(super) fn take_up(self, span: SpanRef) {
        self.count_spans(1);
        self.lay_up_or_fill(span);
    }

    /// `span`, of which slots are in use, waits for use; or it is full.
    fn lay_up_or_fill(self, span: SpanRef) {
        if span.free.get().is_some() || span.can_be_carved() {
            self.lay_up(span);
        } else {
            span.become_full();
        }
    }

    /// `span`, which was full, waits for use.
    pub(super) fn lay_up(self, span: SpanRef) {
        self.waiting[span.class()].push_last(span);
        span.set_state(State::Partial);
    }

    /// The owner has so many spans more.
    fn count_spans(self, more: i32) {
        self.spans.store(self.spans.load(Relaxed).wrapping_add_signed(more), Relaxed);
    }

    /// Whether it has more spans than the nearer caches of a processor hold, most likely.
    #[inline(always)]
    pub fn outgrows_caches(self) -> bool {
        self.spans.load(Relaxed) > CACHED
    }

    /// Gives a span of slots back that holds nothing.
    fn release(self, span: SpanRef) {
        self.count_spans(-1);
        segment::release_from(self, span);
    }

    /// The same of one that waits in its list.
    fn release_partial(self, span: SpanRef) {
        self.waiting[span.class()].remove(span);
        self.release(span);
    }

    /// The last slot of a span in its list has been given back.
    pub(super) fn rest(self, span: SpanRef) {
        if shared::is_reserved(self) || !self.idle.keep(span) {
            return self.release_partial(span);
        }
        self.release_excess();
    }

    /// The block that `span` is has been given back to this heap, the calling thread's.
    pub(super) fn rest_block(self, span: SpanRef) {
        let slices = geometry::slices_for(span.len());
        let may_be_kept = idle::is_kept(slices) && !shared::is_reserved(self) && !segment::is_own(span);
        if may_be_kept && self.idle.keep_block(span, slices) {
            span.empty(self.generations.new_tag());
            self.release_excess();
        } else {
            segment::release_from(self, span);
        }
    }

    /// Gives back what is kept too much.
    fn release_excess(self) {
        while let Some(kept) = self.idle.excess() {
            self.release_kept(kept);
        }
    }

    /// Gives back what was kept.
    fn release_kept(self, kept: Kept) {
        match kept {
            Kept::Slots(span) => self.release_partial(span),
            Kept::Block(span, _) => segment::release_from(self, span),
        }
    }
}

impl Heap {
    /// Gives `span`, one block that is the caller's, whoever's heap it belongs to, another tag. This heap is the calling thread's.
    pub fn renew_tag(&self, span: SpanRef) {
        span.retag(self.generations.new_tag());
    }

    /// A word for the layer above, the owner's alone.
    pub fn annex(&self) -> &Cell<Option<NonNull<()>>> {
        &self.annex
    }

    /// A tag for what lies in a slot, or in one that is used anew. It is no span's.
    pub fn new_tag(&self) -> u32 {
        self.uses.new_tag()
    }
}

/// Takes the first slot of a span's free list, which is free memory, off it; `next` comes after it.
#[inline(always)]
fn pop(span: SpanRef, slot: NonNull<Slot>, next: Option<NonNull<Slot>>) -> NonNull<u8> {
    span.free.set(next);
    // Before anything is written to the slot: see `inherited`.
    compiler_fence(Release);
    if let Some(next) = next {
        os::prefetch(next.as_ptr());
    }
    slot.cast()
}

impl Waiting {
    fn push_last(&self, span: SpanRef) {
        span.ties().next.set(None);
        span.ties().prev.set(self.last.get());
        match self.last.get() {
            Some(last) => last.ties().next.set(Some(span)),
            None => self.first.set(Some(span)),
        }
        self.last.set(Some(span));
    }

    #[inline]
    fn pop_first(&self) -> Option<SpanRef> {
        let span = self.first.get()?;
        let next = span.ties().next.get();
        self.first.set(next);
        match next {
            Some(next) => next.ties().prev.set(None),
            None => self.last.set(None),
        }
        Some(span)
    }

    fn remove(&self, span: SpanRef) {
        match span.ties().prev.get() {
            Some(prev) => prev.ties().next.set(span.ties().next.get()),
            None => self.first.set(span.ties().next.get()),
        }
        match span.ties().next.get() {
            Some(next) => next.ties().prev.set(span.ties().prev.get()),
            None => self.last.set(span.ties().prev.get()),
        }
    }
}

/// Whether the slot or block at `at` has held nothing but zeros since it came from the system.
///
/// # Safety
/// `at` was taken just now, and nothing has been written to it.
pub unsafe fn is_zeroed(at: NonNull<u8>) -> bool {
    // SAFETY: the caller's.
    let span = unsafe { SpanRef::of(at.addr().get()) };
    span.state() == State::Single && span.zeroed()
}

/// Bytes that the slot or block at `at` has.
///
/// # Safety
/// `at` is the start of a slot or block in use.
pub unsafe fn bytes_of(at: NonNull<u8>) -> usize {
    // SAFETY: the caller's.
    unsafe { SpanRef::of(at.addr().get()) }.room()
}

/// Whether the slot or block at `at` has a mapping of its own.
///
/// # Safety
/// `at` is the start of a slot or block in use.
pub unsafe fn is_alone(at: NonNull<u8>) -> bool {
    // SAFETY: the caller's.
    let span = unsafe { SpanRef::of(at.addr().get()) };
    span.state() == State::Single && segment::is_own(span)
}

/// Makes the slot or block at `at` at least `bytes` long where it stands, or gives back what it has
/// beyond that. Says whether it is long enough now.
///
/// # Safety
/// `at` is the start of a slot or block in use, and bytes past `bytes` are no longer needed.
pub unsafe fn resize(at: NonNull<u8>, bytes: usize) -> bool {
    // SAFETY: the caller's.
    let span = unsafe { SpanRef::of(at.addr().get()) };
    match span.state() {
        State::Single => segment::resize(span, span.inset() + bytes),
        _ => bytes <= span.room(),
    }
}

/// Moves the block at `at` to where it can have `bytes` bytes, if that costs no copy. The old
/// address is gone then.
///
/// # Safety
/// As for [`resize`]; nothing but the caller leads to the old address.
pub unsafe fn move_block(at: NonNull<u8>, bytes: usize) -> Option<NonNull<u8>> {
    // SAFETY: the caller's.
    let span = unsafe { SpanRef::of(at.addr().get()) };
    if span.state() != State::Single {
        return None;
    }
    NonNull::new(segment::move_own(span, span.inset() + bytes)?.block_start() as *mut u8)
}
