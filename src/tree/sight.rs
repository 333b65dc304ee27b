//! What a pointer turns out to be: how the verbs come from an address to a chunk.
//!
//! A check goes by the table of heads to the span that the payload lies in, and compares the header's tag with the span's
//! ([`Sight`]). That is the short way, and says for certain that a chunk lives ([`Found`]), or only what it may be ([`Look`]).
//! The long way ([`Chunk::check`]) knows of members of pools, shared chunks, blocks of malloc's and slices that the table
//! does not have, and says of all else what it is instead. Nothing is read but memory that is known to be mapped.

use core::ffi::{c_char, c_void};
use core::mem::offset_of;
use core::ptr::{self, NonNull};

use super::chunk::{Chunk, FLAGS, GUARDED, HEADER, Header, MEMBER, NO_PLAIN_PARENT, POOL, REFERENCE, SIDE};
use super::pool::Block;
use crate::compare;
use crate::error::Fault;
use crate::hint::seldom;
use crate::mem::generations;
use crate::mem::geometry::{SEGMENT, SLICE};
use crate::mem::segment;
use crate::mem::span::{NO_TAG, SpanRef};
use crate::process::{self, MODE_MALLOC, TAG_FREED};

/// Those of a chunk for which the short way of a check is. A member of a pool goes it where its block has a span to itself, and
/// so the same tag.
const QUICK: u32 = FLAGS & !GUARDED;
// So that there are no others is one compare with a small number.
const _: () = assert!(QUICK == 0x7f);

/// Where the tag and the name lie, seen from the payload.
const TAG_AT: isize = offset_of!(Header, tag) as isize - HEADER as isize;
const NAME_AT: isize = offset_of!(Header, name) as isize - HEADER as isize;

/// What lies before a payload: see [`Chunk::look`].
#[derive(Clone, Copy, Debug)]
pub enum Look {
    /// A live chunk that threads do not share, of the heap or of a block of a pool that has a span to itself.
    Plain(Found),
    /// It may be a member of another block of a pool.
    Member(Suspect),
    /// It may be a chunk of a shared context.
    Shared,
    /// Nothing is known.
    Unknown,
}

/// A live chunk that was found by its address just now, with what was seen on the way.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub(super) chunk: Chunk,
    pub(super) flags: u32,
    /// The head of the span that it lies in.
    pub(super) span: SpanRef,
}

impl Found {
    /// Whether it is a [plain member](Sight::plain_member).
    #[inline(always)]
    pub(crate) fn is_plain_member(self) -> bool {
        self.flags == MEMBER && self.span.is_single()
    }

    /// The chunk, and the span that it lies in: what can be handed on in registers.
    #[inline(always)]
    pub fn parts(self) -> (Chunk, SpanRef) {
        (self.chunk, self.span)
    }

    /// What has these [parts](Found::parts).
    ///
    /// # Safety
    /// The chunk lives, and lies in the span, of which it has no other head.
    #[inline(always)]
    pub unsafe fn of_parts(chunk: Chunk, span: SpanRef) -> Found {
        Found { chunk, flags: chunk.flags(), span }
    }

    /// The chunk.
    #[inline(always)]
    pub fn chunk(self) -> Chunk {
        self.chunk
    }

    /// Its flags.
    #[inline(always)]
    pub fn flags(self) -> u32 {
        self.flags
    }
}

/// What may be the header of a chunk: it is aligned, and its payload lies in a slice that the table of heads knows.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    chunk: Chunk,
    /// How its tag differs from that of the span. If only in flags, it is a live chunk, with those flags.
    differs: u32,
    span: SpanRef,
}

impl Sight {
    /// A live chunk with no other flags than those of `allowed`. `None` says nothing.
    #[inline(always)]
    fn found(self, allowed: u32) -> Option<Found> {
        let Sight { chunk, differs, span } = self;
        (differs & !allowed == 0).then_some(Found { chunk, flags: differs, span })
    }

    /// A live chunk of the heap without flags. `None` says nothing.
    #[inline(always)]
    pub(crate) fn plain(self) -> Option<Found> {
        self.found(0)
    }

    /// A live member, without other flags, of a block of a pool that has a span to itself. `None` says nothing.
    #[inline(always)]
    pub fn plain_member(self) -> Option<Found> {
        let Sight { chunk, differs, span } = self;
        (differs == MEMBER && span.is_single()).then_some(Found { chunk, flags: differs, span })
    }

