//! In the place of the library's `mem::sync`: loom's types, made when they are first used.
//!
//! The library makes its atomics in constants, and loom's cannot be made there. So each is made at its first use,
//! which must be in the model's first thread: a model touches what it shares before it starts another.
//!
//! Each operation can be made weaker than the file says, by its place in the file: see [`weaken`](crate::weaken).

use core::fmt::Debug;
use core::ops::Deref;
use core::panic::Location;
use std::sync::OnceLock;

pub(super) use loom::sync::atomic::Ordering;
use loom::sync::atomic::{AtomicPtr as Ptr, AtomicU32 as U32, AtomicUsize as Usize};

use crate::weaken;

/// Once is enough: a second look is the same again.
pub(super) const SPINS: usize = 1;

/// What loom has in the place of `V`.
#[derive(Debug)]
pub(super) struct Late<V, L> {
    first: V,
    made: OnceLock<L>,
}

impl<V, L> Late<V, L> {
    pub(super) const fn new(first: V) -> Late<V, L> {
        Late { first, made: OnceLock::new() }
    }
}

impl<V: Copy, L: Make<V>> Late<V, L> {
    fn made(&self) -> &L {
        self.made.get_or_init(|| L::make(self.first))
    }

    /// Makes it now.
    pub(super) fn touch(&self) {
        self.made();
    }
}

pub(super) trait Make<V> {
    fn make(first: V) -> Self;
}

/// A cell that says when two threads use it and nothing orders them.
pub(super) type Cell<T> = Late<T, loom::cell::Cell<T>>;
pub(super) type AtomicPtr<T> = Late<*mut T, Ptr<T>>;
pub(super) type AtomicU32 = Late<u32, U32>;
pub(super) type AtomicUsize = Late<usize, Usize>;

impl<T> Make<T> for loom::cell::Cell<T> {
    fn make(first: T) -> Self {
        loom::cell::Cell::new(first)
    }
}

impl<T: Copy> Deref for Late<T, loom::cell::Cell<T>> {
    type Target = loom::cell::Cell<T>;

    fn deref(&self) -> &loom::cell::Cell<T> {
        self.made()
    }
}

pub(super) trait Atomic<V>: Make<V> {
    fn load(&self, order: Ordering) -> V;
    fn store(&self, value: V, order: Ordering);
    fn swap(&self, value: V, order: Ordering) -> V;
    fn exchange(&self, from: V, to: V, success: Ordering, failure: Ordering) -> Result<V, V>;
}

macro_rules! atomic {
    ($value:ty, $loom:ty $(, $t:ident)?) => {
        impl$(<$t>)? Make<$value> for $loom {
            fn make(first: $value) -> Self {
                <$loom>::new(first)
            }
        }

        impl$(<$t>)? Atomic<$value> for $loom {
            fn load(&self, order: Ordering) -> $value {
                <$loom>::load(self, order)
            }

            fn store(&self, value: $value, order: Ordering) {
                <$loom>::store(self, value, order)
            }

            fn swap(&self, value: $value, order: Ordering) -> $value {
                <$loom>::swap(self, value, order)
            }

            fn exchange(&self, from: $value, to: $value, success: Ordering, failure: Ordering) -> Result<$value, $value> {
                <$loom>::compare_exchange(self, from, to, success, failure)
            }
        }
    };
}

atomic!(u32, U32);
atomic!(usize, Usize);
atomic!(*mut T, Ptr<T>, T);

impl<V: Copy, L: Atomic<V>> Late<V, L> {
    #[track_caller]
    pub(super) fn load(&self, order: Ordering) -> V {
        self.made().load(weaken::at(Location::caller(), order))
    }

    #[track_caller]
    pub(super) fn store(&self, value: V, order: Ordering) {
        self.made().store(value, weaken::at(Location::caller(), order));
    }

    #[track_caller]
    pub(super) fn swap(&self, value: V, order: Ordering) -> V {
        self.made().swap(value, weaken::at(Location::caller(), order))
    }

    #[track_caller]
    pub(super) fn compare_exchange(
        &self,
        from: V,
        to: V,
        success: Ordering,
        failure: Ordering,
    ) -> Result<V, V> {
        self.made().exchange(from, to, weaken::at(Location::caller(), success), failure)
    }

    #[track_caller]
    pub(super) fn compare_exchange_weak(
        &self,
        from: V,
        to: V,
        success: Ordering,
        failure: Ordering,
    ) -> Result<V, V> {
        self.made().exchange(from, to, weaken::at(Location::caller(), success), failure)
    }
}

#[track_caller]
pub(super) fn fence(order: Ordering) {
    let order = weaken::at(Location::caller(), order);
    if order != Ordering::Relaxed {
        loom::sync::atomic::fence(order);
    }
}
