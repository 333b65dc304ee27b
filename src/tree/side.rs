//! The side record, 64 bytes: what few chunks have. A chunk's name word leads to it once it needs one, and it
//! stays until the chunk is freed.

use core::cell::Cell;
use core::ffi::{c_char, c_int, c_void};
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{
    AtomicPtr,
    Ordering::{Acquire, Relaxed, Release},
};

use super::chunk::{Chunk, DYING, MEMBER, SIDE};
use super::meter::{self, Meter};
use super::pool::Origin;
use super::refs::Reference;
use super::store;
use crate::error::AllocError;
use crate::mem::heap::{Heap, HeapRef};
use crate::mem::shared::Shared;
use crate::offsets::offsets;

/// A function that is called with the payload of a chunk before it is freed; -1 refuses.
pub type Destructor = unsafe extern "C" fn(*mut c_void) -> c_int;

/// A function that is called with the payload of a chunk that will certainly be freed, after its
/// destructor has agreed and before its children go. It cannot refuse, and no user of the chunk can take it
/// away; a chunk that has one is not resized. For what the chunk holds outside the tree.
pub type Finalizer = unsafe fn(NonNull<c_void>);

/// See the module. The first word is 0, so that nobody who walks over slots takes it for a chunk.
#[repr(C)]
#[derive(Debug)]
pub struct Side {
    not_a_tag: u32,
    /// See [`Chunk::handle`].
    handle: Cell<u32>,
    pub(crate) running: Cell<Running>,
    /// The chunk is a shared context itself, and not only below one.
    pub(crate) is_shared_context: Cell<bool>,
    name: AtomicPtr<c_char>,
    pub(crate) destructor: Cell<Option<Destructor>>,
    pub(crate) finalizer: Cell<Option<Finalizer>>,
    /// The newest reference to the chunk.
    pub(crate) references: Cell<Option<NonNull<Reference>>>,
    pub(crate) meter: Cell<Option<NonNull<Meter>>>,
    /// The shared heap whose lock guards the chunk, if one does, where that is not the heap that the chunk lies in.
    shared: AtomicPtr<Heap>,
}

// A cache line.
const _: () = assert!(size_of::<Side>() <= 64);

offsets! {
    /// Where the fields of a side record lie.
    SideOffsets of Side { running, name, destructor, finalizer, references, meter }
}

/// Whether the destructor is running at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Running {
    /// It is not.
    No,
    /// It is.
    Yes,
    /// It is, and another one has been set meanwhile.
    Replaced,
}

/// A memory limit, in bytes.
///
/// ```
/// let ctx = tmempool::Context::new("request");
/// ctx.set_limit(10_000)?;
/// let limit = ctx.limit().unwrap();
/// assert!(limit.current < limit.max);
/// # Ok::<(), tmempool::AllocError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// What may be used.
    pub max: usize,
    /// What is used.
    pub current: usize,
}

/// A live side record. It is not a reference, so that the record may be given back while a caller up the
/// stack still has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SideRef(NonNull<Side>);

impl SideRef {
    /// The record at `at`.
    ///
    /// # Safety
    /// It is one, and alive.
    #[inline(always)]
    pub(super) unsafe fn from_raw(at: *mut Side) -> SideRef {
        // SAFETY: a record is not at address 0.
        SideRef(unsafe { NonNull::new_unchecked(at) })
    }

    /// Where it lies.
    #[inline(always)]
    pub(super) fn address(self) -> NonNull<u8> {
        self.0.cast()
    }
}

impl Deref for SideRef {
    type Target = Side;

    #[inline(always)]
    fn deref(&self) -> &Side {
        // SAFETY: a handle to a live record; all that changes are cells.
        unsafe { self.0.as_ref() }
    }
}

impl Side {
    /// The name of the chunk, or null.
    #[inline(always)]
    pub(super) fn name(&self) -> *const c_char {
        self.name.load(Relaxed)
    }