    /// A live chunk whose children come from the heap, and count against no limit. `None` says nothing.
    #[inline(always)]
    pub fn plain_parent(self) -> Option<Found> {
        self.found(FLAGS & !NO_PLAIN_PARENT)
    }

    /// Whether it is a live chunk that may have more to act on than what it gives back: children, or a side record. No says
    /// nothing. A leaf without flags is taken for one, and so is a plain member.
    #[inline(always)]
    pub(crate) fn is_no_leaf(self) -> bool {
        self.found(QUICK & !(POOL | REFERENCE)).is_some()
    }

    /// What may be a member of a pool.
    #[inline(always)]
    fn suspect(self) -> Option<Suspect> {
        let Sight { chunk, differs, span } = self;
        let may_be = differs & MEMBER != 0 && chunk.ptr().addr() % SLICE >= HEADER;
        may_be.then_some(Suspect { header: chunk.0, span })
    }

    /// What it is, as far as the tags say it.
    #[inline(always)]
    pub fn look(self) -> Look {
        if let Some(found) = self.plain() {
            Look::Plain(found)
        } else if let Some(found) = self.found(QUICK) {
            Look::Plain(found)
        } else if let Some(suspect) = self.suspect() {
            Look::Member(suspect)
        } else if self.differs & !SIDE == GUARDED {
            Look::Shared
        } else {
            Look::Unknown
        }
    }
}

/// What may be the header of a member of a pool: it is aligned, lies in a slice in use, and has the flag.
#[derive(Clone, Copy, Debug)]
pub struct Suspect {
    pub(super) header: NonNull<Header>,
    /// The head of the span that it lies in.
    pub(super) span: SpanRef,
}

impl Suspect {
    /// What may be a member at `header`, which the table of heads does not know.
    ///
    /// # Safety
    /// It is aligned, and lies in a mapped segment.
    #[inline]
    pub(super) unsafe fn in_segment(header: NonNull<Header>) -> Option<Suspect> {
        // SAFETY: the caller's; a slice with a tag is part of a span in use.
        unsafe {
            let (tag, at) = (header.as_ref().tag.peek(), header.addr().get());
            let may_be = tag & MEMBER != 0 && SpanRef::slice_of(at).tag() != NO_TAG;
            may_be.then(|| Suspect { header, span: SpanRef::of(at) })
        }
    }
}

impl Chunk {
    /// The chunk whose payload is at `payload`, if that is a live one. Any number can be asked
    /// about: nothing is read but memory that is known to be mapped (with the malloc backend, where
    /// each chunk is a block of malloc's, the 48 bytes before `payload`).
    ///
    /// # Errors
    /// What the pointer is instead.
    ///
    /// # Safety
    /// No other thread frees the chunk meanwhile.
    #[inline(always)]
    pub unsafe fn check(payload: *const c_void) -> Result<Chunk, Fault> {
        // SAFETY: the caller's.
        unsafe {
            match Chunk::check_quick(payload) {
                Some(chunk) => Ok(chunk),
                None => Chunk::check_slow(payload),
            }
        }
    }

    /// [`check`](Chunk::check), only for a live member of a pool that threads do not share. `None` says nothing.
    ///
    /// # Safety
    /// As for [`check`](Chunk::check).
    #[inline(always)]
    pub unsafe fn check_member(payload: *const c_void) -> Option<Chunk> {
        // SAFETY: the caller's.
        let suspect = unsafe { Chunk::sight(payload) }?.suspect()?;
        Block::of_live_member(suspect, QUICK & !MEMBER).map(|(_, member)| member)
    }

    /// [`check`](Chunk::check), only if it goes the short way: for a live chunk that threads do not share, of the heap or of
    /// a block of a pool that has a span to itself. `None` says nothing.
    ///
    /// # Safety
    /// As for [`check`](Chunk::check).
    #[inline(always)]
    pub unsafe fn check_quick(payload: *const c_void) -> Option<Chunk> {
        // SAFETY: the caller's.
        unsafe { Chunk::find(payload) }.map(Found::chunk)
    }

