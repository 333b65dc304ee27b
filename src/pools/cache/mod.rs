//! The object cache (the kernel's `kmem_cache`): objects of one size, which stay constructed between uses.
//!
//! ```text
//!   alloc, free         without a lock: the thread's own magazine       (magazine, front, places)
//!        │
//!   a stack at a time   under the cache's lock: the depot               (store, depot)
//!        │
//!   one by one          under the cache's lock: slabs, partial, full and empty    (store, slab)
//! ```
//! An object is constructed when it leaves its slab for the first time, and destructed when the slab goes back
//! to the system; in between it is handed out and taken back as often as you like. Of each object one
//! byte says whether it is free: a double free, a pointer into an object or to anything else is refused.
//!
//! A cache is a resident of a tree: when its parent is freed, it ends with all its objects, those in use as
//! well: they are destructed, too, and must not be touched any more. Who wants to know of them destroys the cache,
//! which is refused while there are any.
//!
//! Constructors and destructors are foreign code. No lock is held while one runs; it may use the cache. One
//! that never returns (a longjmp) loses the objects that were to be constructed with it.

mod alloc;
mod bulk;
mod change;
mod config;
mod depot;
mod extent;
mod free;
mod front;
mod index;
mod magazine;
mod places;
mod registry;
mod slab;
mod stack;
mod stats;
mod store;

use core::cell::{Cell, UnsafeCell};
use core::ffi::{CStr, c_char};
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;

use super::resident::{Kind, Resident, ResidentRef};
use crate::error::FreeError;
use crate::mem::lock::Held;
use crate::mem::slab::Shape;
use crate::process;
use crate::tree::Chunk;
use change::Change;
use places::Magazines;
use slab::{RAW, Slab};
use store::{MAX_BATCH, Store};

pub(super) use alloc::alloc_general_quick;
pub use alloc::alloc_quick;
pub(super) use config::GENERAL;
pub use config::{COLOUR, Config, CreateError, FLAGS, HWALIGN, Hook, ZERO_ON_ALLOC, ZERO_ON_FREE};
pub(super) use free::free_general_quick;
pub use free::{Misuse, free_quick};
pub(super) use front::Key;
pub use stats::{Row, Rows, Stats, rows};

/// Why a cache was not destroyed. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestroyError {
    /// So many objects are in use.
    InUse(usize),
    /// The chunk lives on.
    Chunk(FreeError),
}

/// A cache. See the module.
#[repr(C)]
#[derive(Debug)]
pub struct Cache {
    size: usize,
    flags: u32,
    magazines: Magazines,
    shape: Shape,
    align: usize,
    batch: usize,
    construct: Option<Hook>,
    destruct: Option<Hook>,
    name: Cell<*const c_char>,
    store: UnsafeCell<Store>,
    failures: AtomicU64,
    /// Allocations and frees without a magazine.
    direct: [AtomicU64; 2],
    next: Cell<Option<NonNull<Cache>>>,
    prev: Cell<Option<NonNull<Cache>>>,
}

// SAFETY: the store is touched only under the lock of the cache, the links under that of the lists of
// residents; the hooks are promised to be callable from any thread; the name is set before others see the cache.
unsafe impl Sync for Cache {}

/// A cache that lives in a tree.
pub type CacheRef = ResidentRef<Cache>;

/// The shared part of a cache, while its lock is held.
struct Locked<'a> {
    store: &'a mut Store,
    _held: Held<'static>,
}

/// A cache for the users of `parent`, whose newest child it is.
///
/// # Errors
/// [`CreateError`].
///
/// # Safety
/// As for [`ops::alloc`](crate::ops::alloc). The hooks may be called with any object, from any thread, until
/// the cache has ended.
pub unsafe fn create(parent: Option<Chunk>, name: &CStr, config: &Config) -> Result<CacheRef, CreateError> {
    process::setup();
    if config.flags & GENERAL != 0 {
        return Err(CreateError::BadFlags);
    }
    let cache = Cache::new(config)?;
    // SAFETY: the caller's.
    let cache = unsafe { CacheRef::create(parent, name, cache) }.map_err(CreateError::Memory)?;
    let zeroes = config.flags & (ZERO_ON_ALLOC | ZERO_ON_FREE) != 0;
    cache.enter(cache.name(), Key::of(cache.ptr().addr(), zeroes));
    Ok(cache)
}

/// Ends `cache`, if no object is in use. Nobody else uses it at the time.
///
/// # Errors
/// [`DestroyError`]; it lives on then.
///
/// # Safety
/// As for [`ops::free`](crate::ops::free).
pub unsafe fn destroy(cache: CacheRef, location: *const c_char) -> Result<(), DestroyError> {
    match cache.in_use() {
        // SAFETY: the caller's.
        0 => unsafe { cache.destroy(location) }.map_err(DestroyError::Chunk),
        in_use => Err(DestroyError::InUse(in_use)),
    }
}

