//! The chunk: a header of 48 bytes with its payload behind it.
//!
//! ```text
//! offset  0        4        8        16       24       32       40       48
//!         ├ tag ───┼ size ──┼ parent ┼ next ──┼ prev ──┼ child ─┼ name ──┤ payload …
//! ```
//! - `tag`: 24 bits that say that this is a live chunk, and 8 flags. The 24 bits come from the span
//!   that the chunk lies in (or the block of its pool), and are renewed when that memory is used
//!   anew; so pointers to chunks that were freed all at once are still recognised.
//! - `size`: bytes of the payload, as the caller asked, in 28 bits, and [`NOMINAL`].
//! - `parent`, `next`, `prev`, `child`: the tree. Each child knows its parent; `child` is the newest; in a chunk without
//!   children it holds hints for who walks its siblings (`newest`), and is odd.
//! - `name`: the name, or, with [`SIDE`], the side record that holds it and all that few chunks have (see `name`).
//!
//! A freed header keeps the mark [`TAG_FREED`] in `tag` and the location
//! of the free in `name` until its memory is used again.

use core::cell::{Cell, UnsafeCell};
use core::ffi::{c_char, c_void};
use core::ops::Deref;
use core::ptr::{self, NonNull};
use core::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

use super::domain;
use super::fresh::Fresh;
use super::name::NameWord;
use super::newest::Newest;
use super::parent::Parent;
use super::side::SideRef;
use crate::hint::seldom;
use crate::offsets::offsets;
use crate::process::TAG_FREED;

/// The chunk is a pool; its record lies right before the header.
pub const POOL: u32 = 0x01;
/// `name` leads to a side record.
pub const SIDE: u32 = 0x02;
/// It is being freed, or its children are: it may not move, and a further free of it is for later.
pub const DYING: u32 = 0x04;
/// It, or something above it, has a memory limit.
pub const LIMITED: u32 = 0x08;
/// It is a reference: a hidden child that keeps another chunk alive.
pub const REFERENCE: u32 = 0x10;
/// The root of a free in progress had it as its parent: see `ops::dying`.
pub const ANCHOR: u32 = 0x20;
/// It lies in a block of a pool.
pub const MEMBER: u32 = 0x40;
/// Threads share it: it belongs to a shared context (`domain`), or is the null context, whose list of children has a
/// lock.
pub const GUARDED: u32 = 0x80;
/// All flags.
pub const FLAGS: u32 = 0xff;

/// Beside the size: the chunk is a pool in name only. Nothing but a change of its size is different from other chunks, which
/// is refused, as it is of a pool.
pub const NOMINAL: u32 = 1 << 31;
/// The bits of the size.
pub const SIZE: u32 = (1 << 28) - 1;

/// Whether children of a chunk with these flags come from the heap, and count against no limit.
#[inline(always)]
pub(crate) const fn is_plain_parent(flags: u32) -> bool {
    flags & NO_PLAIN_PARENT == 0
}

pub(super) const NO_PLAIN_PARENT: u32 = POOL | MEMBER | LIMITED | GUARDED;

/// Bytes of the header.
pub const HEADER: usize = size_of::<Header>();

/// See the module.
#[repr(C, align(16))]
#[derive(Debug)]
pub struct Header {
    pub(super) tag: Tag,
    pub(crate) size: Cell<u32>,
    pub(crate) parent: Parent,
    pub(crate) next: Cell<Option<Chunk>>,
    pub(crate) prev: Cell<Option<Chunk>>,
    pub(crate) child: Newest,
    pub(super) name: NameWord,
}

offsets! {
    /// Where the fields of a chunk's header lie.
    HeaderOffsets of Header { tag, size, parent, next, prev, child, name }
}

const _: () = assert!(HEADER == 48);
const _: () = assert!(core::mem::offset_of!(Header, parent) == 8);
const _: () = assert!(core::mem::offset_of!(Header, name) == 40);

/// The word that says whether a chunk lives. Only who has the right to the chunk changes it; in a shared context, others
/// may look at it meanwhile, before they have the lock.
#[repr(transparent)]
#[derive(Debug)]
pub(super) struct Tag(UnsafeCell<u32>);

