//! What a cache keeps about each of its slabs: the state of every object, and a stack of those that are in
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
use crate::mem::heap;
use crate::mem::size::{self, SLOT_MAX};
use crate::mem::slab::{self, Shape};
use crate::mem::threads;

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

/// The record; behind it lie the states, one byte each, and the stack, two bytes each.
///
/// The first line of it does not change; the rest is guarded by the lock. What every free asks for stands in the
/// [`index`], too.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Record {
    /// 0, so that nobody who walks over slots takes it for a chunk.
    _not_a_tag: u32,
    capacity: u32,
    owner: NonNull<Cache>,
    extent: Extent,
    /// Where the first object lies.
    first: NonNull<u8>,
    stride: usize,
    /// Where the slab starts.
    start: NonNull<u8>,
    _line: u64,
    /// How many of the objects are on the stack.
    free: Cell<u32>,
    pub(super) place: Cell<Place>,
    pub(super) next: Cell<Option<Slab>>,
    pub(super) prev: Cell<Option<Slab>>,
    _rest: [u64; 5],
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

impl Slab {
    /// A new slab for `owner`, with no object constructed, in the given colour. `None` without memory.
    pub(super) fn create(owner: &Cache, shape: &Shape, colour: usize) -> Option<Slab> {
        let n = shape.capacity;
        let bytes = STATES + n.next_multiple_of(2) + 2 * n;
        const { assert!(STATES + 3 * (1 << 13) < SLOT_MAX) };
        let at = threads::current()?.take(size::class_of(bytes))?.0;
        let this = Slab(at.cast());
        // SAFETY: a slot of this many bytes, nobody else's; zeros are states, all of them RAW.
        unsafe {
            at.add(STATES).write_bytes(RAW, n);
            let Some(start) = slab::take(at.cast(), shape) else {
                heap::give(at);
                return None;
            };
            let first = start.add(colour * shape.colour_step);
            this.0.write(Record {
                _not_a_tag: 0,
                capacity: n as u32,
                owner: NonNull::from_ref(owner),
                extent: Extent::new(first, shape),
                first,
                stride: shape.stride,
                start,
                _line: 0,
                free: Cell::new(n as u32),
                place: Cell::new(Place::Nowhere),
                next: Cell::new(None),
                prev: Cell::new(None),
                _rest: [0; 5],
            });
            // The lowest address is the first to be taken.
            for i in 0..n {
                this.open().bottom.add(i).write((n - 1 - i) as u16);
            }
        }
        index::enter(this.start, shape.slices, &this.extent, owner.key().number(), this.states());
        Some(this)
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
            heap::give(self.0.cast());
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

    /// The object that starts at `address`, if one does.
    pub(super) fn round_at(self, address: NonNull<u8>) -> Option<Round> {
        let number = self.extent.at(address)?;
        // SAFETY: a record has a state for each object.
        Some(Round { object: address, state: unsafe { self.states().add(number) } })
    }

    /// All objects.
    pub(super) fn rounds(self) -> impl Iterator<Item = Round> {
        (0..self.capacity as usize).map(move |i| self.round(i))
    }

    #[inline(always)]
    fn round(self, i: usize) -> Round {
        // SAFETY: object and state of a number below the capacity.
        unsafe { Round { object: self.first.add(i * self.stride), state: self.states().add(i) } }
    }

    /// Its stack. It is one's own, and closed, before another is opened.
    #[inline(always)]
    pub(super) fn open(self) -> Stack {
        let states = self.states();
        // SAFETY: the stack lies behind the states.
        let bottom = unsafe { states.byte_add((self.capacity as usize).next_multiple_of(2)) }.cast();
        Stack { slab: self, states, bottom, free: self.free.get() }
    }

    /// Makes the stack anew, of all that no user has.
    pub(super) fn restack(self) {
        self.free.set(0);
        let mut stack = self.open();
        // What is constructed is taken first.
        for raw in [true, false] {
            self.rounds()
                .filter(|r| r.state() != IN_USE && (r.state() == RAW) == raw)
                .for_each(|r| _ = stack.push(r));
        }
        stack.close();
    }

    /// How many objects a user has.
    pub(super) fn in_use(self) -> usize {
        self.rounds().filter(|round| round.state() == IN_USE).count()
    }

    /// Where it belongs by what is in it.
    pub(super) fn fitting_place(self) -> Place {
        match self.free.get() {
            0 => Place::Full,
            free if free == self.capacity => Place::Empty,
            _ => Place::Partial,
        }
    }
}

/// The stack of a slab, with objects on the way from it, or back to it: how many there are stands here until it is closed.
pub(super) struct Stack {
    pub(super) slab: Slab,
    states: NonNull<AtomicU8>,
    bottom: NonNull<u16>,
    free: u32,
}

impl Stack {
    /// Takes an object from it. It may be raw.
    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<Round> {
        self.free = self.free.checked_sub(1)?;
        // SAFETY: an entry below the top.
        let number = unsafe { self.bottom.add(self.free as usize).read() };
        Some(self.slab.round(number.into()))
    }

    /// Puts a free object of the slab back on it. Says no if it is another slab's.
    #[inline(always)]
    pub(super) fn push(&mut self, round: Round) -> bool {
        let number = round.state.addr().get().wrapping_sub(self.states.addr().get());
        if number >= self.slab.capacity as usize {
            return false;
        }
        // SAFETY: an object is on the stack at most once, so there is room.
        unsafe { self.bottom.add(self.free as usize).write(number as u16) };
        self.free += 1;
        if round.state() == CACHED {
            round.set_state(IN_SLAB);
        }
        true
    }

    /// Ends its use.
    #[inline(always)]
    pub(super) fn close(self) -> Slab {
        self.slab.free.set(self.free);
        self.slab
    }
}