impl Cache {
    /// A cache that nobody knows of yet. It is used only where it stays until its end.
    pub(super) fn new(config: &Config) -> Result<Cache, CreateError> {
        let Config { size, flags, construct, destruct, .. } = *config;
        let (align, shape) = config.check()?;
        // Half of a magazine. Large objects are not hoarded.
        let batch = match shape.stride {
            0..=128 => MAX_BATCH,
            129..=256 => 64,
            257..=1024 => 32,
            1025..=4096 => 16,
            4097..=65536 => 4,
            _ => 1,
        };
        Ok(Cache {
            size,
            flags,
            magazines: Magazines::new(batch),
            shape,
            align,
            batch,
            construct,
            destruct,
            name: Cell::new(core::ptr::null()),
            store: UnsafeCell::new(Store::new(batch, shape.stride, flags & GENERAL != 0)),
            failures: AtomicU64::new(0),
            direct: [const { AtomicU64::new(0) }; 2],
            next: Cell::new(None),
            prev: Cell::new(None),
        })
    }

    /// The cache is where it will stay, and is called `name`, and known by `key`.
    pub(super) fn enter(&self, name: *const c_char, key: Key) {
        self.name.set(name);
        self.magazines.key.set(key);
        registry::enter(NonNull::from_ref(self));
    }

    /// Undoes [`enter`](Cache::enter).
    pub(super) fn leave(&self) {
        registry::remove(self);
    }

    fn lock(&self) -> Locked<'_> {
        let held = process::resident_lock(core::ptr::from_ref(self).addr()).hold();
        // SAFETY: the lock is held until this is dropped, and gives the only way to the store.
        Locked { store: unsafe { &mut *self.store.get() }, _held: held }
    }

    /// What it is known by.
    fn key(&self) -> Key {
        self.magazines.key.get()
    }

    /// Bytes of an object, as asked for.
    pub fn object_size(&self) -> usize {
        self.size
    }

    /// Bytes that an object may use: its size, and what lies between it and the next.
    pub fn usable_size(&self) -> usize {
        self.shape.stride
    }

    /// The alignment of its objects, in bytes.
    pub fn align(&self) -> usize {
        self.align
    }

    /// The object, filled with zeros.
    fn cleared(&self, object: NonNull<u8>) -> NonNull<u8> {
        // SAFETY: an object that nobody uses at the moment.
        unsafe { object.write_bytes(0, self.size) };
        object
    }

    /// A change of the calling thread's magazine, which is made now if it has none.
    fn change<'a>(&'a self, _locked: &mut Locked<'_>) -> Option<Change<'a>> {
        self.magazines.mine().or_else(|| self.magazines.add())
    }

    /// After a fork: what was in the magazines of threads that are no more goes back to the slabs.
    fn recover(&self, locked: &mut Locked<'_>) {
        if locked.store.lost {
            self.empty_own(locked);
            locked.store.recover();
        }
    }

    /// Puts what is in the calling thread's magazine and in the depot into the slabs.
    fn empty_own(&self, locked: &mut Locked<'_>) {
        if let Some(mut change) = self.magazines.mine() {
            change.drain(|rounds| locked.store.put_all(rounds));
        }
        locked.store.empty_depot();
    }

    /// Destructs what is in the slabs that `first` leads to, and gives them back. Returns their bytes.
    fn release(&self, first: Option<Slab>, to_system: bool) -> usize {
        let mut bytes = 0;
        let mut next = first;
        while let Some(slab) = next {
            next = slab.next.get();
            if let Some(hook) = self.destruct {
                for round in slab.rounds().filter(|round| round.state() != RAW) {
                    // SAFETY: a constructed object of this cache that nobody uses any more.
                    unsafe { hook.run(round.object) };
                    round.set_state(RAW);
                }
            }
            // SAFETY: the slab is in no list, and all its objects are free or the cache ends.
            bytes += unsafe { slab.release(&self.shape, to_system) };
        }
        bytes
    }

    /// Gives all slabs back to the system that have no object in use, or in the magazine of another thread.
    /// Returns their bytes.
    pub fn shrink(&self) -> usize {
        let mut locked = self.lock();
        self.recover(&mut locked);
        self.empty_own(&mut locked);
        let empty = locked.store.take_empty();
        drop(locked);
        self.release(empty, true)
    }

    /// How many objects are in use. Looks at every slab.
    pub fn in_use(&self) -> usize {
        self.lock().store.slabs().map(Slab::in_use).sum()
    }

    /// The calling thread ends.
    fn leave_thread(&self) {
        let locked = self.lock();
        if let Some(mut change) = self.magazines.mine() {
            change.drain(|rounds| locked.store.put_all(rounds));
            locked.store.empty_depot_of_mine();
            self.magazines.leave(change);
        }
    }

    /// In the child of a fork.
    fn leave_other_threads(&self) {
        let locked = self.lock();
        if self.magazines.abandon_others() {
            locked.store.lost = true;
        }
    }
}

impl Resident for Cache {
    const KIND: Kind = Kind::Cache;

    fn end(&self) -> usize {
        self.leave();
        let in_use = self.in_use();
        let locked = self.lock();
        // First of all: no destructor, and no signal handler, is to take an object out of them.
        // SAFETY: nobody uses the cache any more.
        unsafe { self.magazines.release() };
        let slabs = locked.store.take_all();
        drop(locked);
        self.release(slabs, false);
        in_use
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // SAFETY: nobody uses the cache any more.
        unsafe { self.magazines.release() };
    }
}
