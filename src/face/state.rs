//! What a context of this layer has beside its chunk: a block that values are cut from, and the list of
//! what is to be dropped.
//!
//! ```text
//! context's chunk:  header │ State │ name, NUL
//!                     ├ child: block  header │ free …………│ value │ value │ value │
//!                     │                       start      end     → older
//!                     ├ child: block, full
//!                     └ child: anything else: boxes, memory of collections, contexts
//! ```
//! Values are cut from a block's end downwards, without headers: `end` moves down to `start`. A value that
//! wants dropping has an [`Entry`] before it; the entries are a list, newest first. With the first one the
//! chunk gets a destructor ([`finish`]), which runs whoever frees the chunk: this layer, or a C program that
//! was given it.
//!
//! Invariants: `start..end` is free memory of `block`, or both are null; an entry on the list is followed by
//! a live value of its type; an entry is off the list before its value is dropped.

use core::alloc::Layout;
use core::cell::Cell;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::{self, NonNull};

use super::unwind;
use crate::error::AllocError;
use crate::ops;
use crate::tree::Chunk;
use crate::tree::chunk::{HEADER, MEMBER, POOL};

/// The name of a block of values.
const BLOCK_NAME: &CStr = c"values";
/// The name of the chunk of a value that is too large for a block.
const LARGE_NAME: &CStr = c"value";
/// Bytes of the first block, with its header.
const FIRST_BLOCK: usize = 512;
/// Bytes of the largest block, with its header: what a span can cut.
const LAST_BLOCK: usize = 32 << 10;
/// Values of this size, in bytes, or above have a chunk of their own.
const LARGE: usize = 8 << 10;

/// See the module.
#[repr(C)]
pub(super) struct State {
    end: Cell<*mut u8>,
    start: Cell<*mut u8>,
    dropped: Cell<Option<NonNull<Entry>>>,
    chunk: Chunk,
    block: Cell<Option<Chunk>>,
    /// Bytes of the next block, with its header.
    next_block: Cell<u32>,
    /// Whether the chunk that holds this has `finish` as its destructor.
    has_destructor: Cell<bool>,
    /// Values on the list, and bytes of values cut.
    count: Cell<usize>,
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

/// What [`Report`](super) and the tests want to know about the values of a context.
impl State {
    /// How many values wait to be dropped.
    pub(super) fn count(&self) -> usize {
        self.count.get()
    }

    /// The chunk of the context.
    #[inline(always)]
    pub(super) fn chunk(&self) -> Chunk {
        self.chunk
    }
}

/// Bytes of a context's payload with a name of `name_len` bytes.
pub(super) fn size_with_name(name_len: usize) -> Result<usize, AllocError> {
    name_len.checked_add(size_of::<State>() + 1).ok_or(AllocError::TooLarge)
}

impl StateRef {
    /// The state of the context whose chunk was made just now, with [`size_with_name`] bytes.
    ///
    /// # Safety
    /// As it says.
    pub(super) unsafe fn create(chunk: Chunk, name: &str) -> StateRef {
        let at = chunk.ptr().cast::<State>();
        let state = State {
            end: Cell::new(ptr::null_mut()),
            start: Cell::new(ptr::null_mut()),
            dropped: Cell::new(None),
            chunk,
            block: Cell::new(None),
            next_block: Cell::new(FIRST_BLOCK as u32),
            has_destructor: Cell::new(false),
            count: Cell::new(0),
            name_len: name.len(),
        };
        // SAFETY: the payload is the state's, with the name and its end behind it.
        unsafe {
            at.write(state);
            let text = at.add(1).cast::<u8>();
            text.copy_from_nonoverlapping(name.as_ptr(), name.len());
            text.add(name.len()).write(0);
            chunk.set_name(text.cast::<c_char>());
            StateRef(NonNull::new_unchecked(at))
        }
    }

    /// The state that a destructor was called for.
    ///
    /// # Safety
    /// `payload` is that of a chunk that holds a state.
    unsafe fn of_payload(payload: *mut c_void) -> StateRef {
        // SAFETY: a payload is not null.
        StateRef(unsafe { NonNull::new_unchecked(payload.cast()) })
    }

