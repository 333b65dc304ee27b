//! General sizes (the kernel's `kmalloc`): memory without a context, from a cache for each size class.
//!
//! The classes are those of the heap (`mem::size`) and three smaller ones. A class's cache is made when it is
//! first asked for, and has no end; it is called `kmalloc-N` after the size of its objects. As in any cache, a
//! pointer that is none of its objects in use is recognised. What is larger than all classes has a span of
//! its own.
//!
//! Memory is aligned to 16 bytes, up to 8 bytes to 8; a size that is a power of two, to that size, up to 64 KiB.

use core::ffi::{c_char, c_void};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{
    AtomicPtr,
    Ordering::{AcqRel, Acquire},
};

use super::books;
use super::cache::{self, Cache, Config, GENERAL, Key, Misuse};
use crate::mem::size::{self, CLASSES, SLOT_MAX, SMALL_MAX};
use crate::mem::slab;
use crate::process;

/// The classes below the smallest slot.
const SMALL: [usize; 3] = [8, 16, 32];

/// The caches, by class; null until the class is asked for.
static CACHES: [AtomicPtr<General>; SMALL.len() + CLASSES] =
    [const { AtomicPtr::new(null_mut()) }; SMALL.len() + CLASSES];

/// A cache that is in no tree.
#[repr(C)]
struct General {
    /// 0, so that nobody who walks over slots takes it for a chunk.
    _not_a_tag: u64,
    cache: Cache,
    name: [u8; General::NAME],
}

impl General {
    const NAME: usize = 16;

    /// `kmalloc-` and the size.
    fn name(size: usize) -> [u8; General::NAME] {
        let mut name = *b"kmalloc-\0\0\0\0\0\0\0\0";
        let digits = size.ilog10() as usize + 1;
        let mut rest = size;
        for place in name[8..8 + digits].iter_mut().rev() {
            *place = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        name
    }
}

/// For each multiple of 8 bytes up to [`SMALL_MAX`], what the cache is known by that serves as many: a look-up instead of a
/// comparison for each small class.
static SMALL_KEYS: [u16; SMALL_MAX / 8 + 1] = {
    let mut keys = [0; SMALL_MAX / 8 + 1];
    let mut i = 0;
    while i < keys.len() {
        keys[i] = Key::general(tightest(8 * i)).number() as u16;
        i += 1;
    }
    keys
};

/// The class that serves `bytes`, at most [`SLOT_MAX`].
const fn tightest(bytes: usize) -> usize {
    match bytes {
        0..=8 => 0,
        9..=16 => 1,
        17..=32 => 2,
        _ => SMALL.len() + size::class_of(bytes),
    }
}

/// Bytes of an object of `class`.
fn class_size(class: usize) -> usize {
    match SMALL.get(class) {
        Some(&size) => size,
        None => size::slot_size(class - SMALL.len()),
    }
}

#[inline(always)]
fn cache(class: usize) -> Option<&'static Cache> {
    // SAFETY: what is not null was made by `make_cache`, and has no end.
    match unsafe { CACHES[class].load(Acquire).as_ref() } {
        Some(general) => Some(&general.cache),
        None => make_cache(class),
    }
}

#[cold]
#[inline(never)]
fn make_cache(class: usize) -> Option<&'static Cache> {
    process::setup();
    let size = class_size(class);
    let align = 1 << size.trailing_zeros();
    let config = Config { size, align, flags: GENERAL, ..Config::default() };
    let at = books::take(size_of::<General>())?;
    let Ok(cache) = Cache::new(&config) else {
        // SAFETY: taken above.
        unsafe { books::give(at) };
        return None;
    };
    let at = at.cast::<General>();
    // SAFETY: a slot of this many bytes, aligned to 16, nobody else's; the name ends in a NUL.
    let general = unsafe {
        at.write(General { _not_a_tag: 0, cache, name: General::name(size) });
        at.as_ref()
    };
    general.cache.enter(general.name.as_ptr().cast::<c_char>(), Key::general(class));
    match CACHES[class].compare_exchange(null_mut(), at.as_ptr(), AcqRel, Acquire) {
        Ok(_) => Some(&general.cache),
        Err(first) => {
            general.cache.leave();
            // SAFETY: nobody has seen this one, and it is in no list any more; the first one has no end.
            unsafe {
                at.drop_in_place();
                books::give(at.cast());
                Some(&(*first).cache)
            }
        }
    }
}

