//! Chunks and how they hang together: headers, links, side records, pools, references, limits.
//! `store` is the one crossing to the memory below.

pub mod chunk;
pub(crate) mod domain;
mod fresh;
pub mod limit;
pub(crate) mod links;
pub mod meter;
pub(crate) mod name;
mod newest;
mod parent;
pub mod pool;
pub mod refs;
pub mod side;
pub mod sight;
pub(crate) mod store;
pub mod walk;

pub use chunk::Chunk;
pub use side::{Destructor, Finalizer, Limit};
