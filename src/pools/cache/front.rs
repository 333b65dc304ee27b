//! Where a thread's magazine in a cache is looked for first: at a place that the cache and the thread pointer say
//! together, so that one look tells the magazine, and that there is such a cache.
//!
//! Caches share a table; where two have the same place for two threads, or for one, the first to come has it, and the other
//! finds its magazine the long way (`places`). Caches of the general sizes have a row for a thread, in which each has its
//! own place.
//!
//! A place is claimed under the lock of the cache, by the thread itself. Who asks for its own magazine of a cache sees that
//! claim, for it is its own, and everything that other threads write there names another thread. So no lock is needed to
//! look.

use super::change::Change;
use super::magazine::Magazine;
use crate::mem::os;

/// Places that caches share.
const PLACES: usize = 1024;
/// Rows of general caches.
const ROWS: usize = 64;
/// Places of a row.
const ROW: usize = 128;

#[repr(align(64))]
struct Place(Magazine);

static SHARED: [Place; PLACES] = [const { Place(Magazine::vacant()) }; PLACES];
static GENERAL: [[Place; ROW]; ROWS] = [const { [const { Place(Magazine::vacant()) }; ROW] }; ROWS];

/// What keys of caches without a general size begin with; no number of a general cache is as large.
const LEAST_POINTER: usize = ROW * size_of::<Place>();
/// In the key of a cache whose objects are filled with zeros.
const ZEROING: usize = 1;

/// What a cache is known by: the pointer that its users have. With a bit in it that no pointer has, where the shortest ways
/// are not for it. For a general size, a small number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pools) struct Key(usize);

impl Key {
    /// Of none.
    pub(super) const NONE: Key = Key(0);

    /// Of the cache that users know as `pointer`.
    pub(super) fn of(pointer: usize, zeroing: bool) -> Key {
        Key(pointer | if zeroing { ZEROING } else { 0 })
    }

    /// Of the general cache with number `i`.
    pub(in crate::pools) const fn general(i: usize) -> Key {
        assert!(i + 1 < ROW);
        Key((i + 1) * size_of::<Place>())
    }

    /// What stands for it in a table, and back.
    #[inline(always)]
    pub(in crate::pools) const fn number(self) -> usize {
        self.0
    }

    #[inline(always)]
    pub(in crate::pools) const fn from_number(number: usize) -> Key {
        Key(number)
    }

    /// Whether it is that of a general cache.
    #[inline(always)]
    pub(super) fn is_general(self) -> bool {
        self.0 < LEAST_POINTER
    }

    /// Whether it is that of a cache whose objects are filled with zeros.
    #[inline(always)]
    pub(super) fn is_zeroing(self) -> bool {
        self.0 & ZEROING != 0
    }
}

/// The place of the thread `owner` in the cache that users know as `pointer`. Threads lie at least a page apart.
#[inline(always)]
fn shared_place(pointer: usize, owner: usize) -> &'static Magazine {
    let mixed = (pointer as u32).wrapping_mul(0x61c8_8647).wrapping_add(owner as u32);
    &SHARED[(mixed >> 12) as usize % PLACES].0
}

#[inline(always)]
fn general_place(key: Key, owner: usize) -> &'static Magazine {
    &GENERAL[(owner >> 12) % ROWS][key.0 / size_of::<Place>() % ROW].0
}

/// The place of the thread `owner` in the cache with `key`.
pub(super) fn place(key: Key, owner: usize) -> &'static Magazine {
    if key.is_general() { general_place(key, owner) } else { shared_place(key.0 & !ZEROING, owner) }
}

/// A change of the calling thread's magazine in the cache with `key`, which is no general one's, if it has its place, and
/// is in no change.
#[inline(always)]
pub(super) fn mine(key: Key) -> Option<Change<'static>> {
    let me = os::thread_pointer();
    shared_place(key.0 & !ZEROING, me).begin_quick(key, me)
}

/// [`mine`] in the cache that users know as `pointer`, and that zeroes nothing; any number can be asked about.
#[inline(always)]
pub(super) fn mine_of(pointer: usize) -> Option<Change<'static>> {
    let me = os::thread_pointer();
    shared_place(pointer, me).begin_quick(Key(pointer), me)
}

/// [`mine`] in the general cache with `key`.
#[inline(always)]
pub(super) fn mine_general(key: Key) -> Option<Change<'static>> {
    let me = os::thread_pointer();
    general_place(key, me).begin_general_quick(me)
}
