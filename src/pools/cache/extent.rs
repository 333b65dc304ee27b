//! Where the objects of a slab lie, and which of them starts at an address.
//!
//! The distance from one object to the next is an odd number times a power of two. A product with the inverse of the odd
//! number (modulo 2^32), rotated by the power, maps 32 bits to 32 bits one to one, and the distance of object `i` from
//! the first one to `i`. So whatever is mapped to a number of an object is where that starts: one multiplication and one
//! compare say which it is, and that it is one.

use core::ptr::NonNull;

use crate::mem::geometry::SEGMENT;
use crate::mem::slab::Shape;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// Where the first object lies.
    pub(super) first: usize,
    /// Of the odd number. Odd, too.
    pub(super) inverse: u32,
    /// How many objects there are, times 256; and the power of two.
    pub(super) measure: u32,
}

const _: () = assert!(SEGMENT.ilog2() < 32, "a power and a distance fit");

impl Extent {
    /// The objects of a slab of this shape, from `first` on.
    pub(super) fn new(first: NonNull<u8>, shape: &Shape) -> Extent {
        let power = shape.stride.trailing_zeros();
        Extent {
            first: first.addr().get(),
            inverse: inverse((shape.stride >> power) as u32),
            measure: (shape.capacity as u32) << 8 | power,
        }
    }

    /// How far behind the first object `address` lies, if that may be in the slab at all.
    #[inline(always)]
    pub(super) fn distance(first: usize, address: usize) -> Option<u32> {
        let distance = address.wrapping_sub(first);
        (distance < SEGMENT).then_some(distance as u32)
    }

    /// The number of the object that starts at `distance` from the first one, if one does.
    #[inline(always)]
    pub(super) fn number(distance: u32, inverse: u32, measure: u32) -> Option<usize> {
        // Of how far it is rotated, only the lowest five bits count.
        let number = distance.wrapping_mul(inverse).rotate_right(measure);
        (number < measure >> 8).then_some(number as usize)
    }

    /// The number of the object that starts at `address`, if one does.
    pub(super) fn at(&self, address: NonNull<u8>) -> Option<usize> {
        let distance = Extent::distance(self.first, address.addr().get())?;
        Extent::number(distance, self.inverse, self.measure)
    }
}

/// What `odd` gives 1 with, modulo 2^32.
fn inverse(odd: u32) -> u32 {
    // Right in the lowest three bits; each step doubles how many are.
    (0..4).fold(odd, |inverse, _| inverse.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(inverse))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::slab::MAX_OBJECT;

    #[test]
    fn objects_are_told_from_all_other_addresses() {
        let first = NonNull::new(core::ptr::without_provenance_mut(0x7f00_1234_5640)).unwrap();
        let sizes = [8, 16, 24, 48, 64, 72, 304, 1000, 1056, 4096, 9000, 70_000, MAX_OBJECT / 2, MAX_OBJECT];
        for size in sizes {
            for align in [8, 64] {
                let shape = Shape::new(size, align, true).unwrap();
                let extent = Extent::new(first, &shape);
                let step = if cfg!(miri) { 1009 } else { 1 };
                for distance in (-70_000_isize..shape.bytes() as isize + 70_000).step_by(step) {
                    let i = distance.cast_unsigned() / shape.stride;
                    let is_object = distance >= 0
                        && distance.cast_unsigned().is_multiple_of(shape.stride)
                        && i < shape.capacity;
                    let address = NonNull::new(first.as_ptr().wrapping_offset(distance)).unwrap();
                    assert_eq!(extent.at(address), is_object.then_some(i), "{size} {distance}");
                }
            }
        }
    }
}
