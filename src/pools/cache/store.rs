//! What the threads of a cache share, under its lock: the slabs in three lists, and the depot.
//!
//! A thread that only frees leaves full stacks in the depot, a thread that only allocates finds them, and no slab is
//! touched. A thread takes back what it has left itself, if there is any, and where that costs nothing, objects of slabs before
//! those of other threads: so objects whose states share a line are mostly one thread's.

use core::mem::MaybeUninit;

use super::depot::Depot;
use super::slab::{CACHED, Open, Place, RAW, Round, Slab};
use super::stack::Stack;
use crate::mem::os;
use crate::mem::slab::Shape;

/// The most objects that are moved at once.
pub(super) const MAX_BATCH: usize = 128;
/// The most bytes of free objects in the depot of a cache, and in that of a general one, of which there are many.
const MOST_KEPT: [usize; 2] = [2 << 20, 1 << 20];
/// The most raw objects that are constructed for one allocation.
pub(super) const MAX_FRESH: usize = 16;
/// An empty slab that was not needed for this time, in milliseconds, goes back.
const KEPT_FOR: u64 = 1000;

/// A list of slabs.
#[derive(Debug, Default)]
struct List {
    first: Option<Slab>,
    len: usize,
}

/// Raw objects on the way to be constructed.
pub(super) struct Fresh {
    rounds: [MaybeUninit<Round>; MAX_FRESH],
    len: usize,
}

impl Fresh {
    pub(super) fn new() -> Fresh {
        Fresh { rounds: [const { MaybeUninit::uninit() }; MAX_FRESH], len: 0 }
    }

    pub(super) fn rounds(&self) -> impl Iterator<Item = Round> {
        // SAFETY: the first `len` have been written.
        self.rounds[..self.len].iter().map(|round| unsafe { round.assume_init() })
    }

    fn push(&mut self, round: Round) {
        self.rounds[self.len].write(round);
        self.len += 1;
    }
}

/// Numbers about the slabs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) partial: usize,
    pub(super) full: usize,
    pub(super) empty: usize,
    /// Objects in the depot.
    pub(super) depot: usize,
    /// Stacks that the depot has room for.
    pub(super) depot_limit: usize,
    /// The most objects that were outside their slabs at a time.
    pub(super) most_out: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Store {
    lists: [List; 3],
    depot: Depot,
    /// Objects moved at once.
    batch: usize,
    colour: usize,
    /// Objects that are not on a slab's open.
    out: usize,
    most_out: usize,
    /// The fewest empty slabs that there were since `watched_since`, in milliseconds.
    fewest_empty: usize,
    watched_since: u64,
    /// Allocations that found their magazine empty.
    pub(super) misses: u64,
    /// A fork has left magazines behind, whose objects are to be found again.
    pub(super) lost: bool,
}