/// `size` bytes, undefined; for 0, an address that no other has. `None` without memory.
#[inline]
pub fn alloc(size: usize) -> Option<NonNull<u8>> {
    alloc_quick(size).or_else(|| alloc_any(size))
}

/// [`alloc`], only if it goes the shortest way. `None` says nothing.
#[inline(always)]
pub fn alloc_quick(size: usize) -> Option<NonNull<u8>> {
    if size > SMALL_MAX {
        return None;
    }
    cache::alloc_general_quick(Key::from_number(SMALL_KEYS[size.div_ceil(8)].into()))
}

#[cold]
#[inline(never)]
fn alloc_any(size: usize) -> Option<NonNull<u8>> {
    if size > SLOT_MAX {
        return alloc_large(size);
    }
    let class = tightest(size);
    cache::alloc_general_quick(Key::general(class)).or_else(|| cache(class)?.alloc())
}

/// [`free`], only if it goes the short way. If it does not, nothing has happened.
///
/// # Safety
/// As for [`free`].
#[inline(always)]
pub unsafe fn free_quick(at: *mut c_void) -> bool {
    // SAFETY: the caller's.
    unsafe { cache::free_general_quick(at) }
}

#[cold]
fn alloc_large(size: usize) -> Option<NonNull<u8>> {
    process::setup();
    slab::take_bare(size)
}

/// Gives back what [`alloc`] gave.
///
/// # Errors
/// [`Misuse`]; nothing has changed.
///
/// # Safety
/// Nobody uses it any more.
#[inline]
pub unsafe fn free(at: NonNull<u8>) -> Result<(), Misuse> {
    // SAFETY: the caller's.
    match unsafe { Cache::free_general(at) } {
        Some(done) => done,
        // SAFETY: the caller's.
        None => unsafe { free_large(at) },
    }
}

#[cold]
unsafe fn free_large(at: NonNull<u8>) -> Result<(), Misuse> {
    // SAFETY: the caller's.
    if unsafe { slab::give_bare(at.addr().get()) } { Ok(()) } else { Err(Misuse::Foreign) }
}

/// Bytes that may be used at `at`, which [`alloc`] gave: what was asked for, and more.
///
/// # Errors
/// [`Misuse::Foreign`]: it is nothing that [`alloc`] gave and that is still in use.
pub fn usable_size(at: NonNull<u8>) -> Result<usize, Misuse> {
    let size = Cache::general_size(at).or_else(|| slab::bare_bytes(at.addr().get()));
    size.ok_or(Misuse::Foreign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_size_has_the_tightest_class_and_is_aligned() {
        for bytes in 1..=SLOT_MAX {
            let class = tightest(bytes);
            assert!(class_size(class) >= bytes);
            if bytes <= SMALL_MAX {
                assert_eq!(usize::from(SMALL_KEYS[bytes.div_ceil(8)]), Key::general(class).number());
            }
            assert!(class == 0 || class_size(class - 1) < bytes);
            if bytes.is_power_of_two() && bytes >= 8 {
                assert_eq!(class_size(class), bytes);
            }
        }
    }

    #[test]
    fn names_tell_the_size() {
        assert_eq!(&General::name(8), b"kmalloc-8\0\0\0\0\0\0\0");
        assert_eq!(&General::name(65536), b"kmalloc-65536\0\0\0");
    }
}
