//! Spans that are no heap's: slabs of equal objects that belong to a pool, and bare blocks.
//!
//! What lies where in a slab, its owner keeps in a record elsewhere. So an object is nothing but the user's
//! bytes, and any address that lies in a slab leads to its record, by way of the slice's descriptor.
//!
//! ```text
//! span (1 to 63 slices)
//! ├ colour ┼ object 0 ┼ object 1 ┼ … ┼ object n-1 ┼ rest ┤
//! ```

use core::ptr::NonNull;

use super::geometry::{SLICE, USABLE_SLICES};
use super::here::Change;
use super::segment;
use super::span::{NO_TAG, SpanRef, State};
use super::threads;

/// The smallest object, in bytes: fewer than 2^16 of them lie in a slab.
pub const MIN_OBJECT: usize = 8;
/// The largest alignment of objects, in bytes.
pub const MAX_ALIGN: usize = SLICE;
/// The largest object, in bytes.
pub const MAX_OBJECT: usize = USABLE_SLICES * SLICE;

/// Bytes of a line of the processor's caches, and the step between colours.
pub const LINE: usize = 64;
/// Objects larger than this have slabs of several slices.
const ONE_SLICE: usize = SLICE / 8;

/// How the slabs of a pool are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bytes from one object to the next.
    pub stride: usize,
    /// Slices of a slab.
    pub slices: usize,
    /// Objects in a slab.
    pub capacity: usize,
    /// How many places there are for the first object.
    pub colours: usize,
    /// Bytes from one such place to the next.
    pub colour_step: usize,
}

impl Shape {
    /// Slabs of objects of `size` bytes at multiples of `align`, a power of two. If they are to have
    /// `colours`, a little room may be given up for them. `None` when such an object is too large.
    pub fn new(size: usize, align: usize, coloured: bool) -> Option<Shape> {
        if size > MAX_OBJECT || align > MAX_ALIGN {
            return None;
        }
        let stride = size.max(MIN_OBJECT).next_multiple_of(align);
        let least = if stride <= ONE_SLICE { 1 } else { 7 };
        let wastes_little = |slices: &usize| {
            let bytes = slices * SLICE;
            bytes >= stride && bytes % stride <= bytes / 8
        };
        // A span of all slices holds what nothing smaller does.
        let slices = (least..=USABLE_SLICES).find(wastes_little).unwrap_or(USABLE_SLICES);
        let mut capacity = slices * SLICE / stride;
        let colour_step = LINE.max(align);
        let mut colours = 1;
        if coloured {
            let wanted = 7 * colour_step;
            let rest = slices * SLICE - capacity * stride;
            let given_up = wanted.saturating_sub(rest).div_ceil(stride);
            if given_up <= capacity / 64 {
                capacity -= given_up;
            }
            colours = (slices * SLICE - capacity * stride) / colour_step + 1;
        }
        Some(Shape { stride, slices, capacity, colours, colour_step })
    }

    /// Bytes of a slab.
    pub fn bytes(&self) -> usize {
        self.slices * SLICE
    }
}

/// A new slab, of which the caller keeps `record`: where it starts. `None` when there is no memory for it.
pub fn take(record: NonNull<()>, shape: &Shape) -> Option<NonNull<u8>> {
    NonNull::new(segment::slab(record, shape.slices)?.start() as *mut u8)
}

/// Gives the slab back that starts at `start`: to the system at once, or for the next span.
///
/// # Safety
/// It came from [`take`], and nobody uses any of it.
pub unsafe fn give_back(start: NonNull<u8>, to_system: bool) {
    // SAFETY: the caller's.
    let span = unsafe { SpanRef::of(start.addr().get()) };
    span.end_slab();
    if to_system { segment::release_to_system(span) } else { segment::release(span) }
}

/// The record of the slab that `address` lies in, if it lies in one. Any number can be asked about.
#[inline]
pub fn record_of(address: usize) -> Option<NonNull<()>> {
    if !segment::covers(address) {
        return None;
    }
    // SAFETY: the address lies in a mapped segment.
    let slice = unsafe { SpanRef::slice_of(address) };
    (slice.state() == State::Slab).then(|| slice.heap().cast())
}