impl Store {
    pub(super) fn new(batch: usize, stride: usize, general: bool) -> Store {
        Store {
            lists: Default::default(),
            depot: Depot::new(MOST_KEPT[usize::from(general)], batch * stride),
            batch,
            colour: 0,
            out: 0,
            most_out: 0,
            fewest_empty: 0,
            watched_since: 0,
            misses: 0,
            lost: false,
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let len = |place: Place| self.lists[place as usize].len;
        Counts {
            partial: len(Place::Partial),
            full: len(Place::Full),
            empty: len(Place::Empty),
            depot: self.depot.len() * self.batch,
            depot_limit: self.depot.limit(),
            most_out: self.most_out,
        }
    }

    /// The colour of the next slab.
    pub(super) fn next_colour(&mut self, shape: &Shape) -> usize {
        let colour = self.colour % shape.colours;
        self.colour = colour + 1;
        colour
    }

    fn unlink(&mut self, slab: Slab) {
        let place = slab.place.replace(Place::Nowhere);
        if place == Place::Nowhere {
            return;
        }
        let list = &mut self.lists[place as usize];
        match slab.prev.get() {
            Some(prev) => prev.next.set(slab.next.get()),
            None => list.first = slab.next.get(),
        }
        if let Some(next) = slab.next.get() {
            next.prev.set(slab.prev.get());
        }
        list.len -= 1;
        if place == Place::Empty {
            self.fewest_empty = self.fewest_empty.min(list.len);
        }
    }

    fn link(&mut self, slab: Slab, place: Place) {
        let list = &mut self.lists[place as usize];
        slab.place.set(place);
        slab.prev.set(None);
        slab.next.set(list.first);
        if let Some(first) = list.first {
            first.prev.set(Some(slab));
        }
        list.first = Some(slab);
        list.len += 1;
    }

    /// Puts a slab into the list where it belongs now; a new one, too.
    pub(super) fn settle(&mut self, slab: Slab) {
        let place = slab.fitting_place();
        if slab.place.get() != place {
            self.unlink(slab);
            self.link(slab, place);
        }
    }

    /// Puts a free object into its slab.
    pub(super) fn put(&mut self, round: Round) {
        self.put_all(&[round]);
    }

    /// Puts free objects into their slabs. Often many in a row are neighbours.
    pub(super) fn put_all(&mut self, rounds: &[Round]) {
        let mut open: Option<Open> = None;
        let mut rest = rounds;
        while let [round, others @ ..] = rest {
            // What two threads freed at the same moment comes twice, and is put back once.
            if round.state() != CACHED && round.state() != RAW {
                rest = others;
                continue;
            }
            if !open.as_mut().is_some_and(|open| open.reach(*round)) {
                if let Some(last) = open.take() {
                    self.settle(last.close());
                }
                open = Some(Slab::of(*round).open_at(*round));
            }
            let n = open.as_mut().map_or(0, |open| open.push_all(rest));
            self.out -= n;
            rest = &rest[n..];
        }
        if let Some(open) = open {
            self.settle(open.close());
        }
    }

    /// Takes up to `n` objects out of the slabs: those that are constructed, or that need it not, go `to` the
    /// caller, who takes them all; raw ones, if objects are `constructed` here, to `fresh`.
    pub(super) fn take(
        &mut self,
        n: usize,
        constructed: bool,
        fresh: &mut Fresh,
        mut to: impl FnMut(Round),
    ) -> usize {
        let mut taken = 0;
        while taken + fresh.len < n {
            let list = |place: Place| self.lists[place as usize].first;
            let Some(slab) = list(Place::Partial).or_else(|| list(Place::Empty)) else { break };
            let mut open = slab.open();
            let mut popped = 0;
            // Of raw ones, no more than there is room for.
            let wanted = |taken, fresh: &Fresh| {
                let most = if constructed { MAX_FRESH - fresh.len } else { n };
                most.min(n - taken - fresh.len)
            };
            while let Some(run) = open.pop_run(wanted(taken, fresh)) {
                popped += run.len();
                for round in run {
                    if constructed && round.state() == RAW {
                        fresh.push(round);
                    } else {
                        round.set_state(CACHED);
                        to(round);
                        taken += 1;
                    }
                }
            }
            self.out += popped;
            self.settle(open.close());
            if fresh.len == MAX_FRESH {
                break;
            }
        }
        self.most_out = self.most_out.max(self.out);
        taken
    }

    /// Whether there are objects in the slabs.
    pub(super) fn has_objects(&self) -> bool {
        [Place::Partial, Place::Empty].iter().any(|&place| self.lists[place as usize].first.is_some())
    }

    /// A full stack out of the depot, for the calling thread: the newest that it has left, or the newest of all, unless
    /// slabs have objects that are as good.
    pub(super) fn fetch(&mut self, constructed: bool) -> Option<Stack> {
        let own = self.depot.take_newest_of(os::thread_pointer());
        own.or_else(|| {
            let no_better = constructed || self.depot.len() > self.depot.limit() / 2 || !self.has_objects();
            if no_better { self.depot.take_newest() } else { None }
        })
    }

    /// Takes a full stack of the calling thread into the depot. Returns an empty one for it. Where the depot is full, its oldest
    /// one is put into the slabs.
    pub(super) fn leave(&mut self, full: Stack) -> Stack {
        let spare = if self.depot.len() == self.depot.limit() {
            self.depot.take_oldest().inspect(|&oldest| self.put_stack(oldest))
        } else {
            Stack::create(self.batch)
        };
        match spare {
            Some(empty) => {
                self.depot.put(full, os::thread_pointer());
                empty
            }
            None => {
                self.put_stack(full);
                full
            }
        }
    }

    /// Puts what is in a full stack, which is nobody else's, into the slabs.
    fn put_stack(&mut self, full: Stack) {
        // SAFETY: the caller's.
        self.put_all(unsafe { full.lowest(self.batch) });
    }

    /// Puts all that is in the depot into the slabs.
    pub(super) fn empty_depot(&mut self) {
        while let Some(stack) = self.depot.take_newest() {
            self.unpack(stack);
        }
    }

    /// Puts what the calling thread has left in the depot into the slabs.
    pub(super) fn empty_depot_of_mine(&mut self) {
        while let Some(stack) = self.depot.take_newest_of(os::thread_pointer()) {
            self.unpack(stack);
        }
    }

    /// Puts what is in a stack that was in the depot into the slabs.
    fn unpack(&mut self, stack: Stack) {
        self.put_stack(stack);
        // SAFETY: nobody else's.
        unsafe { stack.end() };
    }

    /// Takes the empty slabs out, linked.
    pub(super) fn take_empty(&mut self) -> Option<Slab> {
        self.take_some_empty(usize::MAX)
    }

    /// Takes out, linked, as many empty slabs as were not needed for some time: called now and then.
    pub(super) fn take_surplus(&mut self) -> Option<Slab> {
        let now = os::milliseconds();
        if now - self.watched_since < KEPT_FOR {
            return None;
        }
        let surplus = self.take_some_empty(self.fewest_empty);
        self.watched_since = now;
        self.fewest_empty = self.counts().empty;
        surplus
    }

    fn take_some_empty(&mut self, n: usize) -> Option<Slab> {
        let mut taken = None;
        for _ in 0..n {
            let Some(slab) = self.lists[Place::Empty as usize].first else { break };
            self.unlink(slab);
            slab.next.set(taken);
            taken = Some(slab);
        }
        taken
    }

    /// Finds the objects again that were in magazines which a fork has left behind: all that no user
    /// has goes back to its slab. The depot and the magazines are empty.
    pub(super) fn recover(&mut self) {
        self.lost = false;
        for place in [Place::Partial, Place::Full] {
            let mut next = self.lists[place as usize].first;
            while let Some(slab) = next {
                next = slab.next.get();
                slab.recount();
            }
        }
        self.out = 0;
        for place in [Place::Full, Place::Partial] {
            let mut next = self.lists[place as usize].first;
            while let Some(slab) = next {
                next = slab.next.get();
                self.out += slab.in_use();
                self.settle(slab);
            }
        }
    }

    /// All slabs.
    pub(super) fn slabs(&self) -> impl Iterator<Item = Slab> {
        let all = |list: &List| core::iter::successors(list.first, |slab| slab.next.get());
        self.lists.iter().flat_map(all)
    }

    /// Takes all slabs out, linked, and drops what is in the depot.
    pub(super) fn take_all(&mut self) -> Option<Slab> {
        while let Some(stack) = self.depot.take_newest() {
            // SAFETY: nobody else's.
            unsafe { stack.end() };
        }
        let mut taken = None;
        for place in [Place::Partial, Place::Full, Place::Empty] {
            while let Some(slab) = self.lists[place as usize].first {
                self.unlink(slab);
                slab.next.set(taken);
                taken = Some(slab);
            }
        }
        taken
    }
}
