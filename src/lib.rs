//! Memory with owners: a hierarchical context allocator.
//!
//! Every allocation (a *chunk*) has a parent; freeing a chunk frees the tree below it. Pools serve
//! their descendants from a fixed buffer and overflow to the heap. `src/README.md` is the map of
//! the layers; the C interface (`talloc.h`) stands on the verbs in [`ops`].
//!
//! # Glossary
//! One word for each thing, everywhere:
//! - **segment**: 4 MiB of address space, aligned to its size, cut into 64 slices of 64 KiB.
//! - **span**: a run of slices with one use: slots of one size, or a single large block.
//! - **slot**: one of a span's equal pieces; what the heap hands out.
//! - **heap**: a thread's spans, one list for each size class.
//! - **chunk**: a header of 48 bytes with its payload behind it; what a caller's pointer leads to.
//! - **pool**: a chunk that serves its descendants from a buffer of its own.
//! - **block**: a piece of memory that a pool cuts members from: its buffer, or an overflow.
//! - **member**: a chunk that lies in a block of a pool.
//! - **reference**: a hidden child that keeps another chunk alive.
//! - **resident**: what lives in a tree as a chunk and holds memory outside it: a cache, a mempool, a
//!   genpool.
//! - **range**: addresses that the user has given to a genpool to manage, in **granules** of a power of two.
//! - **element**: what a mempool gives out: anything that its source makes.
#![no_std]
#![cfg_attr(feature = "nightly", feature(allocator_api))]

#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod error;
#[doc(hidden)]
pub mod face;
pub mod mem;
pub mod offsets;
pub mod ops;
pub mod pools;
pub mod process;
pub mod report;
pub mod tree;

pub use error::AllocError;
pub use error::Fault;
#[cfg(feature = "std")]
pub use face::{
    Cache, CacheBox, CtxString, CtxVec, DestructorKey, GenPool, Handle, HandleRef, Mempool, MempoolBox, Node,
    Report, SharedContext, SharedGuard, Verdict, Visitor, Walk,
};
pub use face::{Child, Context, CtxBox, CtxRef, Kind, Local, Pool, RawError, Sendable};
#[cfg(feature = "global-alloc")]
pub use face::{GlobalContext, global_report, with_context};
#[cfg(feature = "std")]
pub use pools::{
    cache::Stats,
    genpool::{AddError, Algo, PlaceError, RangeInfo, ReleaseError},
    mempool::Failure,
};
pub use tree::Limit;
