//! Slabs by address: what a free asks first whether its pointer leads to an object, and of which cache.
//!
//! A table with an entry for each value of the low bits of a slice's number. An entry is the slab's that took it first, as
//! long as that lives; a slab whose entry is another's is found the long way, by the descriptor of its slice. Entries are
//! atomics, written by who makes the slab and who releases it. Whoever has an object of the slab has it, by some way, from
//! the thread that entered the slab, and sees the whole entry, which does not change while there are objects in use. What
//! other slab the entry may be given to meanwhile lies elsewhere, so that no object of it starts at the address. Where the first
//! object lies is entered last, goes first, and is asked for first: with it, all else is there.

use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{
    AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use super::extent::Extent;
use super::front::Key;
use crate::mem::geometry::{SEGMENT, SLICE};

/// As many slices as lie side by side in 8 GiB.
const ENTRIES: usize = 1 << 17;

const _: () = assert!(ENTRIES * SLICE > 4 * SEGMENT);

/// See the module: one line of the processor's caches. Zeros are an entry that is nobody's.
#[repr(C, align(64))]
pub(super) struct Entry {
    /// Of the [`Extent`], as inverse, power and capacity. 0 while there are no objects: a distance from there is none that an
    /// object has.
    to_distance: AtomicUsize,
    /// What the slab's cache is known by.
    key: AtomicUsize,
    /// Where the states of the objects lie. While there are any objects, it is not null.
    states: AtomicPtr<AtomicU8>,
    /// 0 while the entry is nobody's.
    inverse: AtomicU64,
    power: AtomicU32,
    /// 0 while there are no objects.
    capacity: AtomicU32,
}

const _: () = assert!(size_of::<Entry>() == 64);

/// What an entry said. It holds as long as an object of the slab is in use, or in a magazine of the calling thread.
pub(super) struct View {
    extent: Extent,
    states: *mut AtomicU8,
}

static ENTRY: [Entry; ENTRIES] = [const {
    Entry {
        to_distance: AtomicUsize::new(0),
        key: AtomicUsize::new(0),
        states: AtomicPtr::new(null_mut()),
        inverse: AtomicU64::new(0),
        power: AtomicU32::new(0),
        capacity: AtomicU32::new(0),
    }
}; ENTRIES];

/// The entry for `address`; any number can be asked about.
#[inline(always)]
pub(super) fn entry_at(address: usize) -> &'static Entry {
    // A shift and a mask less than by the number of the entry.
    let distance = (address / (SLICE / size_of::<Entry>())) & ((ENTRIES - 1) * size_of::<Entry>());
    // SAFETY: the start of an entry of the table.
    unsafe { &*(&raw const ENTRY).cast::<Entry>().byte_add(distance) }
}

impl Entry {
    /// What the slab's cache is known by.
    #[inline(always)]
    pub(super) fn key(&self) -> usize {
        self.key.load(Relaxed)
    }

    /// The state of the object that starts at `address`, if this is the entry of its slab. `None` says nothing.
    #[inline(always)]
    pub(super) fn state_at(&self, address: usize) -> Option<NonNull<AtomicU8>> {
        let number = self.extent().at(address)?;
        // SAFETY: there is a state for each object of the slab, which lives.
        Some(unsafe { NonNull::new_unchecked(self.states.load(Relaxed).add(number)) })
    }

    #[inline(always)]
    fn extent(&self) -> Extent {
        Extent {
            to_distance: self.to_distance.load(Acquire),
            inverse: self.inverse.load(Relaxed),
            power: self.power.load(Relaxed),
            capacity: self.capacity.load(Relaxed),
        }
    }

    /// What it says of the slab, if that is of the cache known by `key`.
    #[inline(always)]
    pub(super) fn view_of(&self, key: Key) -> Option<View> {
        let extent = self.extent();
        (self.key() == key.number()).then(|| View { extent, states: self.states.load(Relaxed) })
    }
}

impl View {
    /// As [`Entry::state_at`].
    #[inline(always)]
    pub(super) fn state_at(&self, address: usize) -> Option<NonNull<AtomicU8>> {
        let number = self.extent.at(address)?;
        // SAFETY: as there.
        Some(unsafe { NonNull::new_unchecked(self.states.add(number)) })
    }
}

/// A slab that starts at `start`, which is about to be used: the entries of its slices become its own, where they are
/// free.
pub(super) fn enter(
    start: NonNull<u8>,
    slices: usize,
    extent: &Extent,
    key: usize,
    states: NonNull<AtomicU8>,
) {
    for slice in 0..slices {
        let entry = entry_at(start.addr().get() + slice * SLICE);
        if entry.inverse.compare_exchange(0, extent.inverse, AcqRel, Relaxed).is_ok() {
            entry.key.store(key, Relaxed);
            entry.states.store(states.as_ptr(), Relaxed);
            entry.power.store(extent.power, Relaxed);
            entry.capacity.store(extent.capacity, Relaxed);
            entry.to_distance.store(extent.to_distance, Release);
        }
    }
}

/// The slab is about to be released: none of its objects are in use.
pub(super) fn leave(start: NonNull<u8>, slices: usize, states: NonNull<AtomicU8>) {
    for slice in 0..slices {
        let entry = entry_at(start.addr().get() + slice * SLICE);
        if entry.capacity.load(Relaxed) != 0 && entry.states.load(Relaxed) == states.as_ptr() {
            entry.to_distance.store(0, Relaxed);
            entry.capacity.store(0, Relaxed);
            entry.key.store(0, Relaxed);
            entry.states.store(null_mut(), Relaxed);
            entry.inverse.store(0, Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::slab::Shape;

    /// Where nothing is ever mapped.
    const HERE: usize = 0x7100_0000_0000 + SEGMENT;

    fn at(address: usize) -> NonNull<u8> {
        NonNull::new(core::ptr::without_provenance_mut(address)).unwrap()
    }

    #[test]
    fn of_two_slabs_that_want_an_entry_the_first_has_it() {
        let shape = Shape::new(9000, 8, false).unwrap();
        let mut states = [const { AtomicU8::new(0) }; 2];
        let [one, other] = states.each_mut().map(NonNull::from_mut);
        let rival = HERE + ENTRIES * SLICE;
        let enter_at = |address: usize, states| {
            enter(at(address), shape.slices, &Extent::new(at(address), &shape), address, states);
        };
        enter_at(HERE, one);
        enter_at(rival, other);
        assert_eq!(entry_at(HERE).state_at(HERE), Some(one));
        assert_eq!(entry_at(rival).state_at(rival), None);
        assert_eq!(entry_at(rival).key(), HERE);
        leave(at(rival), shape.slices, other);
        assert_eq!(entry_at(HERE).key(), HERE);
        for wrong in [1, 8, 16, 8999] {
            assert_eq!(entry_at(HERE + wrong).state_at(HERE + wrong), None);
        }
        leave(at(HERE), shape.slices, one);
        assert_eq!(entry_at(HERE).state_at(HERE), None);
        enter_at(rival, other);
        assert_eq!(entry_at(rival).state_at(rival), Some(other));
        leave(at(rival), shape.slices, other);
    }

    #[test]
    fn low_addresses_and_those_around_0_are_no_objects() {
        for wild in -200..70_000_isize {
            assert_eq!(entry_at(wild as usize).state_at(wild as usize), None, "{wild:#x}");
        }
    }
}
