//! The header of a new child, written in as few stores as that takes.
//!
//! A processor keeps what has been stored until the lines are there that it goes to, in order, and has room for some
//! dozens. Where chunks lie strewn over more memory than its caches hold, a free waits for the lines of two siblings, and
//! how far the processor gets meanwhile is a matter of how many stores there are. So six words go in three.
//!
//! They are written in assembly, so that pointers stay pointers: a vector holds numbers. What watches a program's memory
//! as it is compiled would not see that; there, and on other processors, the words are stored one by one.

use core::cell::Cell;
use core::ffi::c_char;
use core::ptr::NonNull;

use super::chunk::{Chunk, Header, Tag};
use super::name::NameWord;
use super::newest::Newest;
use super::parent::Parent;

/// What is written.
pub(super) struct Fresh {
    pub(super) tag: u32,
    pub(super) size: u32,
    pub(super) parent: Chunk,
    /// The child of `parent` that was the first so far.
    pub(super) next: Option<Chunk>,
    pub(super) hints: Newest,
    pub(super) name: *const c_char,
}

impl Fresh {
    /// Writes the header at `at`, in pairs of words.
    ///
    /// # Safety
    /// `at` is memory for a header, which nobody else uses.
    #[inline(always)]
    pub(super) unsafe fn write(self, at: NonNull<Header>) {
        #[cfg(not(all(target_arch = "x86_64", target_feature = "sse2", not(miri), not(tmempool_watched))))]
        // SAFETY: the caller's.
        unsafe {
            self.write_words(at)
        };
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
                tag_and_size = in(reg) u64::from(self.tag) | u64::from(self.size) << 32,
                parent = in(reg) self.parent.address().as_ptr(),
                next = in(reg) self.next.map_or(core::ptr::null_mut(), |next| next.address().as_ptr()),
                hints = in(reg) self.hints.into_word(),
                name = in(reg) self.name,
                low = out(xmm_reg) _,
                high = out(xmm_reg) _,
                options(nostack, preserves_flags),
            );
        }
    }

    /// Writes the header at `at`, word by word: where the last user of that memory has just left it, the next look at it,
    /// which may come soon, waits less long.
    ///
    /// # Safety
    /// As for [`write`](Fresh::write).
    #[inline(always)]
    pub(super) unsafe fn write_words(self, at: NonNull<Header>) {
        // SAFETY: the caller's.
        unsafe {
            at.write(Header {
                tag: Tag::new(self.tag),
                size: Cell::new(self.size),
                parent: Parent::new(Some(self.parent)),
                next: Cell::new(self.next),
                prev: Cell::new(None),
                child: self.hints,
                name: NameWord::new(self.name),
            });
        }
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
        let [parent, next] = [parent, next].map(|at| unsafe { Chunk::create(at.cast(), 0x1200, 3) });
        let ways: [unsafe fn(Fresh, NonNull<Header>); 2] = [Fresh::write, Fresh::write_words];
        for way in ways {
            for (tag, size, next, name) in
                [(0xabcd_ef00, 0x8765_4321, Some(next), name), (0x100, 0, None, ptr::null())]
            {
                // SAFETY: as above.
                let header = unsafe {
                    new.write_bytes(0xff, 1);
                    way(Fresh { tag, size, parent, next, hints: Newest::none(), name }, new);
                    new.as_ref()
                };
                assert_eq!((header.tag.get(), header.size.get()), (tag, size));
                assert_eq!(header.parent.get(), Some(parent));
                assert_eq!((header.next.get(), header.prev.get()), (next, None));
                assert!(header.child.is_none());
                assert_eq!(header.name.held(), name);
            }
        }
    }
}
