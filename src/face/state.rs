//! What a context of this layer has beside its chunk: memory that values are cut from, and the list of what
//! is to be dropped.
//!
//! ```text
//! context's chunk:  header │ State │ name, NUL │ free …………│ value │ value │ value │
//!                     │                          start      end     → older
//!                     ├ child: block  header │ free …………│ value │ value │
//!                     ├ child: block, full
//!                     └ child: anything else: large values, boxes and collections, named boxes, contexts
//! ```
//! Values are cut without headers, from the end of the free memory downwards: first behind the name, then in
//! blocks that double. A value that wants dropping has an [`Entry`] before it; the entries are a list, newest
//! first. With the first one the chunk gets a destructor ([`finish`]), which runs whoever frees the chunk:
//! this layer, or a C program that was given it. The room of small boxes and collections that were freed is
//! kept in [`Lists`], by size.
//!
//! Invariants: `start..end` is free memory of the context's chunk or of `block`, and `start` is aligned to
//! 16; an entry on the list is followed by a live value of its type; an entry is off the list before its
//! value is dropped; what is on one of the lists of room is nobody's.

use core::alloc::Layout;
use core::cell::Cell;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::{self, NonNull};

#[cfg(feature = "std")]
use super::destructor::ClosuresCell;
use super::{place, unwind};
use crate::error::AllocError;
use crate::ops;
use crate::tree::Chunk;
use crate::tree::chunk::{HEADER, MEMBER, POOL};

/// The name of a block of values.
const BLOCK_NAME: &CStr = c"values";
/// The name of the chunk of a value that is too large for a block.
const LARGE_NAME: &CStr = c"value";
/// Bytes of a context's chunk, with its header.
const CONTEXT: usize = 512;
/// A context has at least this much room for values behind its name, or none.
const INLINE_MIN: usize = 64;
/// Bytes of the first block, with its header.
const FIRST_BLOCK: usize = 1 << 10;
/// Bytes of the largest block, with its header.
const LAST_BLOCK: usize = 256 << 10;
/// Values of this size, in bytes, or above have a chunk of their own.
const LARGE: usize = 8 << 10;
/// What `start` is aligned to.
const GRAIN: usize = place::PAYLOAD_ALIGN;
/// The largest room, in bytes: what is larger has a chunk of its own.
pub(super) const LARGEST_ROOM: usize = 4 << 10;
/// Up to this size, in bytes, the sizes of rooms are 16 apart; above, each is twice the one before.
const EVEN_ROOMS: usize = 256;
/// The number of sizes.
const ROOMS: usize = room_class(LARGEST_ROOM) + 1;

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
    /// Bytes of the next block, with its header.
    next_block: Cell<u32>,
    /// Whether the chunk that holds this has `finish` as its destructor.
    has_destructor: Cell<bool>,
    name_len: usize,
}

/// What precedes a value that is dropped with its context.
#[repr(C)]
pub(super) struct Entry {
    older: Option<NonNull<Entry>>,
    drop: unsafe fn(NonNull<Entry>),
}

/// A value with its entry.
#[repr(C)]
struct Owned<T> {
    entry: Entry,
    value: T,
}

/// Values of one type, side by side, with their entry.
#[repr(C)]
struct OwnedSlice<T> {
    entry: Entry,
    len: usize,
    values: [T; 0],
}

/// Free room, by size: the first of each list, whose first word leads to the next.
struct Lists([Cell<Option<NonNull<Room>>>; ROOMS]);

