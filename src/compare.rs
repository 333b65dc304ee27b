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
        let words = [!0, 0x8123_4567_89ab_cdef_u64, !0];
        let base: *const c_void = (&raw const words).cast();
        // SAFETY: words of that array.
        unsafe {
            assert!(is_at::<8>(base, words[1] as usize));
            assert!(is_at::<-8>(base.wrapping_byte_add(16), words[1] as usize));
            assert!(!is_at::<0>(base, words[1] as usize) && !is_at::<16>(base, words[1] as usize));
            assert_eq!(differs_at::<8>(base, 0x89ab_cdef), 0);
            assert_eq!(differs_at::<-4>(base.wrapping_byte_add(16), 0x8123_4567), 0);
            for bit in 0..64 {
                assert!(!is_at::<8>(base, (words[1] ^ 1 << bit) as usize), "{bit}");
            }
            for bit in 0..32 {
                assert_eq!(differs_at::<8>(base, 0x89ab_cdef ^ 1 << bit), 1 << bit);
            }
        }
    }
}
