//! What the size classes of a heap have borrowed. A class without a span takes its first slots from a class that is somewhat
//! larger and has one, most of a page together: so a heap with a few chunks touches no page for each of their sizes, of which
//! a process with a hundred threads has a hundred. Used by `heap`; the owner's alone.

use core::cell::Cell;

use super::size::{self, CLASSES, GRAIN};

/// So many times as large is the largest slot that is borrowed.
const MUCH_LARGER: usize = 4;
/// Bytes that a class borrows at most: less than a page of its own would take.
const LITTLE: usize = 3 << 10;

/// See the module. For each class in grains.
#[derive(Debug)]
pub(super) struct Borrowed([Cell<u8>; CLASSES]);

const _: () = assert!(LITTLE / GRAIN <= u8::MAX as usize);

impl Borrowed {
    pub(super) const fn new() -> Borrowed {
        Borrowed([const { Cell::new(0) }; CLASSES])
    }

    /// The class that lends `class`, which has no span, its next slot: the smallest that will do and `has_slots`. `None` if there
    /// is none, or `class` has borrowed enough.
    pub(super) fn lender(&self, class: usize, has_slots: impl Fn(usize) -> bool) -> Option<usize> {
        let most = MUCH_LARGER * size::slot_size(class);
        let mut larger = (class + 1..CLASSES).take_while(|&larger| size::slot_size(larger) <= most);
        let lender = larger.find(|&larger| has_slots(larger))?;
        let grains = usize::from(self.0[class].get()) + size::slot_size(lender) / GRAIN;
        if grains > LITTLE / GRAIN {
            return None;
        }
        self.0[class].set(grains as u8);
        Some(lender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::give;
    use crate::mem::heap::{self, HeapRef};
    use crate::mem::os;

    #[test]
    fn a_class_borrows_from_the_next_larger_one_until_it_is_worth_a_page() {
        let class = size::class_of;
        let borrowed = Borrowed::new();
        let has = |bytes: &'static [usize]| move |larger| bytes.iter().any(|&b| class(b) == larger);
        assert_eq!(borrowed.lender(class(64), has(&[])), None);
        assert_eq!(borrowed.lender(class(64), has(&[48, 64, 272])), None, "smaller, itself, and much larger");
        assert_eq!(borrowed.lender(class(64), has(&[128, 96])), Some(class(96)));
        let more = core::iter::from_fn(|| borrowed.lender(class(64), has(&[128]))).count();
        assert_eq!(more, (LITTLE - 96) / 128);
        assert_eq!(borrowed.lender(class(80), has(&[128])), Some(class(128)), "each for itself");
        assert_eq!(borrowed.lender(class(2048), has(&[4096])), None);
    }

    #[test]
    fn a_heap_lends_and_gets_back() {
        let heap = HeapRef::create(os::thread_pointer()).unwrap();
        let bytes_of = |(at, _): (core::ptr::NonNull<u8>, u32)| {
            // SAFETY: taken just now, and given back once.
            unsafe {
                let bytes = heap::bytes_of(at);
                give::give(at);
                bytes
            }
        };
        let take = |bytes: usize| bytes_of(heap.take(size::class_of(bytes)).unwrap());
        assert_eq!(take(128), 128);
        let first: std::vec::Vec<usize> = (0..100).map(|_| take(64)).collect();
        let borrowed = LITTLE / 128;
        assert!(first[..borrowed].iter().all(|&bytes| bytes == 128));
        assert!(first[borrowed..].iter().all(|&bytes| bytes == 64));
        heap.retire_empty_spans();
        // SAFETY: all that was taken has been given back.
        unsafe { heap.destroy() };
    }
}
