//! Address arithmetic: where things lie in a segment. Plain numbers, no memory is touched.
//!
//! ```text
//! segment (4 MiB, aligned to 4 MiB)
//! 0          64 KiB      128 KiB                                         4 MiB
//! ├ slice 0 ─┼─ slice 1 ─┼─ slice 2 ─┼─ …                     ┼─ slice 63 ─┤
//!   state,      spans: one or more slices each
//!   span descriptors, 64 bytes a slice, and,
//!   from 4 KiB on, their ties, 64 bytes a slice
//! ```
//! A descriptor lies at `segment + 64 * slice`, so that any address leads to the descriptor of its
//! slice by two masks and a shift. Slice 0 holds the descriptors and no span.

/// Bytes of a slice, and its alignment.
pub const SLICE: usize = 64 << 10;
/// Bytes of a segment, and its alignment.
pub const SEGMENT: usize = 4 << 20;
/// Slices of a segment, the first (descriptors) included.
pub const SLICES: usize = SEGMENT / SLICE;
/// Slices of a segment that spans can use.
pub const USABLE_SLICES: usize = SLICES - 1;
/// Bytes of a span descriptor.
pub const DESCRIPTOR: usize = 64;
/// Bytes from a descriptor to the span's ties: those lie behind all descriptors.
pub const TO_TIES: usize = SLICES * DESCRIPTOR;
/// Bits of a user address on the supported systems.
pub const ADDRESS_BITS: u32 = if cfg!(target_arch = "x86_64") { 47 } else { 48 };

/// The segment that `address` lies in.
#[inline]
pub const fn segment_base(address: usize) -> usize {
    address & !(SEGMENT - 1)
}

/// The number of the segment that `address` lies in, counted from address 0.
#[inline]
pub const fn segment_number(address: usize) -> usize {
    address / SEGMENT
}

/// Which slice of its segment `address` lies in.
#[inline]
pub const fn slice_index(address: usize) -> usize {
    (address / SLICE) % SLICES
}

/// Where the descriptor of the slice that `address` lies in is.
#[inline]
pub const fn descriptor_address(address: usize) -> usize {
    segment_base(address) + slice_index(address) * DESCRIPTOR
}

/// Where the slice whose descriptor lies at `descriptor` starts.
#[inline]
pub const fn slice_address(descriptor: usize) -> usize {
    segment_base(descriptor) + (descriptor % SEGMENT) / DESCRIPTOR * SLICE
}

/// Slices needed for `bytes`.
#[inline]
pub const fn slices_for(bytes: usize) -> usize {
    bytes.div_ceil(SLICE)
}

/// `value` rounded up to a multiple of `to`, a power of two; `None` when that does not fit.
#[inline]
pub const fn round_up(value: usize, to: usize) -> Option<usize> {
    match value.checked_add(to - 1) {
        Some(v) => Some(v & !(to - 1)),
        None => None,
    }
}

/// The first run of `n` clear bits in `used`, looking at bits `from..64`.
#[inline]
pub const fn find_run(used: u64, n: usize, from: usize) -> Option<usize> {
    let mut at = from;
    while at + n <= 64 {
        let rest = used >> at;
        let clear = if rest == 0 { 64 } else { rest.trailing_zeros() as usize };
        if clear >= n {
            return Some(at);
        }
        let set = (!(rest >> clear)).trailing_zeros() as usize;
        at += clear + set;
    }
    None
}

/// The bits `start..start + n`.
#[inline]
pub const fn run_mask(start: usize, n: usize) -> u64 {
    (if n >= 64 { u64::MAX } else { (1 << n) - 1 }) << start
}

/// Bits of a reciprocal times its slot size. So the reciprocal of a slot of more than 32 bytes has 32 itself.
const RECIPROCAL_BITS: u32 = 37;

/// For `slot_index`: the reciprocal of a slot size, more than 32.
#[inline]
pub const fn reciprocal(slot_size: usize) -> u32 {
    debug_assert!(slot_size > 32);
    (1u64 << RECIPROCAL_BITS).div_ceil(slot_size as u64) as u32
}

/// Which slot the byte at `offset` of a span lies in, by the reciprocal of the slot size.
/// Exact while offset times slot size stays below 2^37, as it does in a span of slots.
#[inline]
pub const fn slot_index(offset: usize, reciprocal: u32) -> usize {
    ((offset as u64 * reciprocal as u64) >> RECIPROCAL_BITS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptor_and_slice_are_inverse() {
        let base = 7 * SEGMENT;
        for slice in 1..SLICES {
            for inside in [0, 1, 48, SLICE - 1] {
                let address = base + slice * SLICE + inside;
                let descriptor = descriptor_address(address);
                assert_eq!(descriptor, base + slice * DESCRIPTOR);
                assert_eq!(slice_address(descriptor), base + slice * SLICE);
            }
        }
    }

    #[test]
    fn runs_are_found_first_fit_and_never_overlap_used_bits() {
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        for _ in 0..20_000 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let used = seed & seed.rotate_left(17) | 1;
            for n in [1, 2, 3, 8, 17, 63] {
                let found = find_run(used, n, 1);
                let plain = (1..=64 - n).find(|&at| used & run_mask(at, n) == 0);
                assert_eq!(found, plain, "used {used:#x} n {n}");
            }
        }
    }

    #[test]
    fn slot_index_is_exact_for_every_slot_size() {
        for class in 0..crate::mem::size::CLASSES {
            let slot = crate::mem::size::stride(class);
            let r = reciprocal(slot);
            let span = crate::mem::size::span_slices(class) * SLICE;
            assert_eq!(slot_index(span, r), span / slot);
            for i in 0..span / slot {
                assert_eq!(slot_index(i * slot, r), i);
                assert_eq!(slot_index(i * slot + slot - 1, r), i);
            }
        }
    }
}
