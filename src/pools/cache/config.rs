//! What a cache is to be, and what cannot be.

use core::ffi::c_void;
use core::ptr::NonNull;

use crate::error::AllocError;
use crate::mem::slab::{LINE, MAX_ALIGN, MAX_OBJECT, Shape};

/// Objects start at a line of the processor's caches, and no two share one.
pub const HWALIGN: u32 = 0x1;
/// An object is filled with zeros when it is freed.
pub const ZERO_ON_FREE: u32 = 0x2;
/// An object is filled with zeros when it is allocated.
pub const ZERO_ON_ALLOC: u32 = 0x4;
/// The objects of different slabs begin at different distances from the slab's start, so that they do not
/// compete for the same lines of the processor's caches.
pub const COLOUR: u32 = 0x8;
/// One of the caches of [`kmalloc`](crate::pools::kmalloc).
pub(in crate::pools) const GENERAL: u32 = 0x8000_0000;
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
    pub(super) unsafe fn run(self, object: NonNull<u8>) {
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

impl Config {
    /// The alignment of the objects, in bytes, and how their slabs are laid out.
    pub(super) fn check(&self) -> Result<(usize, Shape), CreateError> {
        let Config { size, mut align, flags, construct, destruct } = *self;
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
        Ok((align, shape))
    }
}
