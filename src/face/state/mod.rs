//! What a context of this layer has beside its chunk: memory that values are cut from, and the list of what
//! is to be dropped.
//!
//! ```text
//! context's chunk:  header │ State │ name, NUL │ value │ value │ value │ free ……………│
//!                     │                                             start      end
//!                     ├ child: block  header │ value │ value │ free …………………………│
//!                     ├ child: block, full
//!                     └ child: anything else: large values, boxes and collections, named boxes, contexts
//! ```
//! `blocks` cuts values from this memory, `owned` drops what is to be dropped, `rooms` keeps the room of small boxes
//! and collections that were freed. Here is how a state begins, is found, emptied and ended ([`finish`]).

mod blocks;
mod owned;
mod rooms;

use core::cell::Cell;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::NonNull;

use self::blocks::BlockSize;
use self::owned::Entry;
pub(super) use self::rooms::LARGEST_ROOM;
use self::rooms::Lists;
#[cfg(feature = "std")]
use super::destructor::ClosuresCell;
use crate::error::AllocError;
use crate::ops;
use crate::tree::Chunk;
use crate::tree::chunk::{HEADER, MEMBER, POOL};

/// Bytes of a context's chunk, with its header.
const CONTEXT: usize = 512;
/// A context has at least this much room for values behind its name, or none.
const INLINE_MIN: usize = 64;

/// Its address is the mark of a state.
static MARK: u8 = 0;

/// See the module.
#[repr(C)]
pub(super) struct State {
    end: Cell<NonNull<u8>>,
    start: Cell<NonNull<u8>>,
    dropped: Cell<Option<NonNull<Entry>>>,
    /// Room that was freed, once there has been any.
    lists: Cell<Option<NonNull<Lists>>>,
    chunk: Chunk,
    /// Tells a state from what C programs have in their payloads.
    mark: *const u8,
    #[cfg(feature = "std")]
    closures: ClosuresCell,
    /// What stands for the context in the tree of the global allocator.
    #[cfg(feature = "global-alloc")]
    shadow: Cell<Option<Chunk>>,
    /// The newest block.
    block: Cell<Option<Chunk>>,
    /// How many entries there are.
    count: Cell<usize>,
    /// The next block, and the first one.
    next_block: Cell<BlockSize>,
    first_block: BlockSize,
    /// Whether the chunk that holds this has `finish` as its destructor.
    has_destructor: Cell<bool>,
    name_len: usize,
}

/// A handle to a state. It is alive as long as its context.
#[derive(Clone, Copy)]
pub(super) struct StateRef(NonNull<State>);

impl core::ops::Deref for StateRef {
    type Target = State;

    #[inline(always)]
    fn deref(&self) -> &State {
        // SAFETY: the payload of a chunk, which lives while anyone has the context; all that changes
        // are cells.
        unsafe { self.0.as_ref() }
    }
}

impl State {
    /// How many values, or slices of them, wait to be dropped.
    pub(super) fn count(&self) -> usize {
        self.count.get()
    }

    /// The chunk of the context.
    #[inline(always)]
    pub(super) fn chunk(&self) -> Chunk {
        self.chunk
    }

    /// What stands for the context in the tree of the global allocator.
    #[cfg(feature = "global-alloc")]
    pub(super) fn shadow(&self) -> &Cell<Option<Chunk>> {
        &self.shadow
    }

    /// The closures that are asked before the context is freed.
    #[cfg(feature = "std")]
    pub(super) fn closures(&self) -> &ClosuresCell {
        &self.closures
    }
}

/// Bytes of the payload that holds a state with a name of `name_len` bytes: as much as it needs, and as much
/// as it would like.
pub(super) fn sizes(name_len: usize) -> Result<(usize, usize), AllocError> {
    let least = name_len.checked_add(size_of::<State>() + 1).ok_or(AllocError::TooLarge)?;
    let most = CONTEXT - HEADER;
    Ok((least, if least + INLINE_MIN <= most { most } else { least }))
}

impl StateRef {
    /// Makes the fresh chunk `holder` hold the state of the context `chunk`, which is the same one or its parent, and has
    /// `room` bytes of its own to begin with, or none.
    ///
    /// # Safety
    /// The holder has one of the [`sizes`] for `name`.
    pub(super) unsafe fn create(holder: Chunk, chunk: Chunk, name: &str, room: usize) -> StateRef {
        // SAFETY: a payload is not null.
        let at = unsafe { NonNull::new_unchecked(holder.ptr()) }.cast::<State>();
        let first_block = BlockSize::first_in(room);
        let state = State {
            end: Cell::new(at.cast()),
            start: Cell::new(at.cast()),
            dropped: Cell::new(None),
            lists: Cell::new(None),
            chunk,
            mark: &raw const MARK,
            #[cfg(feature = "std")]
            closures: Cell::new(None),
            #[cfg(feature = "global-alloc")]
            shadow: Cell::new(None),
            block: Cell::new(None),
            count: Cell::new(0),
            next_block: Cell::new(first_block),
            first_block,
            has_destructor: Cell::new(false),
            name_len: name.len(),
        };
        // SAFETY: the payload is the state's, with the name and its end behind it.
        unsafe {
            at.write(state);
            let text = at.add(1).cast::<u8>();
            text.copy_from_nonoverlapping(NonNull::from_ref(name).cast(), name.len());
            text.add(name.len()).write(0);
            holder.set_name(text.as_ptr().cast::<c_char>());
        }
        let state = StateRef(at);
        state.use_inline();
        state
    }

