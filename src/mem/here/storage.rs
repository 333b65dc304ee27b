//! The words in thread-local storage, at a fixed distance from the thread pointer.
//!
//! In each function, what comes before it in the program stays before what it writes, and what comes after, after it: the
//! compiler takes it that all memory may be read and written there.

use core::arch::{asm, global_asm};

use super::{MARK, NO_HEAP};

// Two words, first the one that says where a change may begin, then the own heap, of the thread-local storage that threads
// have from the beginning ("initial exec"). Hidden: each library that is made of this has its own.
global_asm!(
    ".pushsection .tdata.tmempool_here,\"awT\",@progbits",
    ".hidden tmempool_here",
    ".globl tmempool_here",
    ".type tmempool_here, @object",
    ".size tmempool_here, 16",
    ".balign 16",
    "tmempool_here: .quad {no_heap}, {no_heap}",
    ".popsection",
    no_heap = const NO_HEAP,
);

/// Where they lie, from the thread pointer.
#[inline(always)]
fn offset() -> usize {
    let offset: usize;
    // SAFETY: reads a word that the loader has set for good.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(
            "mov {}, qword ptr [rip + tmempool_here@GOTTPOFF]",
            out(reg) offset,
            options(pure, nomem, nostack, preserves_flags)
        );
        #[cfg(target_arch = "aarch64")]
        asm!(
            "adrp {0}, :gottprel:tmempool_here",
            "ldr {0}, [{0}, :gottprel_lo12:tmempool_here]",
            out(reg) offset,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    offset
}

/// In which heap a change may begin.
#[inline(always)]
pub(super) fn place() -> usize {
    read::<0>()
}

/// The calling thread's own heap.
#[inline(always)]
pub(super) fn own() -> usize {
    read::<8>()
}

/// The word at `AT` of the two.
#[inline(always)]
fn read<const AT: usize>() -> usize {
    let word: usize;
    // SAFETY: reads a word of the calling thread's alone.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(
            "mov {}, qword ptr fs:[{} + {at}]",
            out(reg) word,
            in(reg) offset(),
            at = const AT,
            options(readonly, nostack, preserves_flags)
        );
        #[cfg(target_arch = "aarch64")]
        asm!(
            "mrs {0}, tpidr_el0",
            "add {0}, {0}, {1}",
            "ldr {0}, [{0}, {at}]",
            out(reg) word,
            in(reg) offset(),
            at = const AT,
            options(readonly, nostack, preserves_flags)
        );
    }
    word
}

/// A change begins.
#[inline(always)]
pub(super) fn mark() {
    // SAFETY: writes a word of the calling thread's alone.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(
            "mov qword ptr fs:[{}], {mark}",
            in(reg) offset(),
            mark = const MARK,
            options(nostack, preserves_flags)
        );
        #[cfg(target_arch = "aarch64")]
        asm!(
            "mrs {0}, tpidr_el0",
            "str {2}, [{0}, {1}]",
            out(reg) _,
            in(reg) offset(),
            in(reg) MARK,
            options(nostack, preserves_flags)
        );
    }
}

/// A change ends. All in one, so that no register need be kept for it.
#[inline(always)]
pub(super) fn unmark() {
    // SAFETY: reads and writes words of the calling thread's alone.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(
            "mov {0}, qword ptr [rip + tmempool_here@GOTTPOFF]",
            "mov {1}, qword ptr fs:[{0} + 8]",
            "mov qword ptr fs:[{0}], {1}",
            out(reg) _,
            out(reg) _,
            options(nostack, preserves_flags)
        );
        #[cfg(target_arch = "aarch64")]
        asm!(
            "adrp {0}, :gottprel:tmempool_here",
            "ldr {0}, [{0}, :gottprel_lo12:tmempool_here]",
            "mrs {1}, tpidr_el0",
            "add {0}, {0}, {1}",
            "ldr {1}, [{0}, 8]",
            "str {1}, [{0}]",
            out(reg) _,
            out(reg) _,
            options(nostack, preserves_flags)
        );
    }
}

/// The calling thread's own heap is this.
pub(super) fn set_own(word: usize) {
    // SAFETY: writes a word of the calling thread's alone.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(
            "mov qword ptr fs:[{} + 8], {}",
            in(reg) offset(),
            in(reg) word,
            options(nostack, preserves_flags)
        );
        #[cfg(target_arch = "aarch64")]
        asm!(
            "mrs {0}, tpidr_el0",
            "add {0}, {0}, {1}",
            "str {2}, [{0}, 8]",
            out(reg) _,
            in(reg) offset(),
            in(reg) word,
            options(nostack, preserves_flags)
        );
    }
}
