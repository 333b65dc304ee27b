//! Real programs on tmempool: each does the same work twice, on Debian's libtalloc and on the
//! drop-in, and must print the same, end the same, and really have run on the library meant.
//!
//! Run with `make check`, or `cargo test -p tmempool-realtests` after `make`. Names select tests, as
//! in `cargo test -p tmempool-realtests -- notmuch`. A test whose program is not installed is
//! ignored, and says why; so is one that fails with Debian's library already.
//!
//! | file | concept |
//! |---|---|
//! | `dist` | where the built library lies |
//! | `library` | the two libraries, and the environment that selects each |
//! | `process` | one run of a program: output, status, time, memory |
//! | `loads` | what the dynamic loader says it loaded |
//! | `lab` | a folder, a library, and a transcript of what ran there |
//! | `comparison` | a script that is run in two labs, as a named test |
//! | `mask` | what may differ between two runs |
//! | `costs` | CPU time and memory on both libraries, shown and never asserted |

pub mod comparison;
pub mod costs;
pub mod dist;
pub mod lab;
pub mod library;
pub mod loads;
pub mod mask;
pub mod process;
