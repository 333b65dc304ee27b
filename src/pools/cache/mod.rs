//! The object cache (the kernel's `kmem_cache`): objects of one size, which stay constructed between uses.
//!
//! ```text
//!   alloc, free         without a lock: the thread's own magazine       (magazine)
//!        │
//!   a batch at a time   under the cache's lock: the depot               (store)
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

mod magazine;
mod registry;
mod slab;
mod stats;
mod store;

use core::cell::{Cell, UnsafeCell};
use core::ffi::{CStr, c_char, c_void};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::resident::{Kind, Resident, ResidentRef};
use crate::error::{AllocError, FreeError};
use crate::mem::lock::Held;
use crate::mem::slab::{LINE, MAX_ALIGN, MAX_OBJECT, Shape};
use crate::process;
use crate::tree::Chunk;
use magazine::{Magazine, Magazines};
use slab::{CACHED, IN_USE, RAW, Round, Slab};
use store::{Fresh, MAX_BATCH, Store};

pub use stats::{Row, Rows, Stats, rows};

/// Objects start at a line of the processor's caches, and no two share one.
pub const HWALIGN: u32 = 0x1;
/// An object is filled with zeros when it is freed.
pub const ZERO_ON_FREE: u32 = 0x2;
/// An object is filled with zeros when it is allocated.
pub const ZERO_ON_ALLOC: u32 = 0x4;
/// The objects of different slabs begin at different distances from the slab's start, so that they do not
/// compete for the same lines of the processor's caches.
pub const COLOUR: u32 = 0x8;
/// One of the caches of [`kmalloc`](super::kmalloc).
pub(super) const GENERAL: u32 = 0x8000_0000;
/// All flags that a user may give.
pub const FLAGS: u32 = HWALIGN | ZERO_ON_FREE | ZERO_ON_ALLOC | COLOUR;

/// A constructor or destructor: a function that is called with an object, and a word for it.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    /// What is called.
    pub call: unsafe extern "C" fn(object: *mut c_void, word: *mut c_void),
    /// What it is given beside the object.
    pub word: *mut c_void,
}

impl Hook {
    /// # Safety
    /// `object` is one that the hook was made for.
    unsafe fn run(self, object: NonNull<u8>) {
        // SAFETY: the caller's.
        unsafe { (self.call)(object.as_ptr().cast(), self.word) }
    }
}

/// What a cache is to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Config {
    /// Bytes of an object; at least 1, at most [`MAX_OBJECT`](crate::mem::slab::MAX_OBJECT).
    pub size: usize,
    /// Its alignment in bytes, a power of two up to 64 KiB; 0 for one that suits any C type of the size: the
    /// largest power of two that divides the size, between 8 and 16.
    pub align: usize,
    /// [`HWALIGN`] and so on.
    pub flags: u32,
    /// Called with each object before it is used for the first time. From any thread.
    pub construct: Option<Hook>,
    /// Called with each constructed object before its memory goes back. From any thread. Only together with a
    /// constructor.
    pub destruct: Option<Hook>,
}

/// Why there is no such cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateError {
    /// The size is 0.
    NoSize,
    /// The size is too large.
    TooLarge,
    /// The alignment is no power of two, or too large.
    BadAlign,
    /// There is no such flag.
    BadFlags,
    /// Objects cannot be filled with zeros and stay constructed.
    ZeroedAndConstructed,
    /// There is a destructor, but no constructor.
    OnlyDestructed,
    /// No memory, or a limit on the parent.
    Memory(AllocError),
}

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

/// Why a cache was not destroyed. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestroyError {
    /// So many objects are in use.
    InUse(usize),
    /// The chunk lives on.
    Chunk(FreeError),
}

