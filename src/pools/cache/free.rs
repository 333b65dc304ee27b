//! Taking objects back: what is one, what is none, and where it goes.

use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

use super::config::{GENERAL, ZERO_ON_FREE};
use super::slab::{CACHED, IN_USE, RAW, Round, Slab};
use super::{Cache, CacheRef};

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

    /// [`free`](Cache::free), only if it goes the short way: into the thread's magazine. If it does not, nothing
    /// has happened.
    ///
    /// # Safety
    /// As for [`free`](Cache::free).
    #[inline(always)]
    unsafe fn free_quick(&self, object: NonNull<u8>) -> bool {
        match Slab::at_quick(object.addr().get()) {
            Some(slab) if slab.owner() == NonNull::from_ref(self) => self.free_from_quick(slab, object),
            _ => false,
        }
    }

    #[inline(always)]
    fn free_from_quick(&self, slab: Slab, object: NonNull<u8>) -> bool {
        if self.flags & ZERO_ON_FREE == 0
            && let Some(round) = slab.round_at(object)
            && round.state() == IN_USE
            && let Some(magazine) = self.magazines.mine_quick()
            && let Some(room) = magazine.room()
        {
            round.set_state(CACHED);
            room.fill(round);
            magazine.count_free();
            return true;
        }
        false
    }

    /// [`free_quick`](Cache::free_quick) of an object of whichever cache with [`GENERAL`].
    ///
    /// # Safety
    /// As for [`free`](Cache::free).
    #[inline(always)]
    pub(in crate::pools) unsafe fn free_general_quick(object: NonNull<u8>) -> bool {
        Slab::at_quick(object.addr().get())
            .is_some_and(|slab| Cache::general(slab).is_some_and(|cache| cache.free_from_quick(slab, object)))
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
        if let Some(magazine) = self.magazines.mine()
            && magazine.push(round)
        {
            return magazine.count_free();
        }
        let mut locked = self.lock();
        self.recover(&mut locked);
        match self.magazine(&mut locked) {
            Some(magazine) => {
                if !magazine.push(round) {
                    locked.store.unload(magazine);
                    magazine.push(round);
                }
                magazine.count_free();
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

/// [`Cache::free`] of an object of the cache behind `cache`, only if it goes the short way. If it does not, nothing has
/// happened. The object itself says whose it is, so no more is looked at of `cache` than whether it is that one.
///
/// # Safety
/// As for [`Cache::free`].
#[inline(always)]
pub unsafe fn free_quick(cache: *const c_void, object: *mut c_void) -> bool {
    let Some(slab) = Slab::at_quick(object.addr()) else { return false };
    if !CacheRef::leads_to(cache, slab.owner()) {
        return false;
    }
    // SAFETY: a slab does not outlive its cache; nothing lies at address 0.
    let (cache, object) = unsafe { (slab.owner().as_ref(), NonNull::new_unchecked(object.cast())) };
    cache.flags & GENERAL == 0 && cache.free_from_quick(slab, object)
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
    use crate::pools::cache::{Config, create, destroy};

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
