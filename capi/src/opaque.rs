//! The types that C programs know only by name: `tmempool.h` declares them, and pointers to them lead to
//! residents.
#![allow(non_camel_case_types, reason = "the names are those of the C interface")]

/// An object cache: a [`ResidentRef`](tmempool::pools::resident::ResidentRef) of a cache.
#[repr(C)]
pub struct tm_cache {
    private: [u8; 0],
}

/// A pool of managed ranges: a [`ResidentRef`](tmempool::pools::resident::ResidentRef) of a genpool.
#[repr(C)]
pub struct tm_genpool {
    private: [u8; 0],
}

/// A guaranteed reserve: a [`ResidentRef`](tmempool::pools::resident::ResidentRef) of a mempool.
#[repr(C)]
pub struct tm_mempool {
    private: [u8; 0],
}
