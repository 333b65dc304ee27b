//! Residents: what lives in a tree as a chunk and holds memory outside it.
//!
//! ```text
//! header of the chunk │ seal │ the resident's state … │ its name
//!                     ^ what the user's pointer leads to
//! ```
//! The seal is made of the process's secret, the kind and the address, and stands there from the end of
//! the resident's creation to the beginning of its end. So a pointer to a resident is told from one to a
//! resident of another kind, to one that is gone, to any other chunk, and from garbage; from any thread. For as long, it
//! is known by its address (`mem/known.rs`), so that mostly one compare is enough.
//!
//! The chunk's finalizer ends the resident, whoever frees the chunk: a destroy, a `talloc_free()` of it, or
//! the end of a context above it.

use core::ffi::{CStr, c_char, c_void};
use core::ops::Deref;
use core::ptr::{self, NonNull};
use core::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use super::notice::{self, Notice};
use crate::error::{AllocError, Fault, FreeError};
use crate::mem::heads;
use crate::mem::known::Known;
use crate::ops;
use crate::process;
use crate::tree::Chunk;

/// What a resident is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// An object cache.
    Cache = 1,
    /// A guaranteed reserve.
    Mempool = 2,
    /// A managed range.
    Genpool = 3,
}

/// The state of a resident. It does not move from its creation to its end, and is used by many threads.
pub trait Resident: Sync {
    /// What it is.
    const KIND: Kind;

    /// The end: gives back all that is held outside the tree, and says how many objects, elements or
    /// ranges were still in use. Foreign code may run, but nobody reaches the resident by its pointer any more.
    /// After this the state is dropped.
    fn end(&self) -> usize;
}

/// A resident as it lies in its chunk.
#[repr(C, align(16))]
struct Seated<T> {
    seal: AtomicU64,
    state: T,
}

/// A live resident. Copies are handles: who has one knows that the resident lives.
#[derive(Debug)]
pub struct ResidentRef<T>(NonNull<Seated<T>>);

impl<T> Clone for ResidentRef<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ResidentRef<T> {}

impl<T> Deref for ResidentRef<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the resident lives (see the type), and its state is only ever shared.
        &unsafe { self.0.as_ref() }.state
    }
}

/// What the seal of a resident of `kind` at `address` is. The secret stands in the upper half, the kind in
/// the place of a tag's flags; addresses have at most 48 bits.
#[inline(always)]
fn seal_of(kind: Kind, address: usize) -> u64 {
    (u64::from(process::lasting_tag() | kind as u32) << 32) ^ address as u64
}

/// The addresses of residents, with their kinds in the lowest bits.
static RESIDENTS: Known = Known::new();

impl<T: Resident> ResidentRef<T> {
    /// A resident with this state, as the newest child of `parent`. The name is copied.
    ///
    /// # Errors
    /// As for [`ops::alloc`]; the state has been dropped then.
    ///
    /// # Safety
    /// As for [`ops::alloc`].
    pub unsafe fn create(parent: Option<Chunk>, name: &CStr, state: T) -> Result<Self, AllocError> {
        const { assert!(align_of::<T>() <= 16 && !core::mem::needs_drop::<AtomicU64>()) };
        let name = name.to_bytes_with_nul();
        // SAFETY: the caller's.
        let chunk = unsafe { ops::alloc(parent, size_of::<Seated<T>>() + name.len())? };
        let at = chunk.ptr().cast::<Seated<T>>();
        // SAFETY: the payload is long enough for both, aligned to 16, and nobody else's; the finalizer fits
        // what is in it.
        unsafe {
            if let Err(error) = ops::set_finalizer(chunk, end::<T>) {
                let _ = ops::free(chunk, ptr::null());
                return Err(error);
            }
            let copy = at.add(1).cast::<u8>();
            copy.copy_from_nonoverlapping(name.as_ptr(), name.len());
            chunk.set_name(copy.cast_const().cast());
            at.write(Seated { seal: AtomicU64::new(0), state });
            (*at).seal.store(seal_of(T::KIND, at.addr()), Release);
            RESIDENTS.enter(Self::known_as(at));
            Ok(ResidentRef(NonNull::new_unchecked(at)))
        }
    }

    /// The resident that `ptr` leads to, if it does. Any number can be asked about (with the malloc backend,
    /// as in [`Chunk::check`]).
    ///
    /// # Errors
    /// What it leads to instead; [`Fault::Unknown`] also for a live chunk of another kind.
    ///
    /// # Safety
    /// No other thread frees the resident meanwhile.
    #[inline(always)]
    pub unsafe fn check(ptr: *const c_void) -> Result<Self, Fault> {
        // SAFETY: the caller's.
        unsafe { if Self::is_known(ptr) { Ok(Self::of_known(ptr)) } else { Self::check_slow(ptr) } }
    }

    /// Whether `ptr` leads to a resident of this type that is known. No says nothing.
    #[inline(always)]
    pub fn is_known(ptr: *const c_void) -> bool {
        RESIDENTS.has(Self::known_as(ptr.cast()))
    }

    /// The resident at `ptr`.
    ///
    /// # Safety
    /// There is one of this type.
    #[inline(always)]
    pub unsafe fn of_known(ptr: *const c_void) -> Self {
        // SAFETY: the caller's; no resident lies at address 0.
        ResidentRef(unsafe { NonNull::new_unchecked(ptr.cast::<Seated<T>>().cast_mut()) })
    }

    /// What a resident at `at` is known as.
    #[inline(always)]
    fn known_as(at: *const Seated<T>) -> usize {
        at.addr().wrapping_add(T::KIND as usize)
    }