    /// The name, as it was given.
    pub(super) fn name<'a>(self) -> &'a str {
        // SAFETY: written by `create` behind the state, from a string; never changed.
        unsafe {
            let text = self.0.as_ptr().add(1).cast::<u8>();
            core::str::from_utf8_unchecked(core::slice::from_raw_parts(text, self.name_len))
        }
    }

    /// Memory for a value of `layout`, which lives as long as the context.
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

    #[inline(always)]
    fn cut_quick(self, layout: Layout) -> Option<NonNull<u8>> {
        let end = self.end.get();
        let free = end.addr() - self.start.get().addr();
        if layout.size() > free {
            return None;
        }
        let at = (end.addr() - layout.size()) & !(layout.align() - 1);
        if at < self.start.get().addr() {
            return None;
        }
        let at = end.with_addr(at);
        self.end.set(at);
        // Without a block both are null, and nothing but a size of 0 comes this far.
        NonNull::new(at)
    }

    #[cold]
    #[inline(never)]
    fn cut_slow(self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        if layout.size() == 0 {
            return Ok(NonNull::without_provenance(
                core::num::NonZero::new(layout.align()).unwrap_or(core::num::NonZero::<usize>::MIN),
            ));
        }
        // What the alignment may cost in a block, whose end is aligned to 16.
        let room = layout.size().checked_add(layout.align()).ok_or(AllocError::TooLarge)?;
        if room >= LARGE {
            // SAFETY: the context is alive, and this thread uses its tree.
            return unsafe { super::place::alloc(self.chunk, layout, LARGE_NAME.as_ptr()) };
        }
        let size = (self.next_block.get() as usize).max((room + HEADER).next_power_of_two()) - HEADER;
        match self.add_block(size) {
            Ok(()) => self.next_block.set(((size + HEADER) * 2).min(LAST_BLOCK) as u32),
            // Where memory is short, no more than what is needed.
            Err(_) if size > room => self.add_block(room.next_multiple_of(16))?,
            Err(error) => return Err(error),
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
        let start = block.ptr().cast::<u8>();
        self.block.set(Some(block));
        self.start.set(start);
        self.end.set(start.wrapping_add(block.size() & !15));
    }

    /// Gives the context's chunk its destructor, if it has none.
    #[inline(always)]
    pub(super) fn need_destructor(self) -> Result<(), AllocError> {
        if self.has_destructor.get() { Ok(()) } else { self.set_destructor() }
    }

    #[cold]
    fn set_destructor(self) -> Result<(), AllocError> {
        // SAFETY: the chunk that holds the state lives as long as the state does.
        unsafe {
            let holder = Chunk::of_payload(self.0.cast());
            ops::set_destructor(holder, Some(finish))?;
        }
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
        let at = self.cut(layout)?.cast::<OwnedSlice<T>>();
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
    pub(super) fn reset(self) {
        self.drop_values();
        let in_pool = self.chunk.has(MEMBER | POOL);
        let kept = self.block.take().filter(|_| !in_pool);
        self.start.set(ptr::null_mut());
        self.end.set(ptr::null_mut());
        // SAFETY: nobody borrows the context, so nobody has anything below it. The block has no children,
        // and is nobody's while it is out of the tree.
        unsafe {
            let kept = kept.filter(|&block| ops::steal(None, block).is_ok());
            let _ = ops::free_children(self.chunk, LOCATION.as_ptr());
            if let Some(block) = kept {
                // It came from there: there is neither a ring, nor a free in progress.
                let _ = ops::steal(Some(self.chunk), block);
                self.use_block(block);
            }
        }
    }
}

/// Where this layer frees, for those who look at a stale pointer.
pub(super) const LOCATION: &CStr = c"Context";

/// The destructor of a chunk that holds a state: the context is being freed.
unsafe extern "C" fn finish(payload: *mut c_void) -> c_int {
    // SAFETY: set on chunks that hold a state, which is alive until they are freed.
    let state = unsafe { StateRef::of_payload(payload) };
    state.drop_values();
    0
}