    /// The chunk that holds the state.
    #[inline(always)]
    pub(super) fn holder(self) -> Chunk {
        // SAFETY: the state is a payload, made from its chunk's pointer.
        unsafe { Chunk::of_payload(self.0.cast()) }
    }

    /// The state that a destructor was called for.
    ///
    /// # Safety
    /// `payload` is that of a chunk that holds a state.
    pub(super) unsafe fn of_payload(payload: NonNull<c_void>) -> StateRef {
        StateRef(payload.cast())
    }

    /// The state that `chunk` holds, if it holds one.
    ///
    /// # Safety
    /// The chunk is alive.
    pub(super) unsafe fn held_by(chunk: Chunk) -> Option<StateRef> {
        let at = NonNull::new(chunk.ptr())?.cast::<State>();
        let name = at.as_ptr().wrapping_add(1).cast::<c_char>().cast_const();
        if chunk.size() <= size_of::<State>() || chunk.name() != name {
            return None;
        }
        // SAFETY: within the payload. Only a state, or something made to look like one, has its name there.
        let mark = unsafe { (&raw const (*at.as_ptr()).mark).read() };
        (mark == &raw const MARK).then_some(StateRef(at))
    }

    /// The name, as it was given.
    pub(super) fn name<'a>(self) -> &'a str {
        // SAFETY: written by `create` behind the state, from a string; never changed.
        unsafe {
            let text = self.0.add(1).cast::<u8>();
            core::str::from_utf8_unchecked(core::slice::from_raw_parts(text.as_ptr(), self.name_len))
        }
    }

    /// Gives the holder its destructor, if it has none.
    #[inline(always)]
    pub(super) fn need_destructor(self) -> Result<(), AllocError> {
        if self.has_destructor.get() { Ok(()) } else { self.set_destructor() }
    }

    #[cold]
    fn set_destructor(self) -> Result<(), AllocError> {
        // SAFETY: the chunk that holds the state lives as long as the state does.
        unsafe { ops::set_destructor(self.holder(), Some(finish))? };
        self.has_destructor.set(true);
        Ok(())
    }

    /// Drops all values and frees all below the context, which stays, with its newest block.
    ///
    /// # Safety
    /// Nobody has anything of the context, or below it.
    pub(super) unsafe fn reset(self) {
        self.drop_values();
        self.lists.set(None);
        // A block that has left its pool would be memory that the pool cannot use again.
        let in_pool = self.chunk.has(MEMBER | POOL);
        let block = self.block.take().filter(|_| !in_pool);
        self.start.set(self.end.get());
        if in_pool {
            self.next_block.set(self.first_block);
        }
        // SAFETY: the caller's. The block has no children, and is nobody's while it is out of the tree. A state
        // that lies below its context (of C's) is out of it, too.
        unsafe {
            let block = block.filter(|&block| ops::steal(None, block).is_ok());
            let holder = Some(self.holder()).filter(|&holder| holder != self.chunk);
            let holder = holder.filter(|&holder| ops::steal(None, holder).is_ok());
            let _ = ops::reset(self.chunk, LOCATION.as_ptr());
            for kept in [holder, block].into_iter().flatten() {
                // They came from there: there is neither a ring, nor a free in progress.
                let _ = ops::steal(Some(self.chunk), kept);
            }
            match block {
                Some(block) => self.use_block(block),
                None => self.use_inline(),
            }
        }
    }
}

/// Where this layer frees, for those who look at a stale pointer.
pub(super) const LOCATION: &CStr = c"Context";

/// The destructor of a chunk that holds a state: the context is being freed.
unsafe extern "C" fn finish(payload: *mut c_void) -> c_int {
    // SAFETY: set on chunks that hold a state, which is alive until they are freed; a payload is not null.
    let state = unsafe { StateRef::of_payload(NonNull::new_unchecked(payload)) };
    #[cfg(feature = "std")]
    if !super::destructor::may_go(&state.closures) {
        return -1;
    }
    state.drop_values();
    #[cfg(feature = "global-alloc")]
    if let Some(shadow) = state.shadow.take() {
        super::global::retire(shadow);
    }
    0
}
