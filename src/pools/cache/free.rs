//! Taking objects back: what is one, what is none, and where it goes.

use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

use super::change::Change;
use super::config::{GENERAL, ZERO_ON_FREE};
use super::front;
use super::index::{self, Entry};
use super::slab::{CACHED, IN_USE, RAW, Round, Slab};
use super::{Cache, Key};

/// Why an object was not taken back. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// It is no object of this cache, or never was handed out.
    Foreign,
    /// It lies inside an object.
    Inside,
    /// It is free.
    Free,
}

impl Cache {
    /// Takes an object back, in the state in which the next user is to find it.
    ///
    /// # Errors
    /// [`Misuse`].
    ///
    /// # Safety
    /// Nobody uses the object any more.
    #[inline(always)]
    pub unsafe fn free(&self, object: NonNull<u8>) -> Result<(), Misuse> {
        // SAFETY: the caller's.
        if unsafe { self.free_quick(object) } { Ok(()) } else { self.free_slow(object) }
    }

    #[cold]
    #[inline(never)]
    fn free_slow(&self, object: NonNull<u8>) -> Result<(), Misuse> {
        match Slab::at(object.addr().get()) {
            Some(slab) if slab.owner() == NonNull::from_ref(self) => self.take_back(slab, object),
            _ => Err(Misuse::Foreign),
        }
    }

    /// [`free`](Cache::free), only if it goes the short way: into the thread's magazine at the front. If it does not,
    /// nothing has happened.
    ///
    /// # Safety
    /// As for [`free`](Cache::free).
    #[inline(always)]
    unsafe fn free_quick(&self, object: NonNull<u8>) -> bool {
        let known = self.key().number();
        let key = Key::from_number(early(known));
        let entry = index::entry_at(object.addr().get());
        entry.key() == known
            && put(
                entry,
                object.as_ptr(),
                || front::mine(key),
                || {
                    if self.flags & ZERO_ON_FREE != 0 {
                        self.cleared(object);
                    }
                },
            )
    }

    /// [`free`](Cache::free) of an object of whichever cache with [`GENERAL`].
    ///
    /// # Errors
    /// [`Misuse`]; `None` when `object` lies in no slab.
    ///
    /// # Safety
    /// As for [`free`](Cache::free).
    pub(in crate::pools) unsafe fn free_general(object: NonNull<u8>) -> Option<Result<(), Misuse>> {
        let slab = Slab::at(object.addr().get())?;
        Some(match Cache::general(slab) {
            Some(cache) => cache.take_back(slab, object),
            None => Err(Misuse::Foreign),
        })
    }

    /// The bytes that `object` has, if it is one in use of a cache with [`GENERAL`].
    pub(in crate::pools) fn general_size(object: NonNull<u8>) -> Option<usize> {
        let slab = Slab::at(object.addr().get())?;
        let in_use = slab.round_at(object).is_some_and(|round| round.state() == IN_USE);
        Cache::general(slab).filter(|_| in_use).map(Cache::usable_size)
    }

    #[inline(always)]
    fn general(slab: Slab) -> Option<&'static Cache> {
        // SAFETY: a slab does not outlive its cache; one with the flag has no end.
        let cache = unsafe { slab.owner().as_ref() };
        (cache.flags & GENERAL != 0).then_some(cache)
    }

    /// Whether `object` is one of this cache's and in use.
    pub(in crate::pools) fn has_in_use(&self, object: NonNull<u8>) -> bool {
        Slab::at(object.addr().get()).is_some_and(|slab| {
            slab.owner() == NonNull::from_ref(self)
                && slab.round_at(object).is_some_and(|round| round.state() == IN_USE)
        })
    }

    /// [`free`](Cache::free) of what lies in `slab`, which is this cache's.
    fn take_back(&self, slab: Slab, object: NonNull<u8>) -> Result<(), Misuse> {
        let round = slab.round_at(object);
        let Some(round) = round.filter(|round| round.state() == IN_USE) else { return Err(verdict(round)) };
        round.set_state(CACHED);
        if self.flags & ZERO_ON_FREE != 0 {
            self.cleared(object);
        }
        self.shelve(round);
        Ok(())
    }

    /// Puts a free object where the next user finds it.
    fn shelve(&self, round: Round) {
        if let Some(mut change) = self.magazines.mine()
            && let Some(room) = change.room()
        {
            return room.take_back(round);
        }
        let mut locked = self.lock();
        self.recover(&mut locked);
        match self.change(&mut locked) {
            Some(mut change) => {
                if change.room().is_none() {
                    change.unload(|full| locked.store.leave(full));
                }
                if let Some(room) = change.room_quick() {
                    room.take_back(round);
                }
            }
            None => {
                locked.store.put(round);
                self.direct[1].fetch_add(1, Relaxed);
            }
        }
        let surplus = locked.store.take_surplus();
        drop(locked);
        self.release(surplus, false);
    }
}

/// Puts `object`, which may be any number, into the magazine whose change `begin` begins, if it is one in use of the slab
/// with this entry, and there is room. `clear` is called in between. If not, nothing has happened.
#[inline(always)]
fn put(
    entry: &Entry,
    object: *mut u8,
    begin: impl FnOnce() -> Option<Change<'static>>,
    clear: impl FnOnce(),
) -> bool {
    if let Some(state) = entry.state_at(object.addr())
        // SAFETY: an object's address.
        && let round = (Round { object: unsafe { NonNull::new_unchecked(object) }, state })
        && round.state() == IN_USE
        && let Some(mut change) = begin()
        && let Some(room) = change.room_quick()
    {
        round.set_state(CACHED);
        clear();
        room.take_back(round);
        return true;
    }
    false
}

