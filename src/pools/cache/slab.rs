//! What a cache keeps about each of its slabs: the state of every object, and a map of those that are in
//! the slab. It lies apart from the slab, so that no overflow of an object reaches it.
//!
//! The state of an object is one byte, and is the truth about it whatever else is lost: whoever moves an
//! object writes its state, and a magazine whose thread a fork has left behind is made good from the states
//! (see `Store::recover`). Bytes are written by whoever has the object at the time; all else is guarded by
//! the lock of the cache.

use core::cell::Cell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::Cache;
use super::extent::Extent;
use super::index;
use crate::mem::size::SLOT_MAX;
use crate::mem::slab::{self, LINE, Shape};
use crate::pools::books;

/// It is not constructed: it never was, or is no more. In its slab, or about to be constructed.
pub(super) const RAW: u8 = 0;
/// A user has it.
pub(super) const IN_USE: u8 = 1;
/// Free and constructed, in a magazine, in the depot, or on the way between.
pub(super) const CACHED: u8 = 2;
/// Free and constructed, in its slab.
pub(super) const IN_SLAB: u8 = 3;
/// Of what is no object.
pub(super) const NO_OBJECT: u8 = 4;

/// In which list a slab is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Place {
    /// Some of its objects are in it.
    Partial,
    /// None are.
    Full,
    /// All are.
    Empty,
    /// It is in none.
    Nowhere,
}

/// An object with its state, which are found only together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    pub(super) object: NonNull<u8>,
    pub(super) state: NonNull<AtomicU8>,
}

impl Round {
    #[inline(always)]
    pub(super) fn state(&self) -> u8 {
        // SAFETY: a record outlives the rounds made from it: a slab is released only with all its objects
        // in it, or with the whole cache.
        unsafe { self.state.as_ref() }.load(Relaxed)
    }

    #[inline(always)]
    pub(super) fn set_state(&self, state: u8) {
        // SAFETY: as above.
        unsafe { self.state.as_ref() }.store(state, Relaxed);
    }
}

/// The record; behind it lie the states, one byte each, and a map with a bit for each object that is in the slab.
///
/// The first line of it does not change; the rest is guarded by the lock. What every free asks for stands in the
/// [`index`], too.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Record {
    /// 0, so that nobody who walks over slots takes it for a chunk.
    _not_a_tag: u64,
    owner: NonNull<Cache>,
    extent: Extent,
    stride: usize,
    /// Where the slab starts.
    start: NonNull<u8>,
    /// Where the slot of this starts.
    slot: NonNull<u8>,
    /// How many of the objects are in the slab.
    free: Cell<u32>,
    /// No object of a group before this one is.
    low: Cell<u32>,
    pub(super) place: Cell<Place>,
    pub(super) next: Cell<Option<Slab>>,
    pub(super) prev: Cell<Option<Slab>>,
    _rest: [u64; 4],
}

const _: () = assert!(core::mem::offset_of!(Record, free) == 64 && size_of::<Record>() == 128);

/// A slab of a cache, by its record. Copies are handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slab(NonNull<Record>);

impl core::ops::Deref for Slab {
    type Target = Record;

    #[inline(always)]
    fn deref(&self) -> &Record {
        // SAFETY: handles are made only from records of slabs that are not released.
        unsafe { self.0.as_ref() }
    }
}

const STATES: usize = size_of::<Record>();

/// Objects whose states share a line of the processor's caches, and whose bits share a word of the map. What a thread takes
/// at once is mostly one such group, so that two threads seldom write to one line.
const GROUP: usize = LINE;

/// Bytes of record, states and map.
const fn bytes(capacity: usize) -> usize {
    let groups = capacity.div_ceil(GROUP);
    STATES + groups * (GROUP + size_of::<u64>())
}

const _: () = assert!(GROUP == u64::BITS as usize && bytes(1 << 13) + LINE < SLOT_MAX);

