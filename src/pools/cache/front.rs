//! Where a thread's magazine in a cache is looked for first: at a place that the cache and the thread pointer say
//! together, so that one look tells the magazine, and that there is such a cache.
//!
//! Caches share a table; where two have the same place for two threads, or for one, the first to come has it, and the other
//! finds its magazine the long way (`places`). Caches of the general sizes have a row for a thread, in which each has its
//! own place.
//!
//! A place is claimed under the lock of the cache, by the thread itself. Who asks for its own magazine of a cache sees that
//! claim, for it is its own, and every badge that other threads write there is another's. So no lock is needed to look.
//!
//! Where a place lies is known early: it follows from what the call was given, and from nothing that has to be read first (but
//! for a free of a general size). A processor that goes ahead stops at each access to a magazine as long as it does not know where
//! an earlier write to one went.

use super::Cache;
use super::change::Change;
use super::magazine::{Badge, Magazine};
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
const ZEROING: usize = 1 << 63;

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

    /// What stands for it in a table.
    #[inline(always)]
    pub(in crate::pools) const fn number(self) -> usize {
        self.0
    }

    /// Of `number`, which is that of a key.
    #[inline(always)]
    pub(in crate::pools) const fn from_number(number: usize) -> Key {
        Key(number)
    }

    /// Whether it is that of a general cache.
    #[inline(always)]
    pub(super) fn is_general(self) -> bool {
        self.0 < LEAST_POINTER
    }
}

const FACTOR: usize = 0x0a10_172d;

// The bit of caches that zero is half of all that there is, modulo 2^64.
const _: () =
    assert!(size_of::<Cache>() * FACTOR > 400 << 30 && (FACTOR * (50 << 30)) < ZEROING - (400 << 30));

/// What tells a thread's badge in the cache with `key` from its thread pointer.
///
/// No two caches lie in one place. So these numbers of two caches lie at least 400 GB apart, as long as the caches do not lie more
/// than 50 GiB apart, and no two pairs of a cache and a thread have the same badge while their thread pointers lie less than that
/// apart. Beyond that it is a matter of chance: of one in 2^28 for two threads, each with a cache, as that is how much systems vary
/// where threads lie; and of one in 2^64 for whatever number is given for a pointer.
#[inline(always)]
const fn product(key: Key) -> usize {
    key.0.wrapping_mul(FACTOR)
}

/// The badge of the calling thread in the cache with `key`, which is no general one's.
#[inline(always)]
fn shared_badge(key: Key) -> Badge {
    Badge { idle: os::thread_pointer_plus(product(key)), busy: key.0 }
}

/// The number of the place of the magazine with a badge: out of the sum of this and of the thread pointer without its last
/// byte, so that stacks of 16 KiB have a say in it as well as those of megabytes, a page beyond a power of two or not. The
/// product in the badge tells caches. Of many factors this is one with the fewest magazines that want the same place.
#[inline(always)]
const fn place_number(sum: u32) -> usize {
    (sum >> 13) as usize % PLACES
}

/// The place of the calling thread's magazine with this badge.
#[inline(always)]
fn shared_place(badge: Badge) -> &'static Magazine {
    &SHARED[place_number(os::thread_pointer_without_last_byte_plus(badge.idle as u32))].0
}

/// The badge of the thread `owner` in whichever general cache: the place says in which.
#[inline(always)]
fn general_badge(owner: usize) -> Badge {
    Badge { idle: owner, ..Badge::IN_TABLE }
}

#[inline(always)]
fn general_place(key: Key, owner: usize) -> &'static Magazine {
    debug_assert!(
        key.is_general() && key.0.is_multiple_of(size_of::<Place>()),
        "a general cache's, or none's"
    );
    // Threads lie at least a page apart.
    let row = &raw const GENERAL[(owner >> 12) % ROWS];
    // SAFETY: the number of a general cache is the distance of a place from the start of its row.
    unsafe { &(*row.cast::<Place>().byte_add(key.0)).0 }
}

/// The place of the calling thread in the cache with `key`, and the badge of its magazine.
pub(super) fn place(key: Key) -> (&'static Magazine, Badge) {
    if key.is_general() {
        let me = os::thread_pointer();
        return (general_place(key, me), general_badge(me));
    }
    let badge = shared_badge(key);
    (shared_place(badge), badge)
}

/// A change of the calling thread's magazine in the cache with `key`, which is no general one's, if it has its place, and
/// is in no change. Any number can be asked about.
#[inline(always)]
pub(super) fn mine(key: Key) -> Option<Change<'static>> {
    let badge = shared_badge(key);
    shared_place(badge).begin_short(badge)
}

/// [`mine`] in the general cache with `key`.
#[inline(always)]
pub(super) fn mine_general(key: Key) -> Option<Change<'static>> {
    let me = os::thread_pointer();
    general_place(key, me).begin_quick(general_badge(me))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::geometry::SLICE;
    use std::collections::HashSet;

    /// What threads lie apart: with a page that guards their stacks, with two, and without one.
    const STACKS: [usize; 20] = [
        0x5000, 0x7000, 0x9000, 0x1_1000, 0x2_1000, 0x4_1000, 0x10_1000, 0x20_1000, 0x80_1000, 0x100_1000,
        0x6000, 0x2_2000, 0x80_2000, 0x4000, 0x8000, 0x4_0000, 0x10_0000, 0x20_0000, 0x80_0000, 0x100_0000,
    ];

    /// Where caches lie side by side in their spans, and threads too, few of them want a place that another has, whatever they
    /// take.
    #[test]
    fn caches_and_threads_that_lie_side_by_side_have_places_of_their_own() {
        let (mut all, mut taken) = (0, 0);
        for bytes in [3072, 3136, 3328, 3584, 4096] {
            let cache_at = |i: usize| {
                let in_span = SLICE / bytes;
                0x7f00_1234_0040 + i / in_span * SLICE + i % in_span * bytes
            };
            for stack in STACKS {
                for (caches, threads) in [(8, 2), (4, 8), (8, 16), (16, 16), (20, 4), (100, 2), (2, 64)] {
                    let pairs = caches * threads;
                    let place = |i: usize| {
                        let key = Key::of(cache_at(i % caches), false);
                        let owner = 0x7f55_4321_06c0 - i / caches * stack;
                        place_number(product(key).wrapping_add(owner + (owner >> 8)) as u32)
                    };
                    taken += (0..pairs).map(place).collect::<HashSet<_>>().len();
                    all += pairs;
                }
            }
        }
        assert!(taken * 100 >= all * 97, "{taken} of {all}");
    }
}