/// [`Cache::free`] of an object of the cache behind `cache`, only if it goes the shortest way. If it does not, nothing has
/// happened. The object says whose it is, and the thread has a magazine there: nothing is looked at of `cache`.
///
/// # Safety
/// As for [`Cache::free`].
#[inline(always)]
pub unsafe fn free_quick(cache: *const c_void, object: *mut c_void) -> bool {
    let (known, key) = (cache.addr(), Key::from_number(early(cache.addr())));
    let entry = index::entry_at(object.addr());
    entry.key() == known && put(entry, object.cast(), || front::mine(key), || {})
}

/// The same number, of which the compiler does not know that it is the same. What is found by this one waits for nothing else:
/// where it was found equal to one that comes out of a table, the compiler goes on with that.
#[inline(always)]
fn early(number: usize) -> usize {
    #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
    {
        let mut same = number;
        // SAFETY: no instruction at all.
        unsafe {
            core::arch::asm!("/* {} */", inout(reg) same, options(pure, nomem, nostack, preserves_flags));
        }
        same
    }
    #[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
    number
}

/// [`Cache::free`] of an object of whichever general cache, only if it goes the shortest way. If it does not, nothing has
/// happened.
///
/// # Safety
/// As for [`Cache::free`].
#[inline(always)]
pub(in crate::pools) unsafe fn free_general_quick(object: *mut c_void) -> bool {
    let entry = index::entry_at(object.addr());
    let key = Key::from_number(entry.key());
    key.is_general() && put(entry, object.cast(), || front::mine_general(key), || {})
}

/// What is wrong with a pointer into a slab of the cache.
#[cold]
fn verdict(round: Option<Round>) -> Misuse {
    match round {
        Some(round) if round.state() == RAW => Misuse::Foreign,
        Some(_) => Misuse::Free,
        None => Misuse::Inside,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pools::cache::{Config, alloc_quick, create, destroy};

    /// No address but the cache's own is taken for a cache, nor one of the numbers that general caches are known by, nor what
    /// stands in tables where there is none.
    #[test]
    fn the_shortest_ways_know_caches_by_their_pointers_alone() {
        let (plain, zeroing) = (
            Config { size: 64, ..Config::default() },
            Config { size: 64, flags: ZERO_ON_FREE, ..Config::default() },
        );
        let at = |address: usize| core::ptr::without_provenance::<c_void>(address);
        // SAFETY: trees of this test's, and objects that nobody uses.
        unsafe {
            let caches = [&plain, &zeroing].map(|config| create(None, c"known", config).unwrap());
            let objects = caches.map(|cache| cache.alloc().unwrap().as_ptr().cast::<c_void>());
            let general = crate::pools::kmalloc::alloc(64).unwrap().as_ptr().cast::<c_void>();
            let other = caches.map(|cache| cache.ptr().addr());
            for object in [objects[0], objects[1], general] {
                let inside = (other[1]..other[1] + size_of::<Cache>()).skip(1);
                let wrong = (0..9000).chain(other.map(|cache| cache + 1)).chain(inside).chain([usize::MAX]);
                assert!(wrong.clone().all(|cache| !free_quick(at(cache), object)));
                assert!(wrong.clone().all(|cache| alloc_quick(at(cache)).is_none()));
            }
            assert!(!free_quick(caches[1].ptr(), objects[0]) && !free_quick(caches[0].ptr(), general));
            assert!(!free_general_quick(objects[0]) && !free_general_quick(objects[0].wrapping_byte_add(1)));
            assert!(free_quick(caches[0].ptr(), objects[0]) && free_general_quick(general));
            assert!(!free_quick(caches[0].ptr(), objects[0]) && !free_general_quick(general));
            caches[1].free(NonNull::new(objects[1].cast()).unwrap()).unwrap();
            let gone = caches.map(|cache| cache.ptr());
            caches.iter().for_each(|&cache| destroy(cache, c"here".as_ptr()).unwrap());
            assert!(gone.iter().all(|&cache| alloc_quick(cache).is_none() && !free_quick(cache, objects[0])));
        }
    }

    /// What two frees of one object at the same instant leave behind: it is twice in the magazines.
    #[test]
    fn an_object_that_was_put_in_twice_comes_out_once() {
        let config = Config { size: 64, ..Config::default() };
        // SAFETY: a tree of this test's, and objects that nobody uses.
        unsafe {
            let cache = create(None, c"twice", &config).unwrap();
            let put_in_twice = || {
                let object = cache.alloc().unwrap();
                let round = Slab::at(object.addr().get()).unwrap().round_at(object).unwrap();
                cache.free(object).unwrap();
                assert!(cache.magazines.mine().unwrap().push(round));
            };
            put_in_twice();
            let (one, other) = (cache.alloc().unwrap(), cache.alloc().unwrap());
            assert_ne!(one, other);
            cache.free(one).unwrap();
            cache.free(other).unwrap();
            // On the way back to the slabs, too.
            put_in_twice();
            let slab = cache.stats();
            assert_eq!(cache.shrink(), slab.slab_size);
            assert_eq!((cache.in_use(), cache.stats().total), (0, 0));
            destroy(cache, c"here".as_ptr()).unwrap();
        }
    }
}
