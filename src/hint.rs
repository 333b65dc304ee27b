//! What the compiler is told that it cannot know.

/// Says that it is not often here, or that here is the longer way anyway.
#[cold]
pub(crate) const fn seldom() {}

/// Comes before a call that is the last thing on a way that is seldom gone: keeps a place for that call behind the other way.
/// Without it compilers lead there by a jump of six bytes from each place, instead of two.
///
/// Functions begin at multiples of 64 bytes, and each 64 bytes that a call runs through may take a cycle more: worth it
/// where a call takes ten or twenty, and fits into less by it (`docs/performance.md`).
#[inline(always)]
pub fn behind() {
    #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
    // SAFETY: no instruction at all.
    unsafe {
        core::arch::asm!("", options(nomem, nostack, preserves_flags));
    }
}
