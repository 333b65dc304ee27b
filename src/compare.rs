//! Words that are compared where they lie.
//!
//! What other threads may look at is an atomic, and of an atomic compilers make a register before they compare it: an
//! instruction more, and some bytes of code, which decide in how many lines of code the shortest functions lie
//! (`hint::behind`). Here the compare is written in assembly, but where what watches a program's memory as it is compiled
//! would not see it. Where the word has just been written, that is no gain (`docs/performance.md`).

use core::ffi::c_void;

/// Whether the word that lies `AT` bytes from `base` is `value`, read as by a relaxed load.
///
/// # Safety
/// The word is aligned, and can be read.
#[inline(always)]
pub(crate) unsafe fn is_at<const AT: isize>(base: *const c_void, value: usize) -> bool {
    #[cfg(all(target_arch = "x86_64", not(miri), not(tmempool_watched)))]
    {
        // SAFETY: the caller's.
        unsafe {
            core::arch::asm!(
                "cmp qword ptr [{base} + {AT}], {value}",
                "jne {other}",
                base = in(reg) base,
                value = in(reg) value,
                AT = const AT,
                other = label { return false },
                options(readonly, nostack),
            );
        }
        true
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri), not(tmempool_watched))))]
    {
        use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
        // SAFETY: the caller's.
        unsafe { AtomicUsize::from_ptr(base.wrapping_byte_offset(AT).cast_mut().cast()) }.load(Relaxed)
            == value
    }
}

/// In which bits the 32 that lie `AT` bytes from `base` are not those of `value`. They are read as by a relaxed load.
///
/// # Safety
/// As for [`is_at`].
#[inline(always)]
pub(crate) unsafe fn differs_at<const AT: isize>(base: *const c_void, value: u32) -> u32 {
    #[cfg(all(target_arch = "x86_64", not(miri), not(tmempool_watched)))]
    {
        let mut bits = value;
        // SAFETY: the caller's.
        unsafe {
            core::arch::asm!(
                "xor {bits:e}, dword ptr [{base} + {AT}]",
                bits = inout(reg) bits,
                base = in(reg) base,
                AT = const AT,
                options(pure, readonly, nostack),
            );
        }
        bits
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri), not(tmempool_watched))))]
    {
        use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
        // SAFETY: the caller's.
        value ^ unsafe { AtomicU32::from_ptr(base.wrapping_byte_offset(AT).cast_mut().cast()) }.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The word that is meant, and no other; whichever bit is another one.
    #[test]
    fn a_compare_is_that_of_the_word() {
        const WORD: isize = size_of::<usize>() as isize;
        let (word, half) = (0x8123_4567_89ab_cdef_usize, 0x89ab_cdef_u32);
        let (words, halves) = ([!0, word, !0], [!0, half, !0]);
        let (first, last): (*const c_void, *const c_void) =
            ((&raw const words[0]).cast(), (&raw const words[2]).cast());
        let (first_half, last_half): (*const c_void, *const c_void) =
            ((&raw const halves[0]).cast(), (&raw const halves[2]).cast());
        // SAFETY: words of these arrays.
        unsafe {
            assert!(is_at::<WORD>(first, word) && is_at::<{ -WORD }>(last, word));
            assert!(!is_at::<0>(first, word) && !is_at::<0>(last, word));
            assert_eq!(differs_at::<4>(first_half, half), 0);
            assert_eq!(differs_at::<-4>(last_half, half), 0);
            assert_eq!(differs_at::<0>(first_half, half), !half);
            for bit in 0..usize::BITS {
                assert!(!is_at::<WORD>(first, word ^ 1 << bit), "{bit}");
            }
            for bit in 0..u32::BITS {
                assert_eq!(differs_at::<4>(first_half, half ^ 1 << bit), 1 << bit);
            }
        }
    }
}
