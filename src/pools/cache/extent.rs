//! Where the objects of a slab lie, and which of them starts at an address.
//!
//! The distance from one object to the next is an odd number times a power of two. A product with the inverse of the odd
//! number (modulo 2^64), rotated by the power, maps 64 bits to 64 bits one to one, and the distance of object `i` from
//! the first one to `i`. So whatever is mapped to a number of an object is where that starts: one multiplication and one
//! compare say which it is, and that it is one.

use core::ptr::NonNull;

use crate::mem::slab::Shape;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// What makes an address its distance from the first object, when it is added.
    pub(super) to_distance: usize,
    /// Of the odd number. Odd, too.
    pub(super) inverse: u64,
    /// Of two.
    pub(super) power: u32,
    /// How many objects there are.
    pub(super) capacity: u32,
}

impl Extent {
    /// The objects of a slab of this shape, from `first` on.
    pub(super) fn new(first: NonNull<u8>, shape: &Shape) -> Extent {
        let power = shape.stride.trailing_zeros();
        Extent {
            to_distance: first.addr().get().wrapping_neg(),
            inverse: inverse((shape.stride >> power) as u64),
            power,
            capacity: shape.capacity as u32,
        }
    }

    /// Where object `i` lies.
    pub(super) fn address(&self, i: usize, stride: usize) -> usize {
        (i * stride).wrapping_sub(self.to_distance)
    }

    /// The number of the object that starts at `address`, if one does; any number can be asked about.
    #[inline(always)]
    pub(super) fn at(&self, address: usize) -> Option<usize> {
        let distance = address.wrapping_add(self.to_distance) as u64;
        let number = distance.wrapping_mul(self.inverse).rotate_right(self.power);
        (number < u64::from(self.capacity)).then_some(number as usize)
    }
}

/// What `odd` gives 1 with, modulo 2^64.
fn inverse(odd: u64) -> u64 {
    // Right in the lowest three bits; each step doubles how many are.
    (0..5).fold(odd, |inverse, _| inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse))))
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
                    assert_eq!(extent.at(address.addr().get()), is_object.then_some(i), "{size} {distance}");
                }
            }
        }
    }
}
