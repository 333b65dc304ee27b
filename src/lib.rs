//! Memory with owners: contexts that own values, collections and further contexts, and free all of it at once.
//!
//! A [`Context`] is an arena that drops what it owns, has a name and a place in a tree, and can be looked at.
//! Below it lie further ones ([`Context::child`], [`Context::pool`]); boxes ([`CtxBox`]) that can be freed early, or
//! moved to another context; collections ([`CtxVec`], [`CtxString`], and all that take an `allocator_api2`
//! allocator); and values with several owners ([`CtxRef`]). The tree is talloc's, and C programs that use `talloc.h` or
//! `tmempool.h` have the same one ([`Context::into_raw`], [`Context::from_raw`]).
//!
//! # A request
//! All that it needs belongs to it, and goes with it, whichever way it ends:
//!
//! ```
//! use tmempool::{Context, CtxVec, format_in};
//!
//! fn handle<'r>(request: &'r Context, text: &str) -> Result<&'r str, std::num::ParseIntError> {
//!     let mut numbers = CtxVec::new_in(request);
//!     for word in text.split(' ') {
//!         numbers.push(word.parse::<u32>()?);
//!     }
//!     let sum: u32 = numbers.iter().sum();
//!     Ok(format_in!(request, "the sum is {sum}").into_str())
//! }
//!
//! let server = Context::new("server");
//! for (text, answer) in [("1 2 3", Some("the sum is 6")), ("1 x", None)] {
//!     let request = server.pool_named("request", 16 << 10);
//!     assert_eq!(handle(&request, text).ok(), answer);
//! } // the request's memory is free again
//! assert_eq!(server.total_blocks(), 1);
//! ```
//!
//! # A parser
//! The nodes of a tree refer to each other, as they live equally long. They are never dropped one by one:
//!
//! ```
//! use tmempool::Context;
//!
//! enum Expr<'a> {
//!     Number(i64),
//!     Sum(&'a Expr<'a>, &'a Expr<'a>),
//! }
//!
//! fn parse<'a>(ast: &'a Context, text: &str) -> Option<&'a Expr<'a>> {
//!     let mut sum: Option<&Expr> = None;
//!     for number in text.split('+') {
//!         let number: &Expr = ast.alloc_no_drop(Expr::Number(number.trim().parse().ok()?));
//!         sum = Some(match sum {
//!             None => number,
//!             Some(sum) => ast.alloc_no_drop(Expr::Sum(sum, number)),
//!         });
//!     }
//!     sum
//! }
//!
//! fn value(expr: &Expr) -> i64 {
//!     match expr {
//!         Expr::Number(number) => *number,
//!         Expr::Sum(a, b) => value(a) + value(b),
//!     }
//! }
//!
//! let ast = Context::new("ast");
//! assert_eq!(parse(&ast, "1 + 2 + 39").map(value), Some(42));
//! ```
//!
//! # A cache
//! Values that come and go, of one type, from any thread; [`Mempool`] also keeps some back, so that it cannot
//! fail, and [`GenPool`] hands out addresses in memory that is not the program's.
//!
//! ```
//! use tmempool::{Cache, Context};
//!
//! let server = Context::new("server");
//! let buffers: Cache<'_, [u8; 4096]> = server.cache("buffers");
//! std::thread::scope(|scope| {
//!     for _ in 0..2 {
//!         scope.spawn(|| {
//!             let mut buffer = buffers.alloc([0; 4096]);
//!             buffer[0] = 1;
//!         });
//!     }
//! });
//! assert_eq!(buffers.stats().active, 0);
//! ```
//!
//! # A context for threads
//!
//! ```
//! use tmempool::SharedContext;
//!
//! let words = SharedContext::new("words");
//! let lengths: usize = std::thread::scope(|scope| {
//!     let count = |text: &'static str| {
//!         let words = &words;
//!         scope.spawn(move || words.alloc_str(text).len())
//!     };
//!     [count("mill"), count("wheel")].map(|thread| thread.join().unwrap()).iter().sum()
//! });
//! assert_eq!(lengths, 9);
//! println!("{}", words.report());
//! ```
//!
//! # What may be where
//! - *Dropped with its context* ([`Context::alloc`], [`Context::alloc_slice_with`], [`Context::adopt`]): anything that
//!   borrows nothing. A context may be leaked and then freed with its parent, when what a value had borrowed is long gone.
//! - *Dropped with its box* ([`CtxBox`], collections): anything. A box that is leaked leaves its memory to the context.
//! - *Never dropped* ([`Context::alloc_no_drop`], [`Context::alloc_slice_copy`], [`Context::alloc_str`]): anything. The
//!   memory just goes.
//! - *Another thread*: a [`Context::new_sendable`] goes whole, with all below it, and owns only what is `Send`. A
//!   [`SharedContext`] is for several at once.
//!
//! A panic in a value's `drop` does not keep the others from being dropped, nor leave a broken tree; it goes on
//! when the tree is whole. (Without the feature `std` it aborts.) A block of 256 MiB or more is an error, as in talloc.
//!
//! # Features
//! - `std` (default): collections, reports, handles, closures, shared contexts, caches; panics are caught.
//!   Without it, contexts, values, boxes and references.
//! - `serde`: a [`Report`] can be serialised.
//! - `global-alloc`: an allocator for `#[global_allocator]`, which shows what a program has as a tree.
//! - `nightly`: the standard library's own `Allocator` trait for contexts.
//!
//! # Inside
//! `src/README.md` is the map of the layers. The modules that are not shown here are the core, which the C interface
//! stands on; they may change with any version.
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
//! - **bare bytes**: what a pool hands out without a header. They lie at the far end of its blocks.
//! - **reference**: a hidden child that keeps another chunk alive.
//! - **resident**: what lives in a tree as a chunk and holds memory outside it: a cache, a mempool, a
//!   genpool.
//! - **range**: addresses that the user has given to a genpool to manage, in **granules** of a power of two.
//! - **element**: what a mempool gives out: anything that its source makes.
#![no_std]
#![cfg_attr(feature = "nightly", feature(allocator_api))]

#[cfg(any(test, feature = "std"))]
extern crate std;

mod compare;
#[doc(hidden)]
pub mod error;
#[doc(hidden)]
pub mod face;
#[doc(hidden)]
pub mod hint;
#[doc(hidden)]
pub mod mem;
#[doc(hidden)]
pub mod offsets;
#[doc(hidden)]
pub mod ops;
#[doc(hidden)]
pub mod pools;
#[doc(hidden)]
pub mod process;
#[doc(hidden)]
pub mod report;
#[doc(hidden)]
pub mod tree;

pub use error::AllocError;
pub use error::Fault;
#[cfg(feature = "std")]
pub use face::{
    Cache, CacheBox, CtxString, CtxVec, DestructorKey, GenPool, Handle, HandleRef, Mempool, MempoolBox, Node,
    Report, SharedContext, SharedGuard, Verdict, Visitor, Walk,
};
pub use face::{Child, Context, CtxBox, CtxRef, Kind, Local, MovesTo, Owns, Pool, RawError, Sendable};
#[cfg(feature = "global-alloc")]
pub use face::{GlobalContext, global_report, with_context};
#[cfg(feature = "std")]
pub use pools::{
    cache::Stats as CacheStats,
    genpool::{AddError, Algo, PlaceError, RangeInfo, ReleaseError},
};
pub use tree::Limit;
pub use tree::pool::Stats;