    /// [`check_quick`](Chunk::check_quick), with what was seen on the way.
    ///
    /// # Safety
    /// As for [`check`](Chunk::check).
    #[inline(always)]
    pub unsafe fn find(payload: *const c_void) -> Option<Found> {
        // SAFETY: the caller's.
        unsafe { Chunk::sight(payload) }?.found(QUICK)
    }

    /// What lies before `payload`, as far as the tags of its span and its own say it.
    ///
    /// # Safety
    /// As for [`check`](Chunk::check).
    #[inline(always)]
    pub unsafe fn look(payload: *const c_void) -> Look {
        // SAFETY: the caller's.
        unsafe { Chunk::sight(payload) }.map_or(Look::Unknown, Sight::look)
    }

    /// Whether `payload` is that of a chunk that [`check_quick`](Chunk::check_quick) would find, and `name` the very name
    /// that it was given. Nothing is named null. `false` says nothing.
    ///
    /// # Safety
    /// As for [`check`](Chunk::check).
    #[inline(always)]
    pub unsafe fn check_name(payload: *const c_void, name: *const c_char) -> bool {
        // SAFETY: the caller's.
        let Some(found) = (unsafe { Chunk::find_short(payload, QUICK) }) else { return false };
        // SAFETY: a chunk's.
        let has_it = unsafe { compare::is_at::<NAME_AT>(payload, name.addr()) } || {
            seldom();
            found.chunk.name.side().is_some_and(|side| side.name() == name)
        };
        has_it && !name.is_null()
    }

    /// The name of the chunk that [`check_quick`](Chunk::check_quick) finds, if it has one and no side record. `None` says nothing.
    ///
    /// # Safety
    /// As for [`check`](Chunk::check).
    #[inline(always)]
    pub unsafe fn name_quick(payload: *const c_void) -> Option<*const c_char> {
        // SAFETY: the caller's.
        unsafe { Chunk::find_short(payload, QUICK) }?.chunk.name.given()
    }

    /// Whether `payload` is that of a member of a pool, which threads do not share, and `name` the very name that it was
    /// given. Nothing is named null. `false` says nothing.
    ///
    /// # Safety
    /// As for [`check`](Chunk::check).
    #[inline(always)]
    pub unsafe fn check_member_name(payload: *const c_void, name: *const c_char) -> bool {
        // SAFETY: the caller's.
        let member = unsafe { Chunk::check_member(payload) };
        member.is_some_and(|member| member.name() == name) && !name.is_null()
    }

    /// Gives the chunk that [`check_quick`](Chunk::check_quick) finds a name, if it has no side record; says whether it has it. No
    /// says nothing.
    ///
    /// # Safety
    /// As for [`check`](Chunk::check), and for [`set_name`](Chunk::set_name).
    #[inline(always)]
    pub unsafe fn set_name_quick(payload: *const c_void, name: *const c_char) -> bool {
        // SAFETY: the caller's.
        let found = unsafe { Chunk::find_short(payload, QUICK & !SIDE) };
        if let Some(found) = found {
            found.chunk.name.set(name);
        }
        found.is_some()
    }

    /// What would be the chunk whose payload is at `payload`. `None` says nothing.
    ///
    /// # Safety
    /// As for [`check`](Chunk::check).
    #[inline(always)]
    pub unsafe fn sight(payload: *const c_void) -> Option<Sight> {
        // SAFETY: the caller's; the header can be read.
        unsafe { Chunk::sight_by(payload, |header, tag| (*header).tag.peek() ^ tag) }
    }

    /// A live chunk with no other flags than those of `allowed`, in fewer bytes of code: for functions that do no more than read
    /// or write a word then. `None` says nothing.
    ///
    /// # Safety
    /// As for [`check`](Chunk::check).
    #[inline(always)]
    unsafe fn find_short(payload: *const c_void, allowed: u32) -> Option<Found> {
        // SAFETY: the caller's; the header can be read.
        unsafe { Chunk::sight_by(payload, |_, tag| compare::differs_at::<TAG_AT>(payload, tag)) }?
            .found(allowed)
    }