impl Slab {
    /// A new slab for `owner`, with no object constructed, in the given colour. `None` without memory.
    pub(super) fn create(owner: &Cache, shape: &Shape, colour: usize) -> Option<Slab> {
        let n = shape.capacity;
        let bytes = bytes(n);
        let slot = books::take(bytes + LINE)?;
        // SAFETY: a slot of this many bytes, nobody else's; zeros are states, all of them RAW.
        unsafe {
            slot.write_bytes(0, bytes + LINE);
            let at = slot.add(slot.addr().get().wrapping_neg() % LINE);
            let this = Slab(at.cast());
            let Some(start) = slab::take(at.cast(), shape) else {
                books::give(slot);
                return None;
            };
            let first = start.add(colour * shape.colour_step);
            this.0.write(Record {
                _not_a_tag: 0,
                owner: NonNull::from_ref(owner),
                extent: Extent::new(first, shape),
                stride: shape.stride,
                start,
                slot,
                free: Cell::new(n as u32),
                low: Cell::new(0),
                place: Cell::new(Place::Nowhere),
                next: Cell::new(None),
                prev: Cell::new(None),
                _rest: [0; 4],
            });
            for i in 0..n.div_ceil(GROUP) {
                this.map().add(i).write(u64::MAX >> (GROUP - (n - i * GROUP).min(GROUP)));
            }
            index::enter(start, shape.slices, &this.extent, owner.key().number(), this.states());
            Some(this)
        }
    }

    /// Where the states lie.
    #[inline(always)]
    fn states(self) -> NonNull<AtomicU8> {
        // SAFETY: they lie behind the record.
        unsafe { self.0.byte_add(STATES) }.cast()
    }

    /// Gives slab and record back. Returns the bytes of the slab.
    ///
    /// # Safety
    /// Nobody uses any of its objects, and no list leads to it.
    pub(super) unsafe fn release(self, shape: &Shape, to_system: bool) -> usize {
        index::leave(self.start, shape.slices, self.states());
        // SAFETY: the caller's.
        unsafe {
            slab::give_back(self.start, to_system);
            books::give(self.slot);
        }
        shape.bytes()
    }

    /// The slab that `address` lies in, if it lies in one. Any number can be asked about.
    pub(super) fn at(address: usize) -> Option<Slab> {
        // Slabs are made here only.
        slab::record_of(address).map(|record| Slab(record.cast()))
    }

    /// The slab that a round belongs to.
    #[inline(always)]
    pub(super) fn of(round: Round) -> Slab {
        // SAFETY: an object lies in its slab.
        Slab(unsafe { slab::record_at(round.object.addr().get()) }.cast())
    }

    /// Whose it is.
    #[inline(always)]
    pub(super) fn owner(self) -> NonNull<Cache> {
        self.owner
    }

    /// How many objects it has.
    #[inline(always)]
    fn capacity(self) -> usize {
        self.extent.capacity as usize
    }

    /// The object that starts at `address`, if one does.
    pub(super) fn round_at(self, address: NonNull<u8>) -> Option<Round> {
        let number = self.extent.at(address.addr().get())?;
        // SAFETY: a record has a state for each object.
        Some(Round { object: address, state: unsafe { self.states().add(number) } })
    }

    /// All objects.
    pub(super) fn rounds(self) -> impl Iterator<Item = Round> {
        (0..self.capacity()).map(move |i| self.round(i))
    }

    #[inline(always)]
    fn round(self, i: usize) -> Round {
        let object = self.start.as_ptr().with_addr(self.extent.address(i, self.stride));
        // SAFETY: object and state of a number below the capacity.
        unsafe { Round { object: NonNull::new_unchecked(object), state: self.states().add(i) } }
    }

    /// The map, a word for each group.
    fn map(self) -> NonNull<u64> {
        // SAFETY: it lies behind the states.
        unsafe { self.states().byte_add((self.capacity()).next_multiple_of(GROUP)) }.cast()
    }

    /// To take objects from it and to put them back. Nobody else opens it before it is closed.
    #[inline(always)]
    pub(super) fn open(self) -> Open {
        let group = self.low.get();
        // SAFETY: no slab is without a group, and `low` is the number of one.
        let (word, states) =
            unsafe { (self.map().add(group as usize).read(), self.states().add(group as usize * GROUP)) };
        Open { slab: self, free: self.free.get(), low: group, group, word, states }
    }

    /// [`open`](Slab::open), at the group of one of its objects.
    #[inline(always)]
    pub(super) fn open_at(self, round: Round) -> Open {
        let mut open = self.open();
        open.reach(round);
        open
    }

    /// Makes the map anew, of all that no user has.
    pub(super) fn recount(self) {
        let mut free = 0;
        for group in 0..(self.capacity()).div_ceil(GROUP) {
            let mut word = 0;
            for i in group * GROUP..(self.capacity()).min((group + 1) * GROUP) {
                let round = self.round(i);
                if round.state() == IN_USE {
                    continue;
                }
                if round.state() == CACHED {
                    round.set_state(IN_SLAB);
                }
                word |= 1 << (i % GROUP);
                free += 1;
            }
            // SAFETY: a word of the map.
            unsafe { self.map().add(group).write(word) };
        }
        self.free.set(free);
        self.low.set(0);
    }

