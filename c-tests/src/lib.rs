//! C programs that ask the C library questions, and the runner that asks them.
//!
//! - `programs/` prints traces. `tests/differential.rs` runs each with talloc and
//!   with tmempool and wants the same bytes; `golden/` keeps talloc's answers for
//!   machines without it.
//! - `ours/` checks what tmempool does where talloc would crash, leak or hang
//!   (`tests/ours.rs`).
//! - `headers/` compiles the headers in every dialect (`tests/headers.rs`).
//! - `inside/` makes trees and waits: `tmempool tree` must see them
//!   (`tests/inside/`).
//! - `tevent/` has a second library in the process that needs talloc
//!   (`tests/one_allocator.rs`).
//!
//! The modules here are what those five share. Nothing in them knows a program.

pub mod compare;
pub mod compiler;
pub mod library;
pub mod program;
pub mod run;