    /// [`check`](Self::check) by the seal, where another has taken the place among those that are known. It is known from
    /// then on.
    ///
    /// # Safety
    /// As for [`check`](Self::check).
    unsafe fn check_sealed(ptr: *const c_void) -> Option<Self> {
        let at = ptr.cast::<Seated<T>>().cast_mut();
        // SAFETY: an aligned address in a slice in use, whose memory can all be read.
        if heads::knows(at.addr()) && unsafe { (*at).seal.load(Relaxed) } == seal_of(T::KIND, at.addr()) {
            RESIDENTS.enter(Self::known_as(at));
            return NonNull::new(at).map(ResidentRef);
        }
        None
    }

    #[cold]
    #[inline(never)]
    unsafe fn check_slow(ptr: *const c_void) -> Result<Self, Fault> {
        let at = ptr.cast::<Seated<T>>().cast_mut();
        // SAFETY: the caller's.
        if let Some(resident) = unsafe { Self::check_sealed(ptr) } {
            return Ok(resident);
        }
        // SAFETY: the caller's.
        let chunk = unsafe { Chunk::check(ptr)? };
        // SAFETY: the chunk is alive, and large enough for a seal.
        let sealed = chunk.size() > size_of::<Seated<T>>()
            && unsafe { (*at).seal.load(Acquire) } == seal_of(T::KIND, at.addr());
        NonNull::new(at).filter(|_| sealed).map(ResidentRef).ok_or(Fault::Unknown)
    }

    /// Frees the chunk, and thereby ends the resident. `location` says where, for those who touch it later.
    ///
    /// # Errors
    /// As for [`ops::free`], and [`FreeError::HasReferences`] where that would give it to the owner of its only
    /// reference; it lives on then.
    ///
    /// # Safety
    /// As for [`ops::free`].
    pub unsafe fn destroy(self, location: *const c_char) -> Result<(), FreeError> {
        // SAFETY: the caller's.
        unsafe {
            let referenced = ops::enter_one(self.ptr())
                .map(|(_entry, chunk)| ops::reference_count(chunk) > 0)
                .map_err(FreeError::Corrupt)?;
            if referenced {
                return Err(FreeError::HasReferences);
            }
            ops::free_anywhere(self.chunk(), location)
        }
    }

    /// The pointer that leads to it.
    #[inline]
    pub fn ptr(self) -> *mut c_void {
        self.0.as_ptr().cast()
    }

    /// Its chunk.
    pub fn chunk(self) -> Chunk {
        // SAFETY: the payload of a live chunk, one header behind its start.
        unsafe { Chunk::from_header(self.0.byte_sub(crate::tree::chunk::HEADER).cast()) }
    }

    /// The name that it was made with.
    pub fn name(self) -> *const c_char {
        // SAFETY: the name lies behind the state.
        unsafe { self.0.add(1).as_ptr().cast() }
    }
}

/// The finalizer of a resident's chunk.
unsafe fn end<T: Resident>(payload: NonNull<c_void>) {
    let this = ResidentRef::<T>(payload.cast());
    // SAFETY: a finalizer is called once, with the payload that it was set for, which is intact.
    unsafe { this.0.as_ref() }.seal.store(0, Release);
    RESIDENTS.take_out(ResidentRef::<T>::known_as(this.0.as_ptr()));
    let in_use = (*this).end();
    if in_use > 0 {
        notice::give(&Notice { kind: T::KIND, name: this.name(), in_use });
    }
    // SAFETY: as above, and nobody has the state any more.
    unsafe { ptr::drop_in_place(&raw mut (*this.0.as_ptr()).state) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicUsize;

    struct Counter(&'static AtomicUsize);

    impl Resident for Counter {
        const KIND: Kind = Kind::Genpool;

        fn end(&self) -> usize {
            self.0.fetch_add(1, Relaxed);
            0
        }
    }

    struct Other;

    impl Resident for Other {
        const KIND: Kind = Kind::Mempool;

        fn end(&self) -> usize {
            0
        }
    }

    #[test]
    fn it_is_told_from_others_and_ends_once_with_its_parent() {
        static ENDS: AtomicUsize = AtomicUsize::new(0);
        // SAFETY: a tree of this thread's.
        unsafe {
            for in_pool in [false, true] {
                let parent = if in_pool { ops::pool(None, 4000) } else { ops::alloc(None, 0) }.unwrap();
                let resident = ResidentRef::create(Some(parent), c"counter", Counter(&ENDS)).unwrap();
                assert_eq!(resident.chunk().parent(), Some(parent));
                assert_eq!(CStr::from_ptr(resident.chunk().name()), c"counter");
                assert!(ResidentRef::<Counter>::check(resident.ptr()).is_ok());
                assert_eq!(ResidentRef::<Other>::check(resident.ptr()).err(), Some(Fault::Unknown));
                for wrong in [parent.ptr(), resident.ptr().wrapping_byte_add(16), 16 as *mut c_void] {
                    assert!(ResidentRef::<Counter>::check(wrong).is_err());
                }
                assert_eq!(ops::realloc(resident.chunk(), 1000).err(), Some(AllocError::Refused));
                assert_eq!(ops::set_destructor(resident.chunk(), None), Ok(()));
                let before = ENDS.load(Relaxed);
                let ptr = resident.ptr();
                ops::free(parent, c"here".as_ptr()).unwrap();
                assert_eq!(ENDS.load(Relaxed), before + 1);
                assert!(matches!(ResidentRef::<Counter>::check(ptr), Err(Fault::Freed { .. })));
            }
        }
    }
}