impl Tag {
    #[inline(always)]
    pub(super) const fn new(tag: u32) -> Tag {
        Tag(UnsafeCell::new(tag))
    }

    /// For who has the right to the chunk, or may look because nobody else has it.
    #[inline(always)]
    pub(super) fn get(&self) -> u32 {
        // SAFETY: who alone may write reads.
        unsafe { *self.0.get() }
    }

    /// For who may have no right to the chunk yet.
    #[inline(always)]
    pub(super) fn peek(&self) -> u32 {
        self.word().load(Relaxed)
    }

    /// [`Tag::peek`] for who goes by it to something that was written before.
    #[inline(always)]
    pub(super) fn see(&self) -> u32 {
        self.word().load(Acquire)
    }

    /// Whoever [sees](Tag::see) a flag sees what was written before it was set.
    #[inline(always)]
    pub(super) fn set(&self, tag: u32) {
        self.word().store(tag, Release);
    }

    #[inline(always)]
    fn word(&self) -> &AtomicU32 {
        // SAFETY: an aligned word, which lives as long as this; what reads or writes it without an atomic operation is
        // ordered with all that writes.
        unsafe { AtomicU32::from_ptr(self.0.get()) }
    }
}

/// A live chunk. Copies are handles: whoever makes one ([`Chunk::check`], or the verbs that create
/// chunks) knows that the chunk lives, and nobody keeps one across a free of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk(pub(super) NonNull<Header>);

impl Deref for Chunk {
    type Target = Header;

    #[inline(always)]
    fn deref(&self) -> &Header {
        // SAFETY: a Chunk is a handle to a live header (see the type); all fields are cells or
        // atomics.
        unsafe { self.0.as_ref() }
    }
}

impl Chunk {
    /// Writes a header with no links at `at`.
    ///
    /// # Safety
    /// `at` is memory for a header and `size` bytes behind it, which nobody else uses; `tag` is what
    /// its span or block gives its chunks.
    #[inline(always)]
    pub(super) unsafe fn create(at: NonNull<u8>, tag: u32, size: usize) -> Chunk {
        let header = at.cast::<Header>();
        // SAFETY: the caller's. `parent`, `next`, `prev` are set by the attach that follows.
        unsafe {
            header.write(Header {
                tag: Tag::new(tag),
                size: Cell::new(size as u32),
                parent: Parent::new(None),
                next: Cell::new(None),
                prev: Cell::new(None),
                child: Newest::none(),
                name: NameWord::new(ptr::null()),
            });
        }
        Chunk(header)
    }

    /// Writes the header of a new chunk at `at`, as the newest child of `parent`, whose list needs no
    /// guard. If the list may be `strewn` over more memory than the nearer caches hold, the chunk gets hints (`newest`).
    ///
    /// # Safety
    /// As for [`create`](Chunk::create).
    #[inline(always)]
    pub(super) unsafe fn create_child(
        at: NonNull<u8>,
        tag: u32,
        size: usize,
        parent: Chunk,
        name: *const c_char,
        strewn: bool,
    ) -> Chunk {
        let child = Chunk(at.cast());
        let next = child.come_before_children_of(parent);
        let hints = match next {
            Some(next) if strewn => Newest::none_before(next),
            _ => Newest::none(),
        };
        // SAFETY: the caller's.
        unsafe { Fresh { tag, size: size as u32, parent, next, hints, name }.write(child.0) };
        parent.child.set(Some(child));
        child
    }

    /// [`create_child`](Chunk::create_child) of a member of a pool.
    ///
    /// # Safety
    /// As for that.
    #[inline(always)]
    pub(super) unsafe fn create_member(
        at: NonNull<u8>,
        tag: u32,
        size: usize,
        parent: Chunk,
        name: *const c_char,
    ) -> Chunk {
        let child = Chunk(at.cast());
        let next = child.come_before_children_of(parent);
        // SAFETY: the caller's.
        unsafe {
            Fresh { tag, size: size as u32, parent, next, hints: Newest::none(), name }.write_words(child.0);
        }
        parent.child.set(Some(child));
        child
    }

