//! The safe face of the crate: contexts, and what they own, as Rust has it.
//!
//! From the bottom up: `kind` says which values a context may own, `unwind` brings panics across the core,
//! `place` finds room for any alignment; `state` is what a context has beside its chunk; [`Context`] and
//! [`CtxBox`] are the handles.
//!
//! Soundness rests on four rules. Each value is tied by its lifetime to the borrow of the context that it
//! came from. What is dropped by a context is `'static`, so that a leaked handle harms nothing. A tree is
//! used by one thread at a time: handles are not `Sync`, and only a whole tree is ever `Send`. And the
//! tree is valid before any foreign code (a `drop`, a closure) runs.

#[cfg(feature = "std")]
mod allocator;
mod boxed;
#[cfg(feature = "std")]
mod cache;
mod child;
mod context;
#[cfg(feature = "std")]
mod destructor;
#[cfg(feature = "std")]
mod genpool;
#[cfg(feature = "global-alloc")]
mod global;
#[cfg(feature = "std")]
mod handle;
mod kind;
#[cfg(feature = "std")]
mod mempool;
mod place;
mod raw;
mod reference;
#[cfg(feature = "std")]
mod shared;
mod state;
#[cfg(feature = "std")]
mod string;
#[cfg(feature = "std")]
mod tree;
mod unwind;

pub use boxed::CtxBox;
#[cfg(feature = "std")]
pub use cache::{Cache, CacheBox};
pub use child::{Child, Pool};
pub use context::Context;
#[cfg(feature = "std")]
pub use destructor::{DestructorKey, Verdict};
#[cfg(feature = "std")]
pub use genpool::GenPool;
#[cfg(feature = "global-alloc")]
pub use global::{GlobalContext, global_report, with_context};
#[cfg(feature = "std")]
pub use handle::{Handle, HandleRef};
pub use kind::{Kind, Local, MovesTo, Owns, Sendable};
#[cfg(feature = "std")]
pub use mempool::{Mempool, MempoolBox};
pub use raw::RawError;
pub use reference::CtxRef;
#[cfg(feature = "std")]
pub use shared::{SharedContext, SharedGuard};
#[cfg(feature = "std")]
pub use string::{CtxString, CtxVec};
#[cfg(feature = "std")]
pub use tree::{Node, Report, Visitor, Walk};
