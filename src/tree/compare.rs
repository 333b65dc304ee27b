//! Two words of a header, compared where they lie: its tag with that of a span, and its name.
//!
//! Both may be looked at by threads that have no right to the chunk, so they are atomics. Of an atomic, compilers make a register
//! first: one more instruction in each check of a pointer, and two or three bytes more, which decide whether the shortest
//! functions fit into one line of code (`docs/performance.md`). So the compares are written in assembly, but where what
//! watches a program's memory as it is compiled would not see them.

use core::ffi::{c_char, c_void};
use core::mem::offset_of;

use super::chunk::{HEADER, Header};

/// How far before the payload the tag lies.
const TAG: usize = HEADER - offset_of!(Header, tag);
/// How far before the payload the name lies.
const NAME: usize = HEADER - offset_of!(Header, name);

/// In which bits the tag before `payload` is not `tag`.
///
/// # Safety
/// Before `payload`, which is aligned as one, is memory that can be read.
#[inline(always)]
pub(super) unsafe fn tag_differs(payload: *const c_void, tag: u32) -> u32 {
    #[cfg(all(target_arch = "x86_64", not(miri), not(tmempool_watched)))]
    {
        let mut bits = tag;
        // SAFETY: the caller's; an aligned word is read as by an atomic load.
        unsafe {
            core::arch::asm!(
                "xor {bits:e}, dword ptr [{payload} - {TAG}]",
                bits = inout(reg) bits,
                payload = in(reg) payload,
                TAG = const TAG,
                options(pure, readonly, nostack),
            );
        }
        bits
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri), not(tmempool_watched))))]
    // SAFETY: the caller's.
    unsafe {
        (*header(payload)).tag.peek() ^ tag
    }
}

/// Whether the word for the name before `payload` is `name`; null where there is none.
///
/// # Safety
/// As for [`tag_differs`].
#[inline(always)]
pub(super) unsafe fn name_is(payload: *const c_void, name: *const c_char) -> bool {
    #[cfg(all(target_arch = "x86_64", not(miri), not(tmempool_watched)))]
    {
        // SAFETY: as in `tag_differs`.
        unsafe {
            core::arch::asm!(
                "cmp qword ptr [{payload} - {NAME}], {name}",
                "jne {other}",
                payload = in(reg) payload,
                name = in(reg) name,
                NAME = const NAME,
                other = label { return false },
                options(readonly, nostack),
            );
        }
        true
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri), not(tmempool_watched))))]
    // SAFETY: the caller's.
    unsafe {
        (*header(payload)).name.held() == name
    }
}

#[cfg(any(test, not(all(target_arch = "x86_64", not(miri), not(tmempool_watched)))))]
fn header(payload: *const c_void) -> *const Header {
    payload.wrapping_byte_sub(HEADER).cast()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same as by the words themselves, whichever bit is another one.
    #[test]
    fn compares_are_those_of_the_words() {
        let mut memory = [const { core::mem::MaybeUninit::<Header>::zeroed() }; 2];
        let payload: *const c_void = (&raw mut memory[1]).cast();
        let (tag, name) = (0x89ab_cdef, 0x7123_4567_89ab_cdef_usize);
        // SAFETY: zeros are a header; it lies right before the payload.
        unsafe {
            let it = memory[0].assume_init_ref();
            it.tag.set(tag);
            it.name.set(core::ptr::without_provenance(name));
            assert!(core::ptr::eq(header(payload), it));
            assert_eq!(tag_differs(payload, tag), 0);
            assert!(name_is(payload, it.name.held()));
            for bit in 0..usize::BITS {
                assert!(!name_is(payload, core::ptr::without_provenance(name ^ 1 << bit)), "{bit}");
            }
            for bit in 0..u32::BITS {
                assert_eq!(tag_differs(payload, tag ^ 1 << bit), 1 << bit);
            }
            assert!(!name_is(payload, core::ptr::null()));
            it.name.clear();
            assert!(name_is(payload, core::ptr::null()));
        }
    }
}
