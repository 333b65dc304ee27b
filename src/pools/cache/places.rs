//! Whose magazine is whose.
//!
//! Each thread has one place at the *front*, where its magazine is looked for first; where two threads have
//! the same place, one of them finds its own in a hash table. Both are read without a lock, and changed under the
//! lock of the cache; when the table grows, the old one is kept until the cache's end, for those who are reading it.

use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{
    AtomicPtr, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

use super::magazine::{Magazine, Tally};
use crate::mem::heap;
use crate::mem::os;
use crate::mem::size;
use crate::mem::threads;

/// Owner of a magazine that waits for a thread.
const NOBODY: usize = 0;
/// Places at the front.
const FRONT: usize = 32;
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
#[repr(C)]
#[derive(Debug)]
pub(super) struct Magazines {
    front: [Entry; FRONT],
    /// Of the table, the address of the entries, which is a multiple of 16, and in its low bits the binary
    /// logarithm of their number; 0 while there is none.
    table: AtomicUsize,
    /// Rounds of each magazine.
    capacity: usize,
    /// Those of a former table that nobody has, linked.
    spare: AtomicPtr<Magazine>,
}

/// Where the thread `owner` has its place at the front. Thread pointers are apart by what a stack takes, whole
/// pages.
#[inline(always)]
fn place_of(owner: usize) -> usize {
    (owner >> 12) % FRONT
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
        let heap = threads::current()?;
        let (at, _) =
            if bytes <= size::SLOT_MAX { heap.take(size::class_of(bytes)) } else { heap.take_single(bytes) }?;
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
    /// None yet; each will have room for `capacity` objects.
    pub(super) fn new(capacity: usize) -> Magazines {
        let unused = || Entry { owner: AtomicUsize::new(NOBODY), magazine: AtomicPtr::new(null_mut()) };
        Magazines {
            front: core::array::from_fn(|_| unused()),
            table: AtomicUsize::new(0),
            capacity,
            spare: AtomicPtr::new(null_mut()),
        }
    }

    fn table(&self) -> Option<Table> {
        let packed = self.table.load(Acquire);
        (packed != 0).then(|| Table::of(packed))
    }

    /// The calling thread's, if it is at the front.
    #[inline(always)]
    pub(super) fn mine_quick(&self) -> Option<&Magazine> {
        let me = os::thread_pointer();
        let entry = &self.front[place_of(me)];
        if entry.owner.load(Relaxed) != me {
            return None;
        }
        // SAFETY: an entry with an owner has a magazine, which lives as long as the cache.
        Some(unsafe { NonNull::new_unchecked(entry.magazine.load(Relaxed)).as_ref() })
    }

    /// The calling thread's entry.
    fn entry(&self) -> Option<&Entry> {
        let me = os::thread_pointer();
        let front = &self.front[place_of(me)];
        if front.owner.load(Relaxed) == me {
            return Some(front);
        }
        self.table()?
            .search(me)
            .take_while(|entry| !is_unused(entry))
            .find(|entry| entry.owner.load(Relaxed) == me)
    }

    /// The calling thread's, wherever it is.
    #[inline(never)]
    pub(super) fn mine(&self) -> Option<&Magazine> {
        // SAFETY: as in `mine_quick`.
        self.entry().map(|entry| unsafe { &*entry.magazine.load(Relaxed) })
    }

    /// A magazine for the calling thread, which has none. `None` without memory. The caller holds the lock of the
    /// cache.
    pub(super) fn add(&self) -> Option<&Magazine> {
        // So that the thread has a heap, and its end is seen.
        threads::current()?;
        let me = os::thread_pointer();
        let front = &self.front[place_of(me)];
        let entry = if is_vacant(front) { front } else { self.table_entry(me)? };
        let mut magazine = entry.magazine.load(Relaxed);
        if magazine.is_null() {
            magazine = self.take_spare().or_else(|| Magazine::create(self.capacity))?.as_ptr();
            entry.magazine.store(magazine, Release);
        }
        entry.owner.store(me, Release);
        // SAFETY: as in `mine_quick`.
        Some(unsafe { &*magazine })
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
        unsafe { &*magazine }.next_spare.store(self.spare.load(Relaxed), Relaxed);
        self.spare.store(magazine, Relaxed);
    }

    fn take_spare(&self) -> Option<NonNull<Magazine>> {
        let first = NonNull::new(self.spare.load(Relaxed))?;
        // SAFETY: as above.
        self.spare.store(unsafe { first.as_ref() }.next_spare.load(Relaxed), Relaxed);
        Some(first)
    }

    /// The calling thread ends, and has emptied its magazine. The caller holds the lock of the cache.
    pub(super) fn leave(&self) {
        if let Some(entry) = self.entry() {
            entry.owner.store(NOBODY, Release);
        }
    }

    /// In the child of a fork: the magazines of threads that are not there any more become empty and
    /// nobody's. Says whether there were any.
    pub(super) fn abandon_others(&self) -> bool {
        let me = os::thread_pointer();
        let mut any = false;
        for entry in self.entries() {
            let owner = entry.owner.load(Relaxed);
            if owner != NOBODY && owner != me {
                // SAFETY: as in `mine_quick`.
                unsafe { &*entry.magazine.load(Relaxed) }.forget();
                entry.owner.store(NOBODY, Relaxed);
                any = true;
            }
        }
        any
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        let in_table = self.table().into_iter().flat_map(Table::all);
        self.front.iter().chain(in_table.map(|entry| -> &Entry { entry }))
    }

    fn all(&self) -> impl Iterator<Item = &Magazine> {
        let in_place = self.entries().map(|entry| entry.magazine.load(Acquire));
        // SAFETY: magazines live as long as their cache.
        let next = |at: *mut Magazine| unsafe { at.as_ref() }.map(|m| m.next_spare.load(Relaxed));
        let spare = core::iter::successors(Some(self.spare.load(Relaxed)), move |&at| next(at));
        // SAFETY: as above.
        in_place.chain(spare).filter_map(|at| unsafe { at.as_ref() })
    }

    /// What they have done together. The caller holds the lock of the cache.
    pub(super) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        self.all().for_each(|magazine| magazine.add_to(&mut tally));
        tally
    }

    /// Gives the memory of all magazines and tables back.
    ///
    /// # Safety
    /// Nobody uses the cache any more.
    pub(super) unsafe fn release(&self) {
        let mut spare = self.spare.load(Relaxed);
        for entry in self.entries().filter(|entry| !is_unused(entry)) {
            let magazine = entry.magazine.load(Relaxed);
            // SAFETY: as in `put_spare`.
            unsafe { &*magazine }.next_spare.store(spare, Relaxed);
            spare = magazine;
        }
        while let Some(at) = NonNull::new(spare) {
            // SAFETY: all magazines are in this list once, and nobody uses them.
            unsafe {
                spare = at.as_ref().next_spare.load(Relaxed);
                heap::give(at.cast());
            }
        }
        let mut packed = self.table.swap(0, Relaxed);
        while packed != 0 {
            let head = Table::of(packed).head();
            // SAFETY: nobody reads the tables any more.
            unsafe {
                packed = head.as_ref().older;
                heap::give(head.cast());
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
