//! Measures tmempool's drop-in against Debian's libtalloc.
//!
//! One C program (`program/`) does the work; it is compiled once against
//! talloc's interface and run on each library in turn, one process a workload,
//! and it checks both its results and which library it was given. This crate
//! compiles it, runs it, and turns what it prints into medians, ratios, a table,
//! JSON and a chart.
//!
//! | module | what it holds |
//! |---|---|
//! | [`place`] | where the libraries and the build directory are |
//! | [`program`] | compiling the C program and running it once |
//! | [`subject`] | what is compared: a talloc library, a malloc, or neither |
//! | [`timed`] | the timed workloads, alternating between subjects |
//! | [`scaling`] | the same question among ever more siblings |
//! | [`threads`] | how much 1, 2, 4 and 8 threads get done |
//! | [`memory`] | overhead an object, memory given back, a small process |
//! | [`real`] | Samba's suites, notmuch and ldbadd on both libraries |
//! | [`instructions`] | instruction counts under callgrind |
//! | [`pools`] | the pools of `tmempool.h` against what one would take instead: a C++ program, `pools/` |
//! | [`arenas`] | the Rust API beside bumpalo, typed-arena, `Box`, slab and slotmap |
//! | [`statistics`] | medians, quartiles, geometric means |
//! | [`results`], [`table`], [`chart`] | what comes out |

pub mod arenas;
pub mod chart;
pub mod child;
pub mod instructions;
pub mod machine;
pub mod memory;
pub mod place;
pub mod pools;
pub mod program;
pub mod progress;
pub mod real;
pub mod results;
pub mod scaling;
pub mod statistics;
pub mod subject;
pub mod table;
pub mod threads;
pub mod timed;
