//! The header of a new child, written in as few stores as that takes.
//!
//! A processor keeps what has been stored until the lines are there that it goes to, in order, and has room for some
//! dozens. Where chunks lie strewn over more memory than its caches hold, a free waits for the lines of two siblings, and
//! how far the processor gets meanwhile is a matter of how many stores there are. So six words go in three.
//!
//! They are written in assembly, so that pointers stay pointers: a vector holds numbers. What watches a program's memory
//! as it is compiled would not see that; there, and on other processors, the words are stored one by one.

use core::ffi::c_char;
use core::ptr::NonNull;

use super::chunk::{Chunk, Header};
use super::newest::Newest;

/// Writes the header of a chunk of `size` bytes without children at `at`: that of the first child of `parent`, before
/// `next`.
///
/// # Safety
/// `at` is memory for a header, which nobody else uses.
#[inline(always)]
pub(super) unsafe fn write_child(
    at: NonNull<Header>,
    tag: u32,
    size: u32,
    parent: Chunk,
    next: Option<Chunk>,
    hints: Newest,
    name: *const c_char,
) {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2", not(miri), not(tmempool_watched)))]
    // SAFETY: the caller's: memory for the three pairs of words of a header (see `chunk`), aligned to 16; `prev` is null.
    unsafe {
        core::arch::asm!(
            "movq {low}, {tag_and_size}",
            "movq {high}, {parent}",
            "punpcklqdq {low}, {high}",
            "movdqa xmmword ptr [{at}], {low}",
            "movq {low}, {next}",
            "movdqa xmmword ptr [{at} + 16], {low}",
            "movq {low}, {hints}",
            "movq {high}, {name}",
            "punpcklqdq {low}, {high}",
            "movdqa xmmword ptr [{at} + 32], {low}",
            at = in(reg) at.as_ptr(),
            tag_and_size = in(reg) u64::from(tag) | u64::from(size) << 32,
            parent = in(reg) parent.address().as_ptr(),
            next = in(reg) next.map_or(core::ptr::null_mut(), |next| next.address().as_ptr()),
            hints = in(reg) hints.into_word(),
            name = in(reg) name,
            low = out(xmm_reg) _,
            high = out(xmm_reg) _,
            options(nostack, preserves_flags),
        );
    }
    #[cfg(not(all(target_arch = "x86_64", target_feature = "sse2", not(miri), not(tmempool_watched))))]
    // SAFETY: the caller's.
    unsafe {
        at.write(Header {
            tag: super::chunk::Tag::new(tag),
            size: core::cell::Cell::new(size),
            parent: super::parent::Parent::new(Some(parent)),
            next: core::cell::Cell::new(next),
            prev: core::cell::Cell::new(None),
            child: hints,
            name: super::name::NameWord::new(name),
        });
    }
}

#[cfg(test)]
mod tests {
    use core::mem::MaybeUninit;
    use core::ptr;

    use super::*;

    #[test]
    fn each_word_of_a_header_is_written() {
        let mut room = [const { MaybeUninit::<Header>::uninit() }; 3];
        let [parent, next, new] = room.each_mut().map(|header| NonNull::from_mut(header).cast::<Header>());
        let name = c"a name".as_ptr();
        // SAFETY: room for headers, which nobody else uses.
        unsafe {
            let [parent, next] = [parent, next].map(|at| Chunk::create(at.cast(), 0x1200, 3));
            new.write_bytes(0xff, 1);
            write_child(new, 0xabcd_ef00, 0x8765_4321, parent, Some(next), Newest::none(), name);
            let header = new.as_ref();
            assert_eq!((header.tag.get(), header.size.get()), (0xabcd_ef00, 0x8765_4321));
            assert_eq!(header.parent.get(), Some(parent));
            assert_eq!((header.next.get(), header.prev.get()), (Some(next), None));
            assert!(header.child.is_none());
            assert_eq!(header.name.held(), name);
            write_child(new, 0x100, 0, next, None, Newest::none(), ptr::null());
            assert_eq!((header.parent.get(), header.next.get()), (Some(next), None));
            assert!(header.name.held().is_null());
        }
    }
}
