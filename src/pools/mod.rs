//! The kernel's memory pools, in user space.
//!
//! Each is a [`resident`]: a chunk of a tree whose payload is the pool's state, and which holds memory
//! outside the tree. It shows in reports under its name, moves and dies with its parent, and is reached by
//! the pointer to its payload, which is recognised like a chunk's.
//!
//! Residents may be used by any number of threads at once; only making one and destroying one change the
//! tree, and are bound to the tree's rule of one thread at a time. Functions of the user (constructors,
//! sources, callbacks) are foreign code: no lock is held while one runs.

mod books;
pub mod cache;
pub mod genpool;
pub mod kmalloc;
pub mod mempool;
pub mod notice;
pub mod resident;
mod table;
