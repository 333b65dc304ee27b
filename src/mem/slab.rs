//! Spans that are no heap's: slabs of equal objects that belong to a pool, and bare blocks.
//!
//! Of a slab this module knows where its objects lie, and whose it is; which of them are free, its owner
//! keeps in a record elsewhere. So an object is nothing but the user's bytes, any address leads to the slab
//! that it lies in, and a pointer that is not the start of an object is recognised.
//!
//! ```text
//! span (1 to 63 slices)
//! ├ colour ┼ object 0 ┼ object 1 ┼ … ┼ object n-1 ┼ rest ┤
//! ```

use core::ptr::NonNull;

use super::geometry::{SLICE, USABLE_SLICES};
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

/// A slab in use. Copies are handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlabRef(SpanRef);

impl SlabRef {
    /// A new slab of `owner`, which keeps `record` about it; its objects begin `first` bytes behind its
    /// start. `None` when there is no memory for it.
    pub fn take(owner: NonNull<()>, record: NonNull<()>, shape: &Shape, first: usize) -> Option<SlabRef> {
        debug_assert!(first + shape.capacity * shape.stride <= shape.bytes());
        segment::slab(owner, record, shape, first).map(SlabRef)
    }

    /// Gives the slab back: to the system at once, or for the next span.
    ///
    /// # Safety
    /// Nobody uses any of it.
    pub unsafe fn give_back(self, to_system: bool) {
        if to_system { segment::release_to_system(self.0) } else { segment::release(self.0) }
    }

    /// The slab that `address` lies in, if it lies in one. Any number can be asked about.
    #[inline(always)]
    pub fn of(address: usize) -> Option<SlabRef> {
        let span = span_of(address)?;
        (span.state() == State::Slab).then_some(SlabRef(span))
    }

    /// [`of`](SlabRef::of), if the slab belongs to `owner`, whom nothing but slabs belongs to.
    #[inline(always)]
    pub fn of_owner(address: usize, owner: NonNull<()>) -> Option<SlabRef> {
        let span = span_of(address)?;
        (span.heap().cast() == owner).then_some(SlabRef(span))
    }

    /// Whose it is.
    #[inline(always)]
    pub fn owner(self) -> NonNull<()> {
        self.0.heap().cast()
    }

    /// What the owner keeps about it.
    #[inline(always)]
    pub fn record(self) -> NonNull<()> {
        // SAFETY: a slab is made with a record, which does not change.
        unsafe { self.0.record().unwrap_unchecked() }
    }

    /// Which object starts at `address`, if one does.
    #[inline(always)]
    pub fn index(self, address: usize) -> Option<usize> {
        self.0.object_index(address)
    }

    /// Where the first object lies.
    #[inline]
    pub fn first(self) -> NonNull<u8> {
        // SAFETY: a place in a mapped segment.
        unsafe { NonNull::new_unchecked(self.0.first_object() as *mut u8) }
    }
}

#[inline(always)]
fn span_of(address: usize) -> Option<SpanRef> {
    if !segment::covers_quick(address & !15) && !covers_slow(address) {
        return None;
    }
    // SAFETY: the address lies in a mapped segment.
    let slice = unsafe { SpanRef::slice_of(address) };
    if slice.tag() == NO_TAG {
        return None;
    }
    // SAFETY: the slice belongs to a span in use.
    Some(unsafe { SpanRef::of(address) })
}

#[cold]
#[inline(never)]
fn covers_slow(address: usize) -> bool {
    segment::covers(address)
}

/// A block of at least `bytes` with a span of its own, for a user without contexts.
#[cold]
pub fn take_bare(bytes: usize) -> Option<NonNull<u8>> {
    let heap = threads::current()?;
    let (at, _) = heap.take_single(bytes)?;
    // SAFETY: taken just now.
    unsafe { SpanRef::of(at.addr().get()) }.set_state(State::Bare);
    Some(at)
}

/// Bytes of the bare block that starts at `address`, if one does. Any number can be asked about.
pub fn bare_bytes(address: usize) -> Option<usize> {
    let span = span_of(address)?;
    (span.state() == State::Bare && span.start() == address).then(|| span.len())
}

/// Gives back the bare block that starts at `address`. Says whether there was one.
///
/// # Safety
/// Nobody uses it any more.
#[cold]
pub unsafe fn give_bare(address: usize) -> bool {
    let Some(span) = span_of(address) else { return false };
    let found = span.state() == State::Bare && span.start() == address;
    if found {
        segment::release(span);
    }
    found
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
    fn an_object_is_known_by_its_start_alone() {
        let owner = NonNull::<u64>::dangling().cast();
        for (size, align) in [(8, 8), (24, 8), (100, 4), (1000, 64), (9000, 16), (70_000, 65536)] {
            let shape = Shape::new(size, align, true).unwrap();
            let first = (shape.colours - 1) * shape.colour_step;
            let slab = SlabRef::take(owner, owner, &shape, first).unwrap();
            let base = slab.first().addr().get();
            for i in 0..shape.capacity {
                let at = base + i * shape.stride;
                assert_eq!(SlabRef::of_owner(at, owner), Some(slab));
                assert_eq!(slab.index(at), Some(i));
                for inside in [1, 7, shape.stride / 2, shape.stride - 1] {
                    assert_eq!(slab.index(at + inside), None);
                    assert_eq!(SlabRef::of(at + inside), Some(slab));
                }
            }
            assert_eq!(slab.index(base + shape.capacity * shape.stride), None);
            assert_eq!(slab.index(base.wrapping_sub(shape.stride)), None);
            // SAFETY: nobody uses it.
            unsafe { slab.give_back(true) };
            assert_eq!(SlabRef::of(base), None);
        }
        assert_eq!(SlabRef::of(0), None);
        assert_eq!(SlabRef::of(usize::MAX), None);
    }
}