    /// The first of the children of `parent`, which knows that this one, which has no header yet, comes before it.
    #[inline(always)]
    fn come_before_children_of(self, parent: Chunk) -> Option<Chunk> {
        let first = parent.child.get();
        if let Some(first) = first {
            first.prev.set(Some(self));
        }
        first
    }

    /// The chunk whose header lies at `header`.
    ///
    /// # Safety
    /// It is a live one.
    #[inline(always)]
    pub(crate) unsafe fn from_header(header: NonNull<Header>) -> Chunk {
        Chunk(header)
    }

    /// The chunk whose payload lies at `payload`.
    ///
    /// # Safety
    /// It is a live one, and the pointer may be used for its header, too.
    #[inline(always)]
    pub unsafe fn of_payload(payload: NonNull<c_void>) -> Chunk {
        // SAFETY: the caller's: the header lies right before the payload.
        Chunk(unsafe { payload.cast::<Header>().sub(1) })
    }

    /// Marks the header as freed at `location`.
    #[inline(always)]
    pub(super) fn stamp_freed(self, location: *const c_char) {
        self.tag.set(TAG_FREED);
        self.name.set(location);
    }

    /// The chunk in the slot at `start` of a span with `span_tag`, if one lives there.
    ///
    /// # Safety
    /// `start` is the start of a slot that has been handed out at some time.
    pub(super) unsafe fn at_slot(start: usize, span_tag: u32) -> Option<Chunk> {
        let header = NonNull::new(ptr::with_exposed_provenance_mut::<Header>(start))?;
        // SAFETY: the caller's.
        let tag = unsafe { header.as_ref() }.tag.get();
        ((tag ^ span_tag) & !(FLAGS & !MEMBER) == 0).then_some(Chunk(header))
    }

    /// Makes it a chunk of memory that has `tag` now.
    pub(super) fn retag(self, tag: u32) {
        self.tag.set(tag & !FLAGS | self.tag.get() & FLAGS);
    }

    /// Takes over what `from` is: links, name, side record, and the flags that do not say where it
    /// lies.
    pub(super) fn take_identity(self, from: Chunk) {
        self.parent.set(from.parent.get());
        self.next.set(from.next.get());
        self.prev.set(from.prev.get());
        self.child.set(from.child.get());
        match self.side() {
            Some(side) => side.set_name(from.name()),
            None => self.name.take_over(&from.name),
        }
        self.set_flags(from.tag.get() & FLAGS & !(MEMBER | POOL));
    }

    /// Leaves nothing to act on when this chunk, whose identity another has, is released.
    pub(super) fn give_up_identity(self) {
        self.clear_flags(FLAGS & !MEMBER);
        self.name.clear();
    }

    /// Of a chunk without children: asks for the memory of a sibling that comes after the next few.
    #[inline(always)]
    pub(super) fn fetch_sibling_ahead(self) {
        self.child.fetch_ahead(self.address());
    }

    /// The address of the header.
    #[inline(always)]
    pub fn address(self) -> NonNull<u8> {
        self.0.cast()
    }

    /// The payload.
    #[inline(always)]
    pub fn ptr(self) -> *mut c_void {
        // SAFETY: the payload starts one header behind the header.
        unsafe { self.0.add(1).as_ptr().cast() }
    }

    /// Bytes of the payload: what was asked for; 0 for a plain pool.
    #[inline(always)]
    pub fn size(self) -> usize {
        (self.size.get() & SIZE) as usize
    }

    /// Makes it a pool in name only.
    pub(crate) fn make_nominal(self) {
        self.size.set(self.size.get() | NOMINAL);
    }

    /// Whether it is a pool, be it in name only.
    #[inline(always)]
    pub(crate) fn is_called_pool(self) -> bool {
        self.has(POOL) || self.size.get() & NOMINAL != 0
    }

    /// The parent. A chunk that is being freed still shows the one it had.
    #[inline(always)]
    pub fn parent(self) -> Option<Chunk> {
        self.parent.get()
    }

    /// Whether any of `flags` is set.
    #[inline(always)]
    pub fn has(self, flags: u32) -> bool {
        self.tag.get() & flags != 0
    }

