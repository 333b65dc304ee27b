//! The table behind handles: which slot stands for which chunk, in which generation.
//!
//! A handle is a slot's number and, above it, the generation in which the slot stands for one chunk. A
//! slot whose chunk is freed goes to the end of a queue and keeps the name and the place of the free until
//! it is taken anew; that happens only when more than [`REMEMBERED`] slots wait. Slots never move, and
//! short names lie in them, so that a chunk's name may lead into its slot.
//!
//! All of it is guarded by the lock in `process`, which a fork takes; it is never held while foreign code
//! runs. Who calls this: `handle.rs` alone.

use core::cell::Cell;
use core::ffi::{CStr, c_char, c_void};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering::Relaxed};
use tmempool::mem::lock::Held;
use tmempool::process;

/// How many freed slots are kept from being taken anew, at least.
const REMEMBERED: u32 = 16 * 1024;

/// Slots in the first block; each further one has twice as many.
const FIRST_BLOCK: u32 = 1024;

/// As many blocks as 32 bits can number slots for.
const BLOCK_COUNT: usize = 23;

/// Bytes of a name that lie in the slot, with the NUL.
const SHORT_NAME: usize = 24;

/// No slot.
const NONE: u32 = u32::MAX;

static BLOCKS: [AtomicPtr<Slot>; BLOCK_COUNT] = [const { AtomicPtr::new(ptr::null_mut()) }; BLOCK_COUNT];
/// Slots that have been taken at some time.
static TAKEN: AtomicU32 = AtomicU32::new(0);
/// The queue of those that wait, from the oldest to the newest.
static WAITING: AtomicU32 = AtomicU32::new(0);
static OLDEST: AtomicU32 = AtomicU32::new(NONE);
static NEWEST: AtomicU32 = AtomicU32::new(NONE);

/// One slot. Memory of zeros is one that was never taken.
#[repr(C)]
struct Slot {
    /// Of the present use, or of the last one; 0 before the first.
    generation: Cell<u32>,
    /// The next newer one in the queue.
    newer: Cell<u32>,
    /// The payload; null after its end.
    chunk: Cell<*mut c_void>,
    /// Where it was freed; null where that is not known.
    location: Cell<*const c_char>,
    /// A long name, from malloc(); null where the name is short.
    long_name: Cell<*mut c_char>,
    short_name: [Cell<u8>; SHORT_NAME],
    watch: Cell<Watch>,
}

const _: () = assert!(size_of::<Slot>() == 64);

/// Whether the watcher is to be asked before a chunk is freed.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Watch {
    /// It was never said that it is.
    Never,
    /// It was said once, and then that it is not.
    Unasked,
    /// It is.
    Asked,
}

/// What became of a handle's chunk.
pub(crate) enum Fate {
    /// It lives.
    Alive(*mut c_void),
    /// It was freed at this place, if that is known.
    Freed { location: *const c_char },
    /// It was freed so long ago, or never was.
    Unknown,
}

/// The table, held by this thread.
pub(crate) struct Table {
    _held: Held<'static>,
}

/// The slot that a handle stands for.
pub(crate) fn number_of(handle: u64) -> u32 {
    handle as u32
}

fn generation_of(handle: u64) -> u32 {
    (handle >> 32) as u32
}

/// The block that a slot lies in, and its place there.
fn place_of(number: u32) -> (usize, usize) {
    let shifted = u64::from(number) + u64::from(FIRST_BLOCK);
    let block = (shifted.ilog2() - FIRST_BLOCK.ilog2()) as usize;
    (block, (shifted - (u64::from(FIRST_BLOCK) << block)) as usize)
}

impl Table {
    /// Waits for the table.
    pub(crate) fn hold() -> Table {
        Table { _held: process::HANDLES.hold() }
    }

    fn slot(&self, number: u32) -> Option<&Slot> {
        if number >= TAKEN.load(Relaxed) {
            return None;
        }
        let (block, place) = place_of(number);
        let first = BLOCKS[block].load(Relaxed);
        // SAFETY: the block of a slot that was taken exists, for good, and has this place.
        Some(unsafe { &*first.add(place) })
    }

    /// The slot in the generation of `handle`, alive or not.
    fn of(&self, handle: u64) -> Option<&Slot> {
        self.slot(number_of(handle)).filter(|slot| slot.generation.get() == generation_of(handle))
    }

    /// What became of the chunk of `handle`.
    pub(crate) fn fate(&self, handle: u64) -> Fate {
        match self.of(handle) {
            None => Fate::Unknown,
            Some(slot) if slot.chunk.get().is_null() => Fate::Freed { location: slot.location.get() },
            Some(slot) => Fate::Alive(slot.chunk.get()),
        }
    }

    /// A new handle to `chunk`; None where there is no memory for it.
    pub(crate) fn take(&self, chunk: *mut c_void) -> Option<u64> {
        let number = if WAITING.load(Relaxed) > REMEMBERED { self.oldest() } else { self.fresh()? };
        let slot = self.slot(number)?;
        forget_long_name(slot);
        slot.generation.set(slot.generation.get() + 1);
        slot.chunk.set(chunk);
        slot.location.set(ptr::null());
        slot.short_name[0].set(0);
        slot.watch.set(Watch::Never);
        Some(handle_to(number, slot))
    }