/// A cache. See the module. What every call needs comes first.
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
    cache.enter(cache.name());
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
        let Config { size, mut align, flags, construct, destruct } = *config;
        if size == 0 {
            return Err(CreateError::NoSize);
        }
        if size > MAX_OBJECT {
            return Err(CreateError::TooLarge);
        }
        if flags & !(FLAGS | GENERAL) != 0 {
            return Err(CreateError::BadFlags);
        }
        if align == 0 {
            align = (1 << size.trailing_zeros()).clamp(8, 16);
        }
        if flags & HWALIGN != 0 {
            align = align.max(LINE);
        }
        if !align.is_power_of_two() || align > MAX_ALIGN {
            return Err(CreateError::BadAlign);
        }
        if flags & (ZERO_ON_ALLOC | ZERO_ON_FREE) != 0 && (construct.is_some() || destruct.is_some()) {
            return Err(CreateError::ZeroedAndConstructed);
        }
        if destruct.is_some() && construct.is_none() {
            return Err(CreateError::OnlyDestructed);
        }
        let shape = Shape::new(size, align, flags & COLOUR != 0).ok_or(CreateError::TooLarge)?;
        // Half of a magazine. Large objects are not hoarded.
        let batch = match shape.stride {
            0..=256 => MAX_BATCH,
            257..=1024 => 32,
            1025..=4096 => 16,
            4097..=65536 => 4,
            _ => 1,
        };
        Ok(Cache {
            size,
            flags,
            magazines: Magazines::new(2 * batch),
            shape,
            align,
            batch,
            construct,
            destruct,
            name: Cell::new(core::ptr::null()),
            store: UnsafeCell::new(Store::new(batch, shape.stride)),
            failures: AtomicU64::new(0),
            direct: [const { AtomicU64::new(0) }; 2],
            next: Cell::new(None),
            prev: Cell::new(None),
        })
    }

    /// The cache is where it will stay, and is called `name`.
    pub(super) fn enter(&self, name: *const c_char) {
        self.name.set(name);
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

    /// An object, constructed if there is a constructor; its contents are else undefined, or zeros with
    /// [`ZERO_ON_ALLOC`]. `None` without memory.
    #[inline(always)]
    pub fn alloc(&self) -> Option<NonNull<u8>> {
        self.alloc_quick().or_else(|| self.alloc_slow())
    }

    /// [`alloc`](Cache::alloc), only if it goes the short way: from the thread's magazine. `None` says nothing.
    #[inline(always)]
    pub fn alloc_quick(&self) -> Option<NonNull<u8>> {
        if self.flags & ZERO_ON_ALLOC != 0 {
            return None;
        }
        self.magazines.mine_quick()?.pop()
    }

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
    pub unsafe fn free_quick(&self, object: NonNull<u8>) -> bool {
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
            && magazine.has_room()
        {
            round.set_state(CACHED);
            magazine.push(round);
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
    pub(super) unsafe fn free_general_quick(object: NonNull<u8>) -> bool {
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
    pub(super) unsafe fn free_general(object: NonNull<u8>) -> Option<Result<(), Misuse>> {
        let slab = Slab::at(object.addr().get())?;
        Some(match Cache::general(slab) {
            Some(cache) => cache.take_back(slab, object),
            None => Err(Misuse::Foreign),
        })
    }

    /// The bytes that `object` has, if it is one in use of a cache with [`GENERAL`].
    pub(super) fn general_size(object: NonNull<u8>) -> Option<usize> {
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
    pub(super) fn has_in_use(&self, object: NonNull<u8>) -> bool {
        Slab::at(object.addr().get()).is_some_and(|slab| {
            slab.owner() == NonNull::from_ref(self)
                && slab.round_at(object).is_some_and(|round| round.state() == IN_USE)
        })
    }

    /// The object, filled with zeros.
    fn cleared(&self, object: NonNull<u8>) -> NonNull<u8> {
        // SAFETY: an object that nobody uses at the moment.
        unsafe { object.write_bytes(0, self.size) };
        object
    }

    /// As many objects as `out` has places, or none. Says whether they are there.
    ///
    /// # Safety
    /// `out` leads to `n` places.
    pub unsafe fn alloc_bulk(&self, n: usize, out: *mut *mut c_void) -> bool {
        for i in 0..n {
            let Some(object) = self.alloc() else {
                for j in 0..i {
                    // SAFETY: a place of `out`, written below; the object is this function's still.
                    unsafe {
                        if let Some(object) = NonNull::new(out.add(j).read()) {
                            let _ = self.free(object.cast());
                        }
                    }
                }
                return false;
            };
            // SAFETY: a place of `out`.
            unsafe { out.add(i).write(object.as_ptr().cast()) };
        }
        true
    }

    /// The calling thread's magazine, made now if it has none.
    fn magazine<'a>(&'a self, _locked: &mut Locked<'_>) -> Option<&'a Magazine> {
        self.magazines.mine().or_else(|| self.magazines.add())
    }

    #[cold]
    #[inline(never)]
    fn alloc_slow(&self) -> Option<NonNull<u8>> {
        // The magazine may lie where the quick search does not look.
        let object = self.magazines.mine().and_then(Magazine::pop).or_else(|| self.refill());
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
            let magazine = self.magazine(&mut locked);
            self.recover(&mut locked);
            if let Some(magazine) = magazine {
                if !locked.store.load(magazine) {
                    locked.store.take(self.batch, self.construct.is_some(), &mut fresh, |round| {
                        magazine.push(round);
                    });
                }
                magazine.count_miss();
                if let Some(object) = magazine.pop() {
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
                match magazine {
                    Some(magazine) => magazine.count_allocation(),
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
            } else if !self.magazines.mine().is_some_and(|magazine| magazine.push(round)) {
                self.lock().store.put(round);
            }
        }
        first
    }

    /// A new slab.
    fn grow(&self) -> Option<()> {
        let colour = self.lock().store.next_colour(&self.shape);
        let slab = Slab::create(self, &self.shape, colour)?;
        self.lock().store.settle(slab);
        Some(())
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

    /// After a fork: what was in the magazines of threads that are no more goes back to the slabs.
    fn recover(&self, locked: &mut Locked<'_>) {
        if locked.store.lost {
            self.empty_own(locked);
            locked.store.recover();
        }
    }

    /// Puts what is in the calling thread's magazine and in the depot into the slabs.
    fn empty_own(&self, locked: &mut Locked<'_>) {
        if let Some(magazine) = self.magazines.mine() {
            magazine.drain(usize::MAX, |round| locked.store.put(round));
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
        if let Some(magazine) = self.magazines.mine() {
            magazine.drain(usize::MAX, |round| locked.store.put(round));
            self.magazines.leave();
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

/// What is wrong with a pointer into a slab of the cache.
#[cold]
fn verdict(round: Option<Round>) -> Misuse {
    match round {
        Some(round) if round.state() == RAW => Misuse::Foreign,
        Some(_) => Misuse::Free,
        None => Misuse::Inside,
    }
}

impl Resident for Cache {
    const KIND: Kind = Kind::Cache;

    fn end(&self) -> usize {
        self.leave();
        let in_use = self.in_use();
        let slabs = self.lock().store.take_all();
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