    /// How many objects a user has.
    pub(super) fn in_use(self) -> usize {
        self.rounds().filter(|round| round.state() == IN_USE).count()
    }

    /// Where it belongs by what is in it.
    pub(super) fn fitting_place(self) -> Place {
        match self.free.get() {
            0 => Place::Full,
            free if free == self.extent.capacity => Place::Empty,
            _ => Place::Partial,
        }
    }
}

/// A slab with objects on the way from it, or back to it: what changes stands here until it is closed. The lowest address is
/// the first to be taken.
pub(super) struct Open {
    slab: Slab,
    free: u32,
    low: u32,
    /// The group that was last looked at, its word, and the states of its objects.
    group: u32,
    word: u64,
    states: NonNull<AtomicU8>,
}

/// Neighbours that are taken together.
pub(super) struct Run {
    next: Round,
    stride: usize,
    left: usize,
}

impl Run {
    pub(super) fn len(&self) -> usize {
        self.left
    }
}

impl Iterator for Run {
    type Item = Round;

    #[inline(always)]
    fn next(&mut self) -> Option<Round> {
        self.left = self.left.checked_sub(1)?;
        let round = self.next;
        // SAFETY: behind the last one nothing is made of them but this sum.
        unsafe {
            self.next.object = NonNull::new_unchecked(round.object.as_ptr().wrapping_add(self.stride));
            self.next.state = NonNull::new_unchecked(round.state.as_ptr().wrapping_add(1));
        }
        Some(round)
    }
}

impl Open {
    /// Goes to another group.
    #[inline(always)]
    fn go(&mut self, group: u32) {
        let map = self.slab.map();
        // SAFETY: words of the map, and states of the group.
        unsafe {
            map.add(self.group as usize).write(self.word);
            self.word = map.add(group as usize).read();
            self.states = self.slab.states().add(group as usize * GROUP);
        }
        self.group = group;
    }

    /// Takes up to `n` neighbours out; none only if there are none. They may be raw.
    #[inline(always)]
    pub(super) fn pop_run(&mut self, n: usize) -> Option<Run> {
        if self.free == 0 || n == 0 {
            return None;
        }
        if self.group != self.low {
            self.go(self.low);
        }
        // There is one, in a group from `low` on.
        while self.word == 0 {
            self.go(self.group + 1);
        }
        self.low = self.group;
        let first = self.word.trailing_zeros();
        let left = (self.word >> first).trailing_ones().min(n as u32);
        self.word &= !(u64::MAX >> (u64::BITS - left) << first);
        self.free -= left;
        let next = self.slab.round(self.group as usize * GROUP + first as usize);
        Some(Run { next, stride: self.slab.stride, left: left as usize })
    }

    /// Goes to the group of an object. Says no if it is another slab's.
    #[inline(always)]
    pub(super) fn reach(&mut self, round: Round) -> bool {
        let number = round.state.addr().get().wrapping_sub(self.slab.states().addr().get());
        if number >= self.slab.capacity() {
            return false;
        }
        let group = (number / GROUP) as u32;
        if group != self.group {
            self.go(group);
            self.low = self.low.min(group);
        }
        true
    }

    /// Puts the first of these free objects back, as many as are of this group and not there already. Returns how many.
    #[inline(always)]
    pub(super) fn push_all(&mut self, rounds: &[Round]) -> usize {
        let (mut word, states) = (self.word, self.states.addr().get());
        let come_in = |round: &Round| {
            let number = round.state.addr().get().wrapping_sub(states);
            let state = round.state();
            if number < GROUP && state == CACHED {
                round.set_state(IN_SLAB);
            } else if number >= GROUP || state != RAW {
                return false;
            }
            word |= 1 << number;
            true
        };
        let n = rounds.iter().map(come_in).position(|came| !came).unwrap_or(rounds.len());
        self.word = word;
        self.free += n as u32;
        n
    }

    /// Ends its use.
    #[inline(always)]
    pub(super) fn close(self) -> Slab {
        // SAFETY: a word of the map.
        unsafe { self.slab.map().add(self.group as usize).write(self.word) };
        self.slab.free.set(self.free);
        self.slab.low.set(self.low);
        self.slab
    }
}