/// Room on one of the [`Lists`].
struct Room {
    next: Option<NonNull<Room>>,
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

/// Which size of room serves `size` bytes, more than 0.
const fn room_class(size: usize) -> usize {
    if size <= EVEN_ROOMS {
        (size - 1) / GRAIN
    } else {
        EVEN_ROOMS / GRAIN + ((size - 1).ilog2() - EVEN_ROOMS.ilog2()) as usize
    }
}

/// Bytes of the room that serves `size` bytes.
const fn room_size(size: usize) -> usize {
    if size <= EVEN_ROOMS { size.next_multiple_of(GRAIN) } else { size.next_power_of_two() }
}

/// Bytes of the payload that holds a state with a name of `name_len` bytes: as much as it needs, and as much
/// as it would like.
pub(super) fn sizes(name_len: usize) -> Result<(usize, usize), AllocError> {
    let least = name_len.checked_add(size_of::<State>() + 1).ok_or(AllocError::TooLarge)?;
    let most = CONTEXT - HEADER;
    Ok((least, if least + INLINE_MIN <= most { most } else { least }))
}

impl StateRef {
    /// Makes the fresh chunk `holder` hold the state of the context `chunk`, which is the same one or its parent.
    ///
    /// # Safety
    /// The holder has one of the [`sizes`] for `name`.
    pub(super) unsafe fn create(holder: Chunk, chunk: Chunk, name: &str) -> StateRef {
        // SAFETY: a payload is not null.
        let at = unsafe { NonNull::new_unchecked(holder.ptr()) }.cast::<State>();
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
            next_block: Cell::new(FIRST_BLOCK as u32),
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

    /// Has values cut from the memory behind the name.
    fn use_inline(self) {
        let used = (size_of::<State>() + self.name_len + 1).next_multiple_of(GRAIN);
        let size = self.holder().size() & !(GRAIN - 1);
        if size > used {
            // SAFETY: both lie in the payload.
            unsafe {
                self.start.set(self.0.cast::<u8>().add(used));
                self.end.set(self.0.cast::<u8>().add(size));
            }
        }
    }

    /// Memory for a value of `layout`, whose size is a multiple of its alignment. It lives as long as the
    /// context.
    ///
    /// # Errors
    /// [`AllocError`]: nothing has changed.
    #[inline(always)]
    pub(super) fn cut(self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        match self.cut_quick(layout) {
            Some(at) => Ok(at),
            None => self.cut_slow(layout),
        }
    }

    /// [`cut`](Self::cut), or a panic.
    #[inline(always)]
    pub(super) fn cut_or_panic(self, layout: Layout) -> NonNull<u8> {
        match self.cut_quick(layout) {
            Some(at) => at,
            None => self.cut_slow_or_panic(layout),
        }
    }

    #[inline(always)]
    fn cut_quick(self, layout: Layout) -> Option<NonNull<u8>> {
        debug_assert!(layout.size().is_multiple_of(layout.align()));
        let start = self.start.get().addr().get();
        let end = self.end.get().addr().get() & !(layout.align() - 1);
        // With a larger alignment than that of `start`, `end` may come to lie below it.
        if (layout.align() > GRAIN && end < start) || end - start < layout.size() {
            return None;
        }
        // SAFETY: within the free memory, which is not at address 0.
        let at = unsafe { NonNull::new_unchecked(self.end.get().as_ptr().with_addr(end - layout.size())) };
        self.end.set(at);
        Some(at)
    }

    #[cold]
    #[inline(never)]
    fn cut_slow_or_panic(self, layout: Layout) -> NonNull<u8> {
        super::context::or_panic(self.cut_slow(layout))
    }

    #[cold]
    #[inline(never)]
    fn cut_slow(self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        if layout.size() == 0 {
            return Ok(place::dangling(layout));
        }
        // What the alignment may cost in a block.
        let extra = if layout.align() > GRAIN { layout.align() } else { GRAIN };
        let room = layout.size().checked_add(extra).ok_or(AllocError::TooLarge)?;
        if room >= LARGE {
            // SAFETY: the context is alive, and this thread uses its tree.
            return unsafe { place::alloc(self.chunk, layout, LARGE_NAME.as_ptr()) };
        }
        let size = (self.next_block.get() as usize).max((room + HEADER).next_power_of_two()) - HEADER;
        match self.add_block(size) {
            Ok(()) => self.next_block.set(((size + HEADER) * 2).min(LAST_BLOCK) as u32),
            // Where memory is short, no more than what is needed.
            Err(_) => self.add_block(room)?,
        }
        self.cut_quick(layout).ok_or(AllocError::OutOfMemory)
    }

    /// Has values cut from a fresh block with `size` bytes of room.
    fn add_block(self, size: usize) -> Result<(), AllocError> {
        // SAFETY: the context is alive, and this thread uses its tree.
        let block = unsafe { ops::alloc(Some(self.chunk), size)? };
        block.set_name(BLOCK_NAME.as_ptr());
        self.use_block(block);
        Ok(())
    }

    fn use_block(self, block: Chunk) {
        // SAFETY: a payload is not null, and as long as its size.
        unsafe {
            let start = NonNull::new_unchecked(block.ptr()).cast::<u8>();
            self.start.set(start);
            self.end.set(start.add(block.size() & !(GRAIN - 1)));
        }
        self.block.set(Some(block));
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

    /// Memory for a value that is dropped with the context, to be written and then given to [`own`](Self::own).
    ///
    /// # Errors
    /// [`AllocError`]: nothing has changed.
    #[inline(always)]
    pub(super) fn cut_owned<T>(self) -> Result<NonNull<T>, AllocError> {
        self.need_destructor()?;
        let at = self.cut(Layout::new::<Owned<T>>())?.cast::<Owned<T>>();
        // SAFETY: memory for an `Owned<T>`.
        Ok(unsafe { NonNull::new_unchecked(&raw mut (*at.as_ptr()).value) })
    }

    /// Has the value at `value` dropped with the context.
    ///
    /// # Safety
    /// [`cut_owned`](Self::cut_owned) gave the memory, a value has been written there, and nobody else drops it.
    #[inline(always)]
    pub(super) unsafe fn own<T>(self, value: NonNull<T>) {
        unsafe fn drop_value<T>(entry: NonNull<Entry>) {
            // SAFETY: the entry was made by `own` for an `Owned<T>`, whose value nobody has dropped yet.
            unsafe { ptr::drop_in_place(&raw mut (*entry.cast::<Owned<T>>().as_ptr()).value) };
        }
        // SAFETY: the value lies in an `Owned<T>`.
        let entry = unsafe { value.byte_sub(core::mem::offset_of!(Owned<T>, value)).cast::<Entry>() };
        self.list(entry, drop_value::<T>);
    }

    /// [`cut_owned`](Self::cut_owned) for `len` values.
    pub(super) fn cut_owned_slice<T>(self, len: usize) -> Result<NonNull<T>, AllocError> {
        self.need_destructor()?;
        let layout = Layout::array::<T>(len).and_then(|values| Layout::new::<OwnedSlice<T>>().extend(values));
        let (layout, _) = layout.map_err(|_| AllocError::TooLarge)?;
        let at = self.cut(layout.pad_to_align())?.cast::<OwnedSlice<T>>();
        // SAFETY: memory for an `OwnedSlice<T>` and the values.
        Ok(unsafe { NonNull::new_unchecked((&raw mut (*at.as_ptr()).values).cast()) })
    }

    /// [`own`](Self::own) for `len` values.
    ///
    /// # Safety
    /// As for [`own`](Self::own).
    pub(super) unsafe fn own_slice<T>(self, values: NonNull<T>, len: usize) {
        unsafe fn drop_values<T>(entry: NonNull<Entry>) {
            let slice = entry.cast::<OwnedSlice<T>>().as_ptr();
            // SAFETY: the entry was made by `own_slice` for this many values, which nobody has dropped.
            unsafe {
                let values = (&raw mut (*slice).values).cast::<T>();
                ptr::drop_in_place(ptr::slice_from_raw_parts_mut(values, (*slice).len));
            }
        }
        // SAFETY: the values lie behind an `OwnedSlice<T>`.
        unsafe {
            let slice = values.byte_sub(core::mem::offset_of!(OwnedSlice<T>, values)).cast::<OwnedSlice<T>>();
            (&raw mut (*slice.as_ptr()).len).write(len);
            self.list(slice.cast(), drop_values::<T>);
        }
    }

    /// Makes the memory at `entry` the newest entry.
    #[inline(always)]
    fn list(self, entry: NonNull<Entry>, drop: unsafe fn(NonNull<Entry>)) {
        // SAFETY: memory for an entry before a value of this context.
        unsafe { entry.write(Entry { older: self.dropped.get(), drop }) };
        self.dropped.set(Some(entry));
        self.count.set(self.count.get() + 1);
    }

    /// Room for `size` bytes, more than 0 and at most [`LARGEST_ROOM`], aligned to 16.
    ///
    /// # Errors
    /// [`AllocError`]: nothing has changed.
    #[inline(always)]
    pub(super) fn take_room(self, size: usize) -> Result<NonNull<u8>, AllocError> {
        if let Some(lists) = self.lists.get() {
            // SAFETY: cut for this context, and given up when that memory is.
            let list = unsafe { &lists.as_ref().0[room_class(size)] };
            if let Some(room) = list.get() {
                // SAFETY: what is on the list is free, and starts with the way to the next.
                list.set(unsafe { room.as_ref().next });
                return Ok(room.cast());
            }
        }
        // SAFETY: a power of two, and a size that is far from the largest.
        let layout = unsafe { Layout::from_size_align_unchecked(room_size(size), GRAIN) };
        self.cut(layout)
    }

    /// Takes room back.
    ///
    /// # Safety
    /// [`take_room`](Self::take_room) gave it for the same size, and nobody uses it any more.
    #[inline(always)]
    pub(super) unsafe fn give_room(self, at: NonNull<u8>, size: usize) {
        let Some(lists) = self.lists.get().or_else(|| self.make_lists()) else { return };
        // SAFETY: cut for this context, and given up when that memory is.
        let list = unsafe { &lists.as_ref().0[room_class(size)] };
        let room = at.cast::<Room>();
        // SAFETY: at least 16 bytes, which nobody uses.
        unsafe { room.write(Room { next: list.get() }) };
        list.set(Some(room));
    }

    /// Without memory for the lists the room is found again when the context is reset.
    #[cold]
    fn make_lists(self) -> Option<NonNull<Lists>> {
        let at = self.cut(Layout::new::<Lists>()).ok()?.cast::<Lists>();
        // SAFETY: memory for the lists.
        unsafe { at.write(Lists([const { Cell::new(None) }; ROOMS])) };
        self.lists.set(Some(at));
        Some(at)
    }

    /// Drops what is to be dropped, newest first; also what is added meanwhile.
    pub(super) fn drop_values(self) {
        unwind::contain(|| {
            while let Some(entry) = self.dropped.get() {
                // SAFETY: an entry on the list, which is taken off it before its value is dropped.
                unsafe {
                    self.dropped.set(entry.as_ref().older);
                    self.count.set(self.count.get() - 1);
                    (entry.as_ref().drop)(entry);
                }
            }
        });
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
        self.end.set(self.start.get());
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
