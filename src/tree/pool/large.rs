//! Bare bytes that no block has room for: each from the heap by itself (with the malloc backend, from malloc), in a
//! list of its pool.
//!
//! ```text
//! ├ Large, 48 bytes ─┼ bare bytes … ┤
//! ```
//! The record is as long as a chunk's header and begins with 0, which is no tag: whoever takes the bytes for a
//! chunk's payload finds that there is none, and whoever walks over slots finds nothing either.

use core::cell::Cell;
use core::ptr::NonNull;

use crate::mem::shared::Shared;
use crate::process::{self, MODE_FILL};
use crate::tree::chunk::{Chunk, HEADER, POOL};
use crate::tree::store;

/// See the module.
#[repr(C, align(16))]
#[derive(Debug)]
struct Large {
    not_a_tag: u32,
    next: Cell<Option<NonNull<Large>>>,
    /// Bytes that were asked for.
    size: usize,
}

/// The bare bytes of a pool that lie in no block: the last thing in front of the header of its chunk, with every
/// backend.
#[repr(C, align(16))]
#[derive(Debug)]
pub(crate) struct Larges {
    newest: Cell<Option<NonNull<Large>>>,
    /// Bytes that they take, records included.
    weight: Cell<usize>,
}

/// Bytes of the list's head.
pub(crate) const LARGES: usize = size_of::<Larges>();

const _: () = assert!(LARGES == 16 && size_of::<Large>() <= HEADER);

impl Larges {
    pub(crate) const fn new() -> Larges {
        Larges { newest: Cell::new(None), weight: Cell::new(0) }
    }

    /// Those of `chunk`, which is a pool.
    pub(super) fn of_chunk(chunk: Chunk) -> &'static Larges {
        debug_assert!(chunk.has(POOL));
        // SAFETY: the list lies right before the header of each pool's chunk, for as long as that is there; all its
        // fields are cells.
        unsafe { chunk.address().sub(LARGES).cast::<Larges>().as_ref() }
    }

    /// `size` more bytes, less than 256 MiB, for a pool of the domain `home`.
    pub(super) fn take(&self, size: usize, home: Option<Shared>) -> Option<NonNull<u8>> {
        let at = store::take_raw(HEADER + size, home)?;
        let large = Large { not_a_tag: 0, next: Cell::new(self.newest.get()), size };
        // SAFETY: taken just now, and long enough for a header and the bytes.
        let bytes = unsafe {
            at.cast::<Large>().write(large);
            at.add(HEADER)
        };
        self.newest.set(Some(at.cast()));
        self.weight.set(self.weight.get() + HEADER + size);
        Some(bytes)
    }

    /// Gives back what was taken last.
    pub(super) fn take_back(&self) {
        let Some(newest) = self.newest.get() else { return };
        // SAFETY: what is in the list was taken by `take`, and is the pool's alone.
        unsafe {
            self.newest.set(newest.as_ref().next.get());
            self.weight.set(self.weight.get() - HEADER - newest.as_ref().size);
            store::give_raw(newest.cast());
        }
    }

    /// Gives all back.
    pub(super) fn give_back(&self) {
        if self.newest.get().is_some() {
            self.give_all();
        }
    }

    #[cold]
    fn give_all(&self) {
        while let Some(newest) = self.newest.get() {
            if process::mode() & MODE_FILL != 0 {
                // SAFETY: bytes behind a record of the list, which nobody uses any more.
                unsafe {
                    let bytes = newest.cast::<u8>().add(HEADER);
                    bytes.write_bytes(process::fill_byte(), newest.as_ref().size);
                }
            }
            self.take_back();
        }
    }

    /// Bytes that they take, records included.
    pub(super) fn weight(&self) -> usize {
        self.weight.get()
    }

    /// How many bytes there are, in how many pieces.
    pub(super) fn contents(&self) -> (usize, usize) {
        let first = self.newest.get();
        // SAFETY: as in `take_back`.
        let sizes = core::iter::successors(first, |large| unsafe { large.as_ref() }.next.get())
            .map(|large| unsafe { large.as_ref() }.size);
        sizes.fold((0, 0), |(bytes, count), size| (bytes + size, count + 1))
    }
}
