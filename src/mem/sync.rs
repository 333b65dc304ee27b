//! What threads meet on: the atomics, and the cells that they pass to each other by them.
//!
//! The lock-free paths (`owner`, `remote`, [`lock`](super::lock)) take them from here and from nowhere
//! else, so that `proofs/` can compile the same files with the types of a model checker in this module's
//! place.

pub(super) use core::cell::Cell;
pub(super) use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering, fence};

/// How often a thread looks at a word before it sleeps.
pub(super) const SPINS: usize = 64;
