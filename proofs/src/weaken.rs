//! Orderings made weaker on purpose, one at a time, to see that the models need them.

use core::cell::{Cell, RefCell};
use core::panic::Location;
use std::collections::BTreeSet;

use loom::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst};

/// An operation in a file of the library, with the ordering that is written there.
pub type Site = (&'static str, u32, u32, &'static str);

thread_local! {
    static SEEN: RefCell<BTreeSet<Site>> = const { RefCell::new(BTreeSet::new()) };
    static WEAKENED: Cell<Option<(Site, Ordering)>> = const { Cell::new(None) };
}

/// The ordering in force for the operation at `place`.
pub(crate) fn at(place: &'static Location<'static>, order: Ordering) -> Ordering {
    let site = (place.file(), place.line(), place.column(), name(order));
    if order != Relaxed {
        SEEN.with_borrow_mut(|seen| seen.insert(site));
    }
    match WEAKENED.get() {
        Some((weakened, instead)) if weakened == site => instead,
        _ => order,
    }
}

/// Calls `run` with the operation at `site` made as weak as `instead`.
pub fn while_weakened<T>(site: Site, instead: Ordering, run: impl FnOnce() -> T) -> T {
    WEAKENED.set(Some((site, instead)));
    let result = run();
    WEAKENED.set(None);
    result
}

/// All operations that the models of this thread have come by, but for those that are relaxed anyway.
pub fn seen() -> BTreeSet<Site> {
    SEEN.with_borrow(Clone::clone)
}

/// What is just weaker than the ordering called `name`.
pub fn weaker(name: &str) -> &'static [Ordering] {
    match name {
        "SeqCst" => &[AcqRel],
        "AcqRel" => &[Acquire, Release],
        _ => &[Relaxed],
    }
}

fn name(order: Ordering) -> &'static str {
    match order {
        SeqCst => "SeqCst",
        AcqRel => "AcqRel",
        Acquire => "Acquire",
        Release => "Release",
        _ => "Relaxed",
    }
}
