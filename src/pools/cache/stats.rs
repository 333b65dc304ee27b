//! What can be told of a cache, and of all of them.

use core::ffi::CStr;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

use super::{Cache, registry};
use crate::mem::os;

/// Numbers about a cache. While other threads use it, they are of slightly different moments.
///
/// ```
/// let ctx = tmempool::Context::new("server");
/// let numbers = ctx.cache::<u64>("numbers");
/// let seven = numbers.alloc(7);
/// let stats = numbers.stats();
/// assert_eq!((stats.object_size, stats.active), (8, 1));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of an object, as asked for.
    pub object_size: usize,
    /// Bytes from one object to the next.
    pub stride: usize,
    /// Bytes of a slab.
    pub slab_size: usize,
    /// Objects in a slab.
    pub objects_per_slab: usize,
    /// Objects in use.
    pub active: usize,
    /// Objects in all slabs, in use or not.
    pub total: usize,
    /// The most objects that were out of their slabs at a time: in use, or in a magazine.
    pub peak: usize,
    /// Free objects in the magazines of threads, or on the way between them.
    pub cached: usize,
    /// Slabs with objects in use and others.
    pub slabs_partial: usize,
    /// Slabs with no object to give.
    pub slabs_full: usize,
    /// Slabs with all their objects.
    pub slabs_empty: usize,
    /// Allocations.
    pub allocations: u64,
    /// Frees.
    pub frees: u64,
    /// Allocations that failed.
    pub failures: u64,
    /// Allocations that were served from a magazine, without the lock.
    pub magazine_hits: u64,
    /// Objects that a magazine has room for.
    pub magazine_size: usize,
    /// Objects moved at once between magazines and slabs.
    pub batch: usize,
}

impl Cache {
    /// Its numbers.
    pub fn stats(&self) -> Stats {
        let locked = self.lock();
        let (tally, counts) = (self.magazines.tally(), locked.store.counts());
        let [direct_allocations, direct_frees] = [0, 1].map(|i| self.direct[i].load(Relaxed));
        let allocations = tally.allocations + direct_allocations;
        let frees = tally.frees + direct_frees;
        let slabs = counts.partial + counts.full + counts.empty;
        Stats {
            object_size: self.size,
            stride: self.shape.stride,
            slab_size: self.shape.bytes(),
            objects_per_slab: self.shape.capacity,
            active: allocations.saturating_sub(frees) as usize,
            total: slabs * self.shape.capacity,
            peak: counts.most_out,
            cached: tally.cached + counts.depot,
            slabs_partial: counts.partial,
            slabs_full: counts.full,
            slabs_empty: counts.empty,
            allocations,
            frees,
            failures: self.failures.load(Relaxed),
            magazine_hits: tally.allocations.saturating_sub(locked.store.misses),
            magazine_size: 2 * self.batch,
            batch: self.batch,
        }
    }
}

/// A cache among all.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name as one word, ended by zeros; a long one is cut.
    name: [u8; Row::NAME],
    /// Its numbers.
    pub stats: Stats,
    /// Stacks of [`Stats::batch`] objects that the depot has room for.
    pub depot: usize,
    /// Free objects in the depot.
    pub in_depot: usize,
}

impl Row {
    const NAME: usize = 64;

    /// The name, cut if it is long; blanks and control characters in it are underscores.
    pub fn name(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.name).unwrap_or_default()
    }

    fn of(cache: &Cache) -> Row {
        let mut name = [0; Row::NAME];
        // SAFETY: a cache in the registry has a name, a C string.
        let bytes = unsafe { CStr::from_ptr(cache.name.get()) }.to_bytes();
        for (to, from) in name[..Row::NAME - 1].iter_mut().zip(bytes) {
            *to = if from.is_ascii_whitespace() || from.is_ascii_control() { b'_' } else { *from };
        }
        let counts = cache.lock().store.counts();
        Row { name, stats: cache.stats(), depot: counts.depot_limit, in_depot: counts.depot }
    }
}

/// All caches as they were at one moment, in memory straight from the kernel.
#[derive(Debug)]
pub struct Rows {
    at: NonNull<Row>,
    len: usize,
    mapped: usize,
}

/// All caches, the oldest first. `None` when there is no memory for the list.
pub fn rows() -> Option<Rows> {
    let mut room = 0;
    registry::for_each(|_| room += 1);
    // Some may be made meanwhile.
    room += 64;
    let mapped = (room * size_of::<Row>()).next_multiple_of(os::PAGE);
    let mut rows = Rows { at: os::map(mapped, os::PAGE)?.cast(), len: 0, mapped };
    registry::for_each(|cache| {
        if rows.len < room {
            // SAFETY: there is room for this many.
            unsafe { rows.at.add(rows.len).write(Row::of(cache)) };
            rows.len += 1;
        }
    });
    Some(rows)
}

impl Rows {
    /// The rows, the oldest cache first.
    pub fn iter(&self) -> impl Iterator<Item = &Row> {
        // SAFETY: this many have been written.
        unsafe { core::slice::from_raw_parts(self.at.as_ptr(), self.len) }.iter().rev()
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        // SAFETY: the whole mapping, used by nobody else.
        unsafe { os::unmap(self.at.cast(), self.mapped) };
    }
}