    /// Takes the oldest slot out of the queue, which is not empty.
    fn oldest(&self) -> u32 {
        let number = OLDEST.load(Relaxed);
        let newer = self.slot(number).map_or(NONE, |slot| slot.newer.get());
        OLDEST.store(newer, Relaxed);
        if newer == NONE {
            NEWEST.store(NONE, Relaxed);
        }
        WAITING.store(WAITING.load(Relaxed) - 1, Relaxed);
        number
    }

    /// A slot that was never taken.
    fn fresh(&self) -> Option<u32> {
        let number = TAKEN.load(Relaxed);
        if number == NONE {
            return None;
        }
        let (block, _) = place_of(number);
        if BLOCKS[block].load(Relaxed).is_null() {
            let count = (FIRST_BLOCK as usize) << block;
            // SAFETY: any size may be asked for.
            let memory = unsafe { libc::calloc(count, size_of::<Slot>()) };
            BLOCKS[block].store(NonNull::new(memory)?.cast().as_ptr(), Relaxed);
        }
        TAKEN.store(number + 1, Relaxed);
        Some(number)
    }

    /// The end of the chunk that the slot `number` stands for: it was freed at `location`.
    pub(crate) fn retire(&self, number: u32, location: *const c_char) {
        let Some(slot) = self.slot(number) else { return };
        slot.chunk.set(ptr::null_mut());
        slot.location.set(location);
        if slot.generation.get() == u32::MAX {
            // No generation is left for it.
            return;
        }
        slot.newer.set(NONE);
        match self.slot(NEWEST.swap(number, Relaxed)) {
            Some(last) => last.newer.set(number),
            None => OLDEST.store(number, Relaxed),
        }
        WAITING.store(WAITING.load(Relaxed) + 1, Relaxed);
    }

    /// The handle that the slot `number` stands for at present, if it does.
    pub(crate) fn handle_at(&self, number: u32) -> Option<u64> {
        let slot = self.slot(number)?;
        (!slot.chunk.get().is_null()).then(|| handle_to(number, slot))
    }

    /// How many slots there are: all numbers are smaller.
    pub(crate) fn slots(&self) -> u32 {
        TAKEN.load(Relaxed)
    }

    /// Keeps a copy of `name` with `handle`, instead of the last one, until its slot is taken anew. None
    /// where there is no memory for it.
    ///
    /// # Safety
    /// Nothing uses the last one's copy any more.
    pub(crate) unsafe fn keep_name(&self, handle: u64, name: &CStr) -> Option<*const c_char> {
        let slot = self.of(handle)?;
        let bytes = name.to_bytes_with_nul();
        if bytes.len() <= SHORT_NAME {
            forget_long_name(slot);
            for (place, byte) in slot.short_name.iter().zip(bytes) {
                place.set(*byte);
            }
            return Some(slot.short_name.as_ptr().cast());
        }
        // SAFETY: a C string.
        let copy = NonNull::new(unsafe { libc::strdup(name.as_ptr()) })?;
        forget_long_name(slot);
        slot.long_name.set(copy.as_ptr());
        Some(copy.as_ptr())
    }

    /// The name that was kept last with `handle`; null where its slot has been taken anew.
    pub(crate) fn name(&self, handle: u64) -> *const c_char {
        match self.of(handle) {
            None => ptr::null(),
            Some(slot) if !slot.long_name.get().is_null() => slot.long_name.get(),
            Some(slot) => slot.short_name.as_ptr().cast(),
        }
    }

    /// Whether the watcher is to be asked before the chunk of the slot `number` is freed.
    pub(crate) fn watch(&self, number: u32) -> Watch {
        self.slot(number).map_or(Watch::Never, |slot| slot.watch.get())
    }

    /// Says whether it is.
    pub(crate) fn set_watch(&self, number: u32, watch: Watch) {
        if let Some(slot) = self.slot(number) {
            slot.watch.set(watch);
        }
    }
}

fn handle_to(number: u32, slot: &Slot) -> u64 {
    u64::from(slot.generation.get()) << 32 | u64::from(number)
}

fn forget_long_name(slot: &Slot) {
    let name = slot.long_name.replace(ptr::null_mut());
    // SAFETY: null, or from strdup() and nobody's any more: the callers' word.
    unsafe { libc::free(name.cast()) };
}

/// Gives the table's memory back, when the library is unloaded and nobody is in it.
pub(crate) fn unload() {
    TAKEN.store(0, Relaxed);
    for block in &BLOCKS {
        // SAFETY: null, or from calloc(); no slot is found any more.
        unsafe { libc::free(block.swap(ptr::null_mut(), Relaxed).cast()) };
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_COUNT, place_of};

    #[test]
    fn every_number_has_a_place_of_its_own() {
        assert_eq!(place_of(0), (0, 0));
        assert_eq!(place_of(1023), (0, 1023));
        assert_eq!(place_of(1024), (1, 0));
        assert_eq!(place_of(3071), (1, 2047));
        assert_eq!(place_of(3072), (2, 0));
        assert_eq!(place_of(u32::MAX - 1).0, BLOCK_COUNT - 1);
        for number in 0..100_000 {
            let (block, place) = place_of(number);
            assert!(place < 1024 << block);
        }
    }
}
