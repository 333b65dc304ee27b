//! The word in a header that says who the parent is.
//!
//! It is the one link of a chunk that a thread may look at while another changes it: when null tracking ends, all
//! children of the null context lose their parent, whoever's they are. What is read then is the null context or
//! nothing: who reads the null context takes the lock of its list and looks again (`links`), and who reads nothing
//! comes after the one who took the chunk out of the list, and may link it elsewhere.

use core::ptr::{self, NonNull};
use core::sync::atomic::{
    AtomicPtr,
    Ordering::{Acquire, Release},
};

use super::chunk::{Chunk, Header};

/// See the module.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct Parent(AtomicPtr<Header>);

impl Parent {
    #[inline(always)]
    pub(super) fn new(parent: Option<Chunk>) -> Parent {
        Parent(AtomicPtr::new(raw(parent)))
    }

    /// The parent.
    #[inline(always)]
    pub(crate) fn get(&self) -> Option<Chunk> {
        // SAFETY: a header is made to have a live parent only, and a parent's end is told to its children, but
        // for the null context, which outlives its use.
        NonNull::new(self.0.load(Acquire)).map(|header| unsafe { Chunk::from_header(header) })
    }

    #[inline(always)]
    pub(crate) fn set(&self, parent: Option<Chunk>) {
        self.0.store(raw(parent), Release);
    }
}

#[inline(always)]
fn raw(parent: Option<Chunk>) -> *mut Header {
    parent.map_or(ptr::null_mut(), |chunk| chunk.address().cast().as_ptr())
}