    /// [`has`](Chunk::has) of what may be the null context, which other threads give flags: of a parent, that is, and of
    /// what a walk up comes to. What was written before the flags were set is to be seen.
    #[inline(always)]
    pub(crate) fn above_has(self, flags: u32) -> bool {
        self.tag.see() & flags != 0
    }

    /// Whether `flags` are set, and no others.
    #[inline(always)]
    pub(crate) fn has_only(self, flags: u32) -> bool {
        self.tag.get() & FLAGS == flags
    }

    /// The flags, for who may have no right to it yet.
    #[inline(always)]
    pub(super) fn peek_flags(self) -> u32 {
        self.tag.peek() & FLAGS
    }

    /// The same, and from now on the calling thread sees what was written before they were set.
    #[inline(always)]
    pub(crate) fn see_flags(self) -> u32 {
        self.tag.see() & FLAGS
    }

    /// The flags.
    #[inline(always)]
    pub(crate) fn flags(self) -> u32 {
        self.tag.get() & FLAGS
    }

    /// Whether it has nothing that a free must act on: a plain chunk, or a plain member of a pool.
    #[inline(always)]
    pub(crate) fn is_simple(self) -> bool {
        self.tag.get() & FLAGS & !MEMBER == 0
    }

    /// Whether it would be simple, were it not being freed.
    #[inline(always)]
    pub(crate) fn is_simply_dying(self) -> bool {
        self.tag.get() & FLAGS & !MEMBER == DYING
    }

    #[inline(always)]
    pub(crate) fn set_flags(self, flags: u32) {
        self.tag.set(self.tag.get() | flags);
    }

    #[inline(always)]
    pub(crate) fn clear_flags(self, flags: u32) {
        self.tag.set(self.tag.get() & !flags);
    }

    /// Marks a chunk that is out of its list as on its way out, with no way back into the tree. Its own
    /// links are free: that `prev` leads to itself says so.
    #[inline(always)]
    pub(crate) fn set_leaving(self) {
        self.set_flags(DYING);
        self.prev.set(Some(self));
    }

    /// Whether it, or what lies below it, is being freed.
    pub(crate) fn is_dying(self) -> bool {
        self.has(DYING)
    }

    /// Whether it is on its way out itself, and not only its children are.
    pub(crate) fn is_leaving(self) -> bool {
        self.has(DYING) && self.prev.get() == Some(self)
    }

    /// The name; null when it has none. A reference's is `.reference`.
    #[inline]
    pub fn name(self) -> *const c_char {
        match self.name.plain() {
            Some(name) => name,
            None => {
                seldom();
                // SAFETY: what holds no name leads to a record.
                unsafe { self.side_record() }.name()
            }
        }
    }

    /// Gives it a name, which outlives it or is a child of it. No bytes are copied.
    #[inline]
    pub fn set_name(self, name: *const c_char) {
        match self.side() {
            Some(side) => side.set_name(name),
            None => self.name.set(name),
        }
    }

    /// The side record, when there is one.
    #[inline(always)]
    pub(crate) fn side(self) -> Option<SideRef> {
        if self.has(SIDE) {
            // SAFETY: as was just seen.
            Some(unsafe { self.side_record() })
        } else {
            None
        }
    }

    /// The side record.
    ///
    /// # Safety
    /// There is one.
    #[inline(always)]
    pub(crate) unsafe fn side_record(self) -> SideRef {
        // SAFETY: the caller's.
        unsafe { self.name.side_record() }
    }

    /// Whether this is a reference: the hidden child that keeps another chunk alive.
    #[inline]
    pub fn is_reference(self) -> bool {
        self.has(REFERENCE)
    }

    /// The children, newest first. The next one is looked up before the visit of one ends.
    pub fn children(self) -> impl Iterator<Item = Chunk> {
        core::iter::successors(self.child.get(), |c| c.next.get())
    }

    /// Whether `self` is `other` or lies above it. What lies above a shared context is not looked at from below: it
    /// may be another thread's.
    pub fn is_above(self, other: Chunk) -> bool {
        let up = |c: &Chunk| if domain::is_root(*c) { None } else { c.parent() };
        core::iter::successors(Some(other), up).any(|c| c == self)
    }
}
