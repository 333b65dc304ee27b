//! The lock-free paths of tmempool, compiled a second time: the same files, with the types of the model
//! checker [loom] where the library has atomics. `tests/` runs them through every interleaving, and every
//! value that the memory model lets a load see.
//!
//! The files take their atomics from `mem::sync`, and their sleep from `mem::os`; those two modules are
//! replaced here.
#![allow(dead_code, reason = "not every function of a file takes part in a model")]

pub mod weaken;

/// What the library has under this name, as far as the lock-free paths use it.
pub mod mem {
    #[path = "../../../src/mem/geometry.rs"]
    mod geometry;
    #[path = "../../../src/mem/lock.rs"]
    pub mod lock;
    pub mod os;
    #[path = "../../../src/mem/owner.rs"]
    mod owner;
    #[path = "../../../src/mem/queue.rs"]
    pub mod queue;
    #[path = "../../../src/mem/remote.rs"]
    mod remote;
    #[path = "../../../src/mem/size.rs"]
    mod size;
    mod sync;

    pub mod heap;
    pub mod shared;
}
