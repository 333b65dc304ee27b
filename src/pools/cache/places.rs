//! Whose magazine is whose.
//!
//! A thread's magazine in a cache has its place at the *front* (`front`), if nobody else had it first; otherwise it is
//! found in a hash table of the cache. Both are read without a lock. Here they change, under the lock of the cache; when the
//! table grows, the old one is kept until the cache's end, for those who are reading it.
//!
//! A magazine at the front goes with its thread, and what it has counted is kept. One of the table waits for another
//! thread, and is empty until then.

use core::cell::Cell;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{
    AtomicPtr, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

use super::change::Change;
use super::front::{self, Key};
use super::magazine::{Badge, Magazine, NOBODY, Tally};
use crate::mem::os;
use crate::pools::books;

/// The first table has two to this many entries.
const FIRST_BITS: usize = 4;
/// A table has at most two to this many: the number is kept in the low bits of its address.
const MAX_BITS: usize = 15;

#[repr(C)]
#[derive(Debug)]
struct Entry {
    owner: AtomicUsize,
    /// Null: this entry has never been used.
    magazine: AtomicPtr<Magazine>,
}

/// What stands before the entries of a table.
#[repr(C)]
struct Head {
    _not_a_tag: u64,
    older: usize,
}

/// The magazines of a cache.
#[derive(Debug)]
pub(super) struct Magazines {
    /// What the cache is known by: set before others know of it.
    pub(super) key: Cell<Key>,
    /// Those at the front, linked.
    front: AtomicPtr<Magazine>,
    /// Of the table, the address of the entries, which is a multiple of 16, and in its low bits the binary
    /// logarithm of their number; 0 while there is none.
    table: AtomicUsize,
    /// Rounds of each stack.
    capacity: usize,
    /// Those of a former table that nobody has, linked.
    spare: AtomicPtr<Magazine>,
    /// Allocations and frees of those that have left the front.
    gone: [AtomicU64; 2],
}

/// A table, taken apart.
#[derive(Clone, Copy)]
struct Table {
    entries: *const Entry,
    bits: usize,
}

impl Table {
    #[inline(always)]
    fn of(packed: usize) -> Table {
        Table { entries: core::ptr::with_exposed_provenance((packed & !15) as _), bits: packed & 15 }
    }

    fn create(bits: usize, older: usize) -> Option<usize> {
        if bits > MAX_BITS {
            return None;
        }
        let bytes = size_of::<Head>() + (size_of::<Entry>() << bits);
        let at = books::take(bytes)?;
        // SAFETY: a slot of this many bytes, nobody else's; zeros are entries that were never used.
        unsafe {
            at.write_bytes(0, bytes);
            at.cast::<Head>().write(Head { _not_a_tag: 0, older });
            Some(at.add(size_of::<Head>()).as_ptr().expose_provenance() | bits)
        }
    }

    #[inline(always)]
    fn entry(self, i: usize) -> &'static Entry {
        // SAFETY: callers stay below the number of entries; a table lives as long as its cache, and its entries
        // are atomics.
        unsafe { &*self.entries.add(i) }
    }

    /// Where the search for the thread `owner` begins.
    #[inline(always)]
    fn home(self, owner: usize) -> usize {
        owner.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - self.bits)
    }

    /// The entries in the order of a search for `owner`.
    fn search(self, owner: usize) -> impl Iterator<Item = &'static Entry> {
        let n = 1 << self.bits;
        (0..n).map(move |i| self.entry((self.home(owner) + i) % n))
    }

    fn all(self) -> impl Iterator<Item = &'static Entry> {
        (0..1 << self.bits).map(move |i| self.entry(i))
    }

    fn head(self) -> NonNull<Head> {
        // SAFETY: the head lies before the entries.
        unsafe { NonNull::new_unchecked(self.entries.cast::<Head>().sub(1).cast_mut()) }
    }
}

