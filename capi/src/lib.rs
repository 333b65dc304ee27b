//! The C interface: the functions behind `talloc.h` and `tmempool.h`.
//!
//! Each function is a thin, plain `extern "C"` function over a verb of the core crate. What only C
//! knows exists only here: NULL, `errno`, log lines and the abort (in [`fault`] and [`hooks`]).
//! The functions with variable arguments are C, in `shim/`, because stable Rust cannot define
//! them; they come back to Rust through [`shim`].
//!
//! # The contract of every function
//! *Pointers.* A chunk pointer was given by this library and is still alive; NULL is allowed where
//! the function says so. Anything else is logged and aborts; where the user's abort function
//! returns, the call has no effect and gives NULL, 0 or -1. Strings end in NUL and are bytes in no
//! particular encoding. A name is kept as the pointer given, so that it must live as long as the
//! chunk; string literals do.
//!
//! *Memory.* Sizes are in bytes, without headers. A payload is aligned to 16 bytes. When memory is
//! refused the call gives NULL, sets `errno` to `ENOMEM` and changes nothing.
//!
//! *Threads.* Distinct trees may be used by distinct threads at once, and a tree may be handed
//! from one thread to another. One tree is used by one thread at a time. Functions that take no
//! chunk may be called from any thread.
//!
//! This contract is what the `// SAFETY: contract` comments of this crate appeal to.
#![no_std]
#![allow(clippy::missing_safety_doc, reason = "the contract is the same for all of them and stands above")]

// Stripped of unwinding, as the C libraries are built, the crate needs no std and brings its own
// panic handler. Test builds unwind, and take both from std.
#[cfg(panic = "unwind")]
extern crate std;

#[cfg(panic = "abort")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: abort has no preconditions.
    unsafe { libc::abort() }
}

mod drop_in;
mod exit_report;
mod fault;
mod handle_chunk;
mod handle_table;
mod life;
mod mapped;
mod opaque;
mod pointer;
mod shim;
mod text;
mod turn;

pub mod alloc;
pub mod array;
pub mod bare;
pub mod cache;
pub mod family;
pub mod free;
pub mod genpool;
pub mod growable;
pub mod handle;
pub mod hooks;
pub mod kmalloc;
pub mod layout;
pub mod limits;
pub mod mempool;
pub mod names;
pub mod own;
pub mod pool;
pub mod reference;
pub mod report;
pub mod roots;
pub mod shared;
pub mod size;
pub mod stats;
pub mod steal;
pub mod string;
pub mod types;
pub mod version;
