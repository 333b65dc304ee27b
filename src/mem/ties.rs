//! The ties of a span: what has to do with other spans, or with other threads.
//!
//! They lie apart from the descriptor ([`geometry`](super::geometry)), in another page. Other threads write to them, and so
//! to no line that the owner looks at in each allocation. And a span that is one block needs none while its
//! owner has it: a segment of blocks has one page of descriptors, and the other one is never written to.
//!
//! Zeros are the ties of a span that has none.

use core::cell::Cell;
use core::ptr::NonNull;

use super::geometry::{DESCRIPTOR, TO_TIES};
use super::remote::{Mailed, Remote};
use super::span::{Span, SpanRef};

/// See the module.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Ties {
    /// The spans that it waits between: the owner's.
    pub(super) next: Cell<Option<SpanRef>>,
    pub(super) prev: Cell<Option<SpanRef>>,
    remote: Remote<Ties>,
}

const _: () = assert!(size_of::<Ties>() <= DESCRIPTOR && align_of::<Ties>() == DESCRIPTOR);

impl Mailed for Ties {
    fn remote(&self) -> &Remote<Ties> {
        &self.remote
    }
}

impl SpanRef {
    fn ties_at(self) -> NonNull<Ties> {
        debug_assert!(self.exists());
        // SAFETY: a descriptor in a mapped segment, and no stub: its ties lie in that segment, too.
        unsafe { self.as_non_null().byte_add(TO_TIES).cast() }
    }

    /// Its ties. It is a span, and does not stand for none.
    #[inline]
    pub(super) fn ties(&self) -> &Ties {
        // SAFETY: they were mapped, zeroed, with the descriptor, and live as long; all fields are cells or atomics.
        unsafe { self.ties_at().as_ref() }
    }

    /// The span that has been mailed.
    pub(super) fn from_mail(ties: NonNull<Ties>) -> SpanRef {
        // SAFETY: what is mailed are a span's ties; its descriptor lies before them.
        unsafe { SpanRef::from_descriptor(ties.byte_sub(TO_TIES).cast::<Span>()) }
    }

    /// What is put into a mailbox for it.
    pub(super) fn mail(self) -> NonNull<Ties> {
        self.ties_at()
    }

    /// Whether other threads have handed slots back.
    pub(super) fn has_remote(self) -> bool {
        !self.ties().remote.is_empty()
    }

    /// Looks for the last one of them. The process has one thread.
    pub(super) fn find_last_remote(self) {
        self.ties().remote.find_last();
    }
}