impl Magazines {
    /// None yet; each will have two stacks for `capacity` objects.
    pub(super) fn new(capacity: usize) -> Magazines {
        Magazines {
            key: Cell::new(Key::NONE),
            front: AtomicPtr::new(null_mut()),
            table: AtomicUsize::new(0),
            capacity,
            spare: AtomicPtr::new(null_mut()),
            gone: [const { AtomicU64::new(0) }; 2],
        }
    }

    fn table(&self) -> Option<Table> {
        let packed = self.table.load(Acquire);
        (packed != 0).then(|| Table::of(packed))
    }

    /// The calling thread's at the front, if it has its place there, and its badge.
    fn at_front(&self) -> Option<(&'static Magazine, Badge)> {
        let (place, badge) = front::place(self.key.get());
        (place.is_owned_by(os::thread_pointer()) && place.has(badge)).then_some((place, badge))
    }

    /// The calling thread's entry in the table.
    fn entry(&self) -> Option<&'static Entry> {
        let me = os::thread_pointer();
        self.table()?
            .search(me)
            .take_while(|entry| !is_unused(entry))
            .find(|entry| entry.owner.load(Relaxed) == me)
    }

    /// A change of the calling thread's, wherever it is.
    #[inline(never)]
    pub(super) fn mine(&self) -> Option<Change<'_>> {
        if let Some((place, badge)) = self.at_front() {
            return Some(place.begin(badge));
        }
        // SAFETY: an entry with an owner has a magazine, which lives as long as the cache.
        self.entry().map(|entry| unsafe { &*entry.magazine.load(Relaxed) }.begin(Badge::IN_TABLE))
    }

    /// A change of a magazine for the calling thread, which has none. `None` without memory. The caller holds the lock of
    /// the cache.
    pub(super) fn add(&self) -> Option<Change<'_>> {
        // So that the thread has a heap, and its end is seen.
        books::watch_thread()?;
        let me = os::thread_pointer();
        let (place, badge) = front::place(self.key.get());
        if place.claim(badge, me, self.capacity) {
            place.next.store(self.front.load(Relaxed), Relaxed);
            self.front.store(core::ptr::from_ref(place).cast_mut(), Relaxed);
            return Some(place.begin(badge));
        }
        let entry = self.table_entry(me)?;
        let mut magazine = entry.magazine.load(Relaxed);
        if magazine.is_null() {
            magazine = self.take_spare().or_else(|| Magazine::create(self.capacity))?.as_ptr();
            entry.magazine.store(magazine, Release);
        }
        entry.owner.store(me, Release);
        // SAFETY: as in `mine`.
        Some(unsafe { &*magazine }.begin(Badge::IN_TABLE))
    }

    /// A vacant entry of the table for the thread `me`. The table grows before it is half full.
    fn table_entry(&self, me: usize) -> Option<&'static Entry> {
        let vacant = |table: Table| table.search(me).find(|entry| is_vacant(entry));
        let used = |table: Table| table.all().filter(|entry| !is_unused(entry)).count();
        let found = self.table().and_then(vacant);
        let is_full = |table: Table| used(table) * 2 >= 1 << table.bits;
        if found.is_none_or(is_unused) && self.table().is_none_or(is_full) {
            self.grow();
            return self.table().and_then(vacant);
        }
        found
    }

    /// A larger table, of the entries that somebody has. Without memory for it the old one stays.
    fn grow(&self) {
        let older = self.table.load(Relaxed);
        let bits = self.table().map_or(FIRST_BITS, |old| old.bits + 1);
        let Some(packed) = Table::create(bits, older) else { return };
        let new = Table::of(packed);
        for entry in self.table().into_iter().flat_map(Table::all).filter(|entry| !is_unused(entry)) {
            let (owner, magazine) = (entry.owner.load(Relaxed), entry.magazine.load(Relaxed));
            if owner == NOBODY {
                self.put_spare(magazine);
            } else if let Some(place) = new.search(owner).find(|entry| is_unused(entry)) {
                place.magazine.store(magazine, Relaxed);
                place.owner.store(owner, Relaxed);
            }
        }
        self.table.store(packed, Release);
    }

    fn put_spare(&self, magazine: *mut Magazine) {
        // SAFETY: a magazine lives as long as its cache.
        unsafe { &*magazine }.next.store(self.spare.load(Relaxed), Relaxed);
        self.spare.store(magazine, Relaxed);
    }

    fn take_spare(&self) -> Option<NonNull<Magazine>> {
        let first = NonNull::new(self.spare.load(Relaxed))?;
        // SAFETY: as above.
        self.spare.store(unsafe { first.as_ref() }.next.load(Relaxed), Relaxed);
        Some(first)
    }

    /// The calling thread ends, and has emptied its magazine, which is in this change. The caller holds the lock of the cache.
    pub(super) fn leave(&self, change: Change<'_>) {
        match self.entry() {
            Some(entry) => entry.owner.store(NOBODY, Release),
            // SAFETY: its thread ends.
            None => unsafe { self.leave_front(change) },
        }
    }

    /// Takes a magazine, which is empty, from the front.
    ///
    /// # Safety
    /// Nobody uses it any more.
    unsafe fn leave_front(&self, change: Change<'_>) {
        let magazine = change.magazine();
        let mut link = &self.front;
        // SAFETY: statics.
        while let Some(other) = unsafe { link.load(Relaxed).as_ref() } {
            if core::ptr::eq(other, magazine) {
                link.store(magazine.next.load(Relaxed), Relaxed);
                break;
            }
            link = &other.next;
        }
        let mut tally = Tally::default();
        magazine.add_to(&mut tally);
        self.gone[0].fetch_add(tally.allocations, Relaxed);
        self.gone[1].fetch_add(tally.frees, Relaxed);
        // SAFETY: the caller's.
        unsafe { change.vacate() };
    }

    /// In the child of a fork: the magazines of threads that are not there any more become empty and
    /// nobody's. Says whether there were any.
    pub(super) fn abandon_others(&self) -> bool {
        let me = os::thread_pointer();
        let mut any = false;
        for entry in self.table().into_iter().flat_map(Table::all) {
            let owner = entry.owner.load(Relaxed);
            if owner != NOBODY && owner != me {
                // SAFETY: as in `mine`; its thread is no more.
                unsafe { (*entry.magazine.load(Relaxed)).seize() }.forget();
                entry.owner.store(NOBODY, Relaxed);
                any = true;
            }
        }
        while let Some(magazine) = self.fronts().find(|magazine| !magazine.is_owned_by(me)) {
            // SAFETY: its thread is no more.
            unsafe {
                let mut change = magazine.seize();
                change.forget();
                self.leave_front(change);
            }
            any = true;
        }
        any
    }

    /// Those at the front. The caller holds the lock of the cache.
    fn fronts(&self) -> impl Iterator<Item = &'static Magazine> {
        listed(&self.front)
    }

    fn all(&self) -> impl Iterator<Item = &'static Magazine> {
        let in_table = self.table().into_iter().flat_map(Table::all);
        // SAFETY: magazines live as long as their cache.
        let in_table = in_table.filter_map(|entry| unsafe { entry.magazine.load(Acquire).as_ref() });
        self.fronts().chain(in_table).chain(listed(&self.spare))
    }

    /// What they have done together. The caller holds the lock of the cache.
    pub(super) fn tally(&self) -> Tally {
        let [allocations, frees] = [0, 1].map(|i| self.gone[i].load(Relaxed));
        let mut tally = Tally { allocations, frees, cached: 0 };
        self.all().for_each(|magazine| magazine.add_to(&mut tally));
        tally
    }

    /// Gives the memory of all magazines and tables back.
    ///
    /// # Safety
    /// Nobody uses the cache any more.
    pub(super) unsafe fn release(&self) {
        while let Some(magazine) = self.fronts().next() {
            // SAFETY: the caller's.
            unsafe {
                let mine = self.at_front().filter(|&(place, _)| core::ptr::eq(place, magazine));
                self.leave_front(mine.map_or_else(|| magazine.seize(), |(place, badge)| place.begin(badge)));
            }
        }
        for entry in self.table().into_iter().flat_map(Table::all).filter(|entry| !is_unused(entry)) {
            self.put_spare(entry.magazine.load(Relaxed));
        }
        while let Some(spare) = self.take_spare() {
            // SAFETY: all but those at the front are in this list once, and nobody uses them.
            unsafe { Magazine::end(spare) };
        }
        let mut packed = self.table.swap(0, Relaxed);
        while packed != 0 {
            let head = Table::of(packed).head();
            // SAFETY: nobody reads the tables any more.
            unsafe {
                packed = head.as_ref().older;
                books::give(head.cast());
            }
        }
    }
}