/// [`record_of`] for what is known to lie in a slab.
///
/// # Safety
/// It does.
#[inline(always)]
pub unsafe fn record_at(address: usize) -> NonNull<()> {
    // SAFETY: the caller's.
    unsafe { SpanRef::slice_of(address) }.heap().cast()
}

/// A block of at least `bytes` with a span of its own, for a user without contexts.
#[cold]
pub fn take_bare(bytes: usize) -> Option<NonNull<u8>> {
    let _change = Change::begin();
    let heap = threads::current()?;
    let (at, _) = heap.take_single(bytes)?;
    // SAFETY: taken just now.
    unsafe { SpanRef::of(at.addr().get()) }.set_state(State::Bare);
    Some(at)
}

/// Bytes of the bare block that starts at `address`, if one does. Any number can be asked about.
pub fn bare_bytes(address: usize) -> Option<usize> {
    bare(address).map(|span| span.len())
}

/// Gives back the bare block that starts at `address`. Says whether there was one.
///
/// # Safety
/// Nobody uses it any more.
#[cold]
pub unsafe fn give_bare(address: usize) -> bool {
    let _change = Change::begin();
    let block = bare(address);
    if let Some(span) = block {
        segment::release(span);
    }
    block.is_some()
}

fn bare(address: usize) -> Option<SpanRef> {
    if !segment::covers(address) {
        return None;
    }
    // SAFETY: the address lies in a mapped segment.
    let slice = unsafe { SpanRef::slice_of(address) };
    if slice.tag() == NO_TAG {
        return None;
    }
    // SAFETY: the slice belongs to a span in use.
    let span = unsafe { SpanRef::of(address) };
    (span.state() == State::Bare && span.start() == address).then_some(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_hold_together() {
        let aligns = (3..=16).map(|bit| 1usize << bit);
        for align in aligns {
            for size in (1..2000).chain((2000..70_000).step_by(997)).chain([MAX_OBJECT / 2, MAX_OBJECT]) {
                for coloured in [false, true] {
                    let shape = Shape::new(size, align, coloured).unwrap();
                    assert!(shape.stride >= size && shape.stride.is_multiple_of(align), "{shape:?}");
                    assert!((1..=u16::MAX as usize).contains(&shape.capacity), "{size} {shape:?}");
                    let last = (shape.colours - 1) * shape.colour_step;
                    assert!(last + shape.capacity * shape.stride <= shape.bytes(), "{size} {shape:?}");
                    assert!(shape.slices <= USABLE_SLICES);
                }
            }
        }
        assert_eq!(Shape::new(MAX_OBJECT + 1, 8, false), None);
        assert!(Shape::new(64, 8, true).unwrap().colours >= 8);
        assert_eq!(Shape::new(64, 8, false).unwrap().capacity, SLICE / 64);
    }

    #[test]
    fn an_address_in_a_slab_leads_to_its_record() {
        let record = NonNull::<u64>::dangling().cast();
        for size in [8, 9000, 70_000, MAX_OBJECT] {
            let shape = Shape::new(size, 8, false).unwrap();
            let start = take(record, &shape).unwrap();
            let base = start.addr().get();
            for at in (base..base + shape.bytes()).step_by(4095) {
                assert_eq!(record_of(at), Some(record));
            }
            // SAFETY: nobody uses it.
            unsafe { give_back(start, size > 10_000) };
            assert!((base..base + shape.bytes()).step_by(4095).all(|at| record_of(at).is_none()));
        }
        assert_eq!(record_of(0), None);
        assert_eq!(record_of(usize::MAX), None);
    }

    #[test]
    fn a_bare_block_is_known_by_its_start_alone() {
        for bytes in [1 << 16, 1 << 20, 9 << 20] {
            let at = take_bare(bytes).unwrap().addr().get();
            assert!(bare_bytes(at).is_some_and(|has| has >= bytes));
            assert_eq!((bare_bytes(at + 1), bare_bytes(at + SLICE)), (None, None));
            // SAFETY: nobody uses it.
            unsafe {
                assert!(!give_bare(at + SLICE));
                assert!(give_bare(at));
                assert!(!give_bare(at));
            }
        }
    }
}
