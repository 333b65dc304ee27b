//! Taking objects: from the thread's magazine, and how that is filled.

use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

use super::config::ZERO_ON_ALLOC;
use super::front;
use super::slab::{CACHED, IN_USE, Round, Slab};
use super::store::Fresh;
use super::{Cache, Key};

impl Cache {
    /// An object, constructed if there is a constructor; its contents are else undefined, or zeros with
    /// [`ZERO_ON_ALLOC`]. `None` without memory.
    #[inline(always)]
    pub fn alloc(&self) -> Option<NonNull<u8>> {
        self.alloc_quick().or_else(|| self.alloc_slow())
    }

    /// [`alloc`](Cache::alloc), only if it goes the short way: from the thread's magazine at the front. `None` says
    /// nothing.
    #[inline(always)]
    fn alloc_quick(&self) -> Option<NonNull<u8>> {
        let object = front::mine(self.key())?.pop_quick()?;
        Some(if self.flags & ZERO_ON_ALLOC != 0 { self.cleared(object) } else { object })
    }

    /// [`alloc`](Cache::alloc) the long way.
    #[cold]
    #[inline(never)]
    pub(super) fn alloc_slow(&self) -> Option<NonNull<u8>> {
        // The magazine may lie where the quick search does not look.
        let object = self.magazines.mine().and_then(|mut change| change.pop()).or_else(|| self.refill());
        match object {
            Some(object) if self.flags & ZERO_ON_ALLOC != 0 => Some(self.cleared(object)),
            Some(_) => object,
            None => {
                self.failures.fetch_add(1, Relaxed);
                None
            }
        }
    }

    /// Fills the calling thread's magazine, and takes an object from it; without a magazine, just an object.
    fn refill(&self) -> Option<NonNull<u8>> {
        loop {
            let mut fresh = Fresh::new();
            let mut single = None;
            let mut locked = self.lock();
            self.recover(&mut locked);
            if let Some(mut change) = self.change(&mut locked) {
                // A signal handler may have put something in since this was found empty.
                if let Some(object) = change.pop() {
                    return Some(object);
                }
                match locked.store.fetch(self.construct.is_some()) {
                    Some(full) => change.load(full),
                    None => {
                        let mut filling = change.filling();
                        locked.store.take(self.batch, self.construct.is_some(), &mut fresh, |round| {
                            filling.push(round);
                        });
                        filling.close();
                    }
                }
                locked.store.misses += 1;
                if let Some(object) = change.pop() {
                    // Constructed ones were taken first; what is raw waits for its turn.
                    fresh.rounds().for_each(|round| locked.store.put(round));
                    return Some(object);
                }
            } else {
                locked.store.take(1, self.construct.is_some(), &mut fresh, |round| single = Some(round));
            }
            drop(locked);
            if let Some(round) = single.or_else(|| self.construct_all(&fresh)) {
                round.set_state(IN_USE);
                match self.magazines.mine() {
                    Some(mut change) => change.count_allocation(),
                    None => _ = self.direct[0].fetch_add(1, Relaxed),
                }
                return Some(round.object);
            }
            self.grow()?;
        }
    }

    /// Constructs raw objects. The first one is the caller's, the others go where free ones go.
    fn construct_all(&self, fresh: &Fresh) -> Option<Round> {
        let hook = self.construct?;
        let mut first = None;
        for round in fresh.rounds() {
            // SAFETY: an object of this cache that nobody has.
            unsafe { hook.run(round.object) };
            round.set_state(CACHED);
            if first.is_none() {
                first = Some(round);
            } else if !self.magazines.mine().is_some_and(|mut change| change.push(round)) {
                self.lock().store.put(round);
            }
        }
        first
    }

    /// A new slab, unless somebody else has made one meanwhile.
    fn grow(&self) -> Option<()> {
        let locked = self.lock();
        if locked.store.has_objects() {
            return Some(());
        }
        let colour = locked.store.next_colour(&self.shape);
        let slab = Slab::create(self, &self.shape, colour)?;
        locked.store.settle(slab);
        Some(())
    }
}

/// [`Cache::alloc`] from the cache behind `cache`, only if it goes the shortest way: the thread has a magazine in it, at
/// the front. `None` says nothing, not even that it is a cache.
///
/// # Safety
/// No other thread ends the cache meanwhile.
#[inline(always)]
pub unsafe fn alloc_quick(cache: *const c_void) -> Option<NonNull<u8>> {
    front::mine(Key::from_number(cache.addr()))?.pop_quick()
}

/// [`Cache::alloc`] from the general cache with `key`, only if it goes the shortest way.
#[inline(always)]
pub(in crate::pools) fn alloc_general_quick(key: Key) -> Option<NonNull<u8>> {
    front::mine_general(key)?.pop_quick()
}