/// Whether the entry has never had an owner: a search ends here.
fn is_unused(entry: &Entry) -> bool {
    entry.magazine.load(Acquire).is_null()
}

fn is_vacant(entry: &Entry) -> bool {
    entry.owner.load(Relaxed) == NOBODY
}

/// The magazines of a list. It does not change meanwhile, and lives as long as they do.
fn listed(first: &AtomicPtr<Magazine>) -> impl Iterator<Item = &'static Magazine> + use<> {
    // SAFETY: magazines live as long as their cache, or for ever.
    let at = |at: *mut Magazine| unsafe { at.as_ref() };
    core::iter::successors(at(first.load(Relaxed)), move |last| at(last.next.load(Relaxed)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pools::cache::{Config, create, destroy};
    use std::vec::Vec;

    /// Threads whose places at the front are others' have their magazines in the table, which grows; they are used by
    /// the next threads, and all that was counted is told.
    #[test]
    fn who_comes_second_to_a_place_finds_the_magazine_in_the_table() {
        const THREADS: usize = 20;
        const OBJECTS: usize = 200;
        /// No thread's pointer.
        const SOMEBODY_ELSE: usize = usize::MAX - 15;
        let config = Config { size: 48, ..Config::default() };
        // SAFETY: a tree of this test's, which outlives the threads.
        let resident = unsafe { create(None, c"crowded", &config) }.unwrap();
        let cache: &crate::pools::cache::Cache = &resident;
        for round in 1..=2 {
            let all_are_here = std::sync::Barrier::new(THREADS);
            std::thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        let magazines = &cache.magazines;
                        let (place, _) = front::place(magazines.key.get());
                        // Or it is another test's.
                        let claimed = place.claim(Badge::IN_TABLE, SOMEBODY_ELSE, 2);
                        let objects: Vec<_> = (0..OBJECTS).map(|_| cache.alloc().unwrap()).collect();
                        all_are_here.wait();
                        assert!(magazines.at_front().is_none() && magazines.mine().is_some());
                        for object in objects {
                            // SAFETY: nobody uses it.
                            unsafe { cache.free(object) }.unwrap();
                        }
                        cache.leave_thread();
                        assert!(magazines.mine().is_none());
                        if claimed {
                            // SAFETY: nobody's magazine but this test's.
                            unsafe { place.seize().vacate() };
                        }
                    });
                }
            });
            let stats = cache.stats();
            let done = (round * THREADS * OBJECTS) as u64;
            assert_eq!((stats.allocations, stats.frees, stats.active, stats.cached), (done, done, 0, 0));
        }
        assert!(cache.magazines.all().count() <= 2 * THREADS, "magazines are used again");
        cache.shrink();
        assert_eq!(cache.stats().total, 0);
        // SAFETY: nobody uses it.
        unsafe { destroy(resident, c"here".as_ptr()) }.unwrap();
    }
}