    /// [`sight`](Chunk::sight), where `differs` says how the tag of a header, which can be read, differs from another.
    ///
    /// # Safety
    /// As for [`check`](Chunk::check).
    #[inline(always)]
    unsafe fn sight_by(
        payload: *const c_void,
        differs: impl FnOnce(*const Header, u32) -> u32,
    ) -> Option<Sight> {
        let header = payload.wrapping_byte_sub(HEADER).cast::<Header>().cast_mut();
        // A header that lies right before the slice of its payload is in the same span, if there is one.
        let Some(span) = SpanRef::known_at(payload.addr()) else {
            seldom();
            return None;
        };
        // It can be read, being aligned as the payload is: what is before a slice in use, too, for no span begins at the
        // start of a segment.
        let differs = differs(header, span.tag());
        // SAFETY: an address in a segment is not null.
        Some(Sight { chunk: Chunk(unsafe { NonNull::new_unchecked(header) }), differs, span })
    }

    /// [`check`](Chunk::check), only for a shared chunk of the heap, with no other flags than those of `allowed`. Its
    /// flags come along. `None` says nothing.
    ///
    /// # Safety
    /// As for [`check`](Chunk::check).
    #[inline(always)]
    pub(crate) unsafe fn check_shared(payload: *const c_void, allowed: u32) -> Option<(Chunk, u32)> {
        // SAFETY: the caller's.
        let Sight { chunk, differs, .. } = unsafe { Chunk::sight(payload) }?;
        if differs & !allowed != GUARDED {
            return None;
        }
        Some((chunk, differs))
    }

    /// Whether a chunk that a link leads to is still one.
    #[inline(always)]
    pub(crate) fn verify(self) -> Result<(), Fault> {
        // SAFETY: the tree is this thread's.
        unsafe { Chunk::check(self.ptr()) }.map(|_| ())
    }

    /// What the short way has turned down: shared chunks, members of other blocks of pools, chunks of the malloc backend, those whose slice
    /// the table of heads does not know, and all that is no live chunk.
    #[inline(never)]
    unsafe fn check_slow(payload: *const c_void) -> Result<Chunk, Fault> {
        // SAFETY: the caller's.
        if let Some(member) = unsafe { Chunk::check_member(payload) } {
            return Ok(member);
        }
        let header = payload.wrapping_byte_sub(HEADER).cast::<Header>().cast_mut();
        let at = header.addr();
        if payload.addr() < HEADER || !at.is_multiple_of(align_of::<Header>()) {
            return Err(Fault::Unknown);
        }
        // SAFETY: not null, as just seen.
        let chunk = Chunk(unsafe { NonNull::new_unchecked(header) });
        if !segment::covers(at) {
            if process::mode() & MODE_MALLOC != 0 && chunk.tag.peek() & !FLAGS == process::lasting_tag() {
                return Ok(chunk);
            }
            let freed = segment::has_covered(at);
            return Err(if freed { Fault::Freed { location: ptr::null() } } else { Fault::Unknown });
        }
        // SAFETY: the address lies in a mapped segment.
        let span = unsafe { SpanRef::slice_of(at) };
        if span.tag() == NO_TAG {
            // Free slices of a segment, or its head, which no pointer ever led to.
            let freed = at % SEGMENT >= SLICE;
            return Err(if freed { Fault::Freed { location: ptr::null() } } else { Fault::Unknown });
        }
        let tag = chunk.tag.peek();
        if (tag ^ span.tag()) & !(FLAGS & !MEMBER) == 0 {
            return Ok(chunk);
        }
        if tag & MEMBER != 0 {
            // SAFETY: the slice belongs to a span in use.
            let start = unsafe { SpanRef::of(at) }.slot_around(at);
            // SAFETY: the start of a slot, in mapped memory.
            match unsafe { Block::tag_at(start, span.tag()) } {
                Ok(members) if (tag ^ members) & !(FLAGS & !MEMBER) == 0 => return Ok(chunk),
                Err(location) if generations::is_stale(tag) => return Err(Fault::Freed { location }),
                _ => {}
            }
        }
        Err(chunk.post_mortem())
    }

    /// What a header in mapped memory that is not live has to tell.
    fn post_mortem(self) -> Fault {
        let tag = self.tag.peek();
        if tag == TAG_FREED {
            Fault::Freed { location: self.name.plain().unwrap_or(ptr::null()) }
        } else if generations::is_stale(tag) {
            Fault::Freed { location: ptr::null() }
        } else {
            Fault::Unknown
        }
    }
}
