//! Where the elements of a mempool come from, and where they go.

use core::ffi::c_void;
use core::ptr::NonNull;

use crate::mem::os;
use crate::pools::cache::{Cache, CacheRef};
use crate::pools::kmalloc;
use crate::pools::resident::ResidentRef;

/// A function that makes an element, or gives null.
pub type AllocFn = unsafe extern "C" fn(pool_data: *mut c_void) -> *mut c_void;
/// A function that takes one back.
pub type FreeFn = unsafe extern "C" fn(element: *mut c_void, pool_data: *mut c_void);

/// See the module.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// Functions of the user, callable from any thread. What an element is, only they know: it is never
    /// looked into.
    Functions {
        /// Makes one.
        alloc: AllocFn,
        /// Takes one back.
        free: FreeFn,
        /// What both are given.
        data: *mut c_void,
    },
    /// The objects of a cache.
    Cache(CacheRef),
    /// Blocks of so many bytes from [`kmalloc`].
    Kmalloc(usize),
}

impl Source {
    /// An element, if there is one to be had. Foreign code: no lock is held.
    #[inline(always)]
    pub(super) fn alloc(&self) -> Option<NonNull<c_void>> {
        match *self {
            // SAFETY: the user's function, with what it expects.
            Source::Functions { alloc, data, .. } => NonNull::new(unsafe { alloc(data) }),
            Source::Cache(cache) => alive(cache)?.alloc().map(NonNull::cast),
            Source::Kmalloc(size) => kmalloc::alloc(size).map(NonNull::cast),
        }
    }

    /// Takes an element back, which nobody uses any more. Foreign code: no lock is held. Says whether it was
    /// one, as far as the source knows.
    #[inline(always)]
    pub(super) fn free(&self, element: NonNull<c_void>) -> bool {
        // SAFETY: the user's function, with what it expects; the pool's owner of the element gave it up.
        unsafe {
            match *self {
                Source::Functions { free, data, .. } => {
                    free(element.as_ptr(), data);
                    true
                }
                // With the cache, its objects have gone.
                Source::Cache(cache) => alive(cache).is_none_or(|cache| cache.free(element.cast()).is_ok()),
                Source::Kmalloc(_) => kmalloc::free(element.cast()).is_ok(),
            }
        }
    }

    /// Whether the elements are still there: they go with the cache that they came from.
    pub(super) fn is_alive(&self) -> bool {
        match *self {
            Source::Cache(cache) => alive(cache).is_some(),
            _ => true,
        }
    }

    /// Whether `element` is one that the source has given and not got back, as far as it can tell.
    pub(super) fn knows(&self, element: NonNull<c_void>) -> bool {
        match *self {
            Source::Functions { .. } => true,
            Source::Cache(cache) => alive(cache).is_none_or(|cache| cache.has_in_use(element.cast())),
            Source::Kmalloc(size) => kmalloc::usable_size(element.cast()).is_ok_and(|has| has >= size),
        }
    }

    /// Sees to it that the memory of an element, which nobody uses, is really there, and this process's own. What is
    /// in it stays as it is.
    pub(super) fn touch(&self, element: NonNull<c_void>) {
        // SAFETY: so many bytes of the element, which is the pool's.
        unsafe { os::touch(element.cast(), self.bytes()) };
    }

    /// Bytes of an element, as far as they are known: 0 if they are not.
    pub(super) fn bytes(&self) -> usize {
        match *self {
            Source::Functions { .. } => 0,
            Source::Cache(cache) => alive(cache).map_or(0, |cache| cache.object_size()),
            Source::Kmalloc(size) => size,
        }
    }
}

/// A cache lives as long as something refers to it, and the pool does; but a destructor, or its own end with the
/// pool below it, may have taken that away.
#[inline]
fn alive(cache: CacheRef) -> Option<CacheRef> {
    // SAFETY: the pool's user sees to it that nobody frees the cache meanwhile.
    unsafe { ResidentRef::<Cache>::check(cache.ptr()) }.ok()
}
