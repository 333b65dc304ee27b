//! Bytes: pages, segments, spans, slots and the heaps of threads. Knows nothing of contexts.
//!
//! From the bottom up: [`os`] and [`lock`] stand on the kernel; [`geometry`] and [`size`] are
//! arithmetic; [`queue`] is where threads wait; [`heads`] says what a pointer is checked by, and [`known`] what is known
//! without a check; [`span`] describes a run of slices (and `ties` what it has to do with others), [`segment`] hands them out (and `budget` says which go back to the
//! kernel), [`heap`] gives their slots to one thread (`carve` cuts them; whose that is stands in its `owner`; [`give`] takes them back, from others
//! by `remote`, many at once by [`bulk`]; which spans it keeps with nothing in them says `idle`; `borrowed`, whose slots a class without a span has; `lone`, how many
//! small blocks have a span to themselves; tags are made of
//! `generations`), [`slab`] into objects for a pool, and [`threads`] says whose heap is whose (all are in a list of `heaps`; a thread finds its own, and marks what it
//! changes, [`here`];
//! `exit` says whether there is anything left to do for them). [`turns`] are taken at what a program may hold over a fork.

mod borrowed;
mod budget;
pub mod bulk;
mod carve;
mod exit;
pub mod generations;
pub mod geometry;
pub mod give;
pub mod heads;
pub mod heap;
mod heaps;
pub mod here;
mod idle;
mod inherited;
pub mod known;
pub mod lock;
mod lone;
pub mod os;
mod owner;
mod pauses;
pub mod queue;
mod remote;
pub mod segment;
pub mod shared;
pub mod size;
pub mod slab;
pub mod span;
mod sync;
pub mod threads;
mod ties;
pub mod turns;
