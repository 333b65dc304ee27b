//! Many objects at once. What single calls look up for each, the magazine and where the objects of a slab lie, is looked up
//! once for many; each object is checked as by a single call.

use core::ffi::c_void;
use core::ptr::NonNull;

use super::change::Filling;
use super::config::{ZERO_ON_ALLOC, ZERO_ON_FREE};
use super::index::{self, View};
use super::slab::{CACHED, IN_USE, Round};
use super::{Cache, Misuse, front};

impl Cache {
    /// As many objects as `out` has places, or none. Says whether they are there.
    ///
    /// # Safety
    /// `out` leads to `n` places.
    pub unsafe fn alloc_bulk(&self, n: usize, out: *mut *mut c_void) -> bool {
        let mut got = 0;
        while got < n {
            // SAFETY: so many places are left.
            got += unsafe { self.alloc_some(n - got, out.add(got)) };
            if got < n {
                let Some(object) = self.alloc_slow() else {
                    // SAFETY: so many have been written, of objects that nobody uses.
                    unsafe { self.free_bulk(core::slice::from_raw_parts(out, got), |_, _| {}) };
                    return false;
                };
                // SAFETY: a place of `out`.
                unsafe { out.add(got).write(object.as_ptr().cast()) };
                got += 1;
            }
        }
        true
    }

    /// Up to `n` objects, as many as come the short way: from the thread's magazine at the front. Returns how many.
    ///
    /// # Safety
    /// `out` leads to `n` places.
    unsafe fn alloc_some(&self, n: usize, out: *mut *mut c_void) -> usize {
        let Some(mut change) = front::mine(self.key()) else { return 0 };
        // SAFETY: the caller's.
        let taken = unsafe { change.pop_many(n, out) };
        drop(change);
        if self.flags & ZERO_ON_ALLOC != 0 {
            for i in 0..taken {
                // SAFETY: a place of `out`, where an object has been written to.
                unsafe { self.cleared(NonNull::new_unchecked(out.add(i).read().cast())) };
            }
        }
        taken
    }

    /// Takes objects back, each as by [`free`](Cache::free). Nulls are skipped; what is `refused` is told.
    ///
    /// # Safety
    /// Nobody uses any of them any more.
    pub unsafe fn free_bulk(&self, objects: &[*mut c_void], mut refused: impl FnMut(*mut c_void, Misuse)) {
        let mut rest = objects;
        while let [object, others @ ..] = rest {
            match self.free_some(rest) {
                0 => {
                    if let Some(at) = NonNull::new(object.cast())
                        // SAFETY: the caller's.
                        && let Err(misuse) = unsafe { self.free(at) }
                    {
                        refused(*object, misuse);
                    }
                    rest = others;
                }
                n => rest = &rest[n..],
            }
        }
    }

    /// Takes the first of these objects back, as many as go the short way: into the thread's magazine at the front. Returns
    /// how many.
    fn free_some(&self, objects: &[*mut c_void]) -> usize {
        let key = self.key();
        let Some(mut change) = front::mine(key) else { return 0 };
        let mut filling = change.filling();
        let mut rest = objects;
        while let [object, ..] = rest
            && let Some(slab) = index::entry_at(object.addr()).view_of(key)
        {
            match rest.split_at_checked(put_neighbours(&slab, rest, &mut filling)) {
                Some((some, others)) if !some.is_empty() => rest = others,
                _ => break,
            }
        }
        filling.close_freed();
        drop(change);
        let n = objects.len() - rest.len();
        if self.flags & ZERO_ON_FREE != 0 {
            for object in &objects[..n] {
                // SAFETY: an object that was put in.
                self.cleared(unsafe { NonNull::new_unchecked(object.cast()) });
            }
        }
        n
    }
}

/// Puts the first of these objects, which may be any numbers, into a magazine: as many as are in use, of this slab, and have
/// room. Returns how many.
#[inline(always)]
fn put_neighbours(slab: &View, objects: &[*mut c_void], to: &mut Filling) -> usize {
    let room = to.room();
    for &object in &objects[..objects.len().min(room)] {
        let Some(state) = slab.state_at(object.addr()) else { break };
        // SAFETY: an object's address.
        let round = Round { object: unsafe { NonNull::new_unchecked(object.cast()) }, state };
        if round.state() != IN_USE {
            break;
        }
        round.set_state(CACHED);
        to.push(round);
    }
    room - to.room()
}