    #[inline(always)]
    pub(super) fn set_name(&self, name: *const c_char) {
        self.name.store(name.cast_mut(), Relaxed);
    }

    /// Whether it has nothing but a name.
    fn is_idle(&self) -> bool {
        self.handle.get() == 0
            && self.running.get() == Running::No
            && self.destructor.get().is_none()
            && self.finalizer.get().is_none()
            && self.references.get().is_none()
            && self.meter.get().is_none()
    }

    /// The shared heap that guards the chunk, which is guarded, if it is not the one that it lies in.
    pub(super) fn shared(&self) -> Option<Shared> {
        HeapRef::from_raw(self.shared.load(Acquire)).and_then(Shared::of)
    }

    pub(super) fn set_shared(&self, shared: Option<Shared>) {
        self.shared.store(shared.map_or(core::ptr::null_mut(), |s| s.heap().as_ptr()), Release);
    }
}

const _: () = assert!(size_of::<Side>() == 64);

impl Chunk {
    /// The side record, made now if there is none.
    #[inline]
    pub(crate) fn side_or_new(self) -> Result<SideRef, AllocError> {
        self.side().or_else(|| self.new_side()).ok_or(AllocError::OutOfMemory)
    }

    /// A side record for a chunk without one; `None` when there is no memory for it.
    #[inline(never)]
    fn new_side(self) -> Option<SideRef> {
        let at = store::take_record(self, size_of::<Side>())?.cast::<Side>();
        let side = Side {
            not_a_tag: 0,
            handle: Cell::new(0),
            running: Cell::new(Running::No),
            is_shared_context: Cell::new(false),
            name: AtomicPtr::new(self.name.held().cast_mut()),
            destructor: Cell::new(None),
            finalizer: Cell::new(None),
            references: Cell::new(None),
            meter: Cell::new(None),
            shared: AtomicPtr::new(core::ptr::null_mut()),
        };
        // SAFETY: memory for a record, nobody else's.
        unsafe { at.write(side) };
        self.name.lead_to(at);
        self.set_flags(SIDE);
        if self.has(MEMBER) {
            Origin::of_member(self).set_irregular();
        }
        Some(SideRef(at))
    }

    /// What a table of handles, which lies above the tree, has noted on the chunk; 0 for nothing.
    #[inline]
    pub fn handle(self) -> u32 {
        self.side().map_or(0, |side| side.handle.get())
    }

    /// Notes `handle` on the chunk, which keeps it wherever it moves.
    ///
    /// # Errors
    /// [`AllocError::OutOfMemory`]: nothing has changed.
    pub fn set_handle(self, handle: u32) -> Result<(), AllocError> {
        self.side_or_new()?.handle.set(handle);
        Ok(())
    }

    /// Takes the side record away from a chunk that is about to be freed.
    pub(super) fn drop_side(self) {
        if let Some(side) = self.side() {
            let name = side.name();
            if let Some(meter) = side.meter.get() {
                meter::discard(meter);
            }
            // SAFETY: the record belongs to this chunk alone, and the name word is set anew.
            unsafe { store::give_raw(side.address()) };
            self.clear_flags(SIDE);
            self.name.set(name);
        }
    }

    /// Takes the side record away from a dying chunk that nobody shares, if there is nothing in it but a name.
    #[inline]
    pub(crate) fn drop_idle_side(self) {
        if self.flags() & !(MEMBER | DYING) == SIDE
            && let Some(side) = self.side()
            && side.is_idle()
        {
            self.drop_side();
        }
    }

    /// Whether its destructor is running at this moment.
    pub(crate) fn is_running(self) -> bool {
        self.side().is_some_and(|side| side.running.get() != Running::No)
    }

    /// Whether it has a finalizer.
    pub fn has_finalizer(self) -> bool {
        self.side().is_some_and(|side| side.finalizer.get().is_some())
    }

    /// Whether a function is to be called before it is freed.
    pub fn has_destructor(self) -> bool {
        self.side().is_some_and(|side| side.destructor.get().is_some() || side.running.get() != Running::No)
    }
}
