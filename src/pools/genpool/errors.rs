//! Why a managed range refuses something.

use core::error::Error;
use core::fmt;

use crate::error::AllocError;

/// Why a range was not added.
///
/// ```
/// use tmempool::{AddError, Context};
///
/// let device = Context::new("device");
/// let buffers = device.genpool("buffers", 12);
/// assert_eq!(buffers.add(0x8000_0001, 1 << 20), Err(AddError::Misaligned));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddError {
    /// It starts at address 0, or start or size is no multiple of the granule.
    Misaligned,
    /// It is smaller than a granule.
    TooSmall,
    /// It has more than 2^31 granules, or ends behind the last address.
    TooLarge,
    /// The pool has some of it already.
    Overlaps,
    /// There is no memory for the books.
    Memory(AllocError),
}

/// Why no address was given.
///
/// ```
/// use tmempool::{Context, PlaceError};
///
/// let device = Context::new("device");
/// let buffers = device.genpool("buffers", 12);
/// assert_eq!(buffers.alloc(1), Err(PlaceError::NoRoom));
/// assert_eq!(buffers.alloc(0), Err(PlaceError::ZeroSize));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceError {
    /// Nothing was asked for.
    ZeroSize,
    /// The alignment is no power of two.
    BadAlignment,
    /// The place is no granule of the pool, or reaches out of its range.
    BadPlace,
    /// No place will do; or the place is taken.
    NoRoom,
}

/// Why nothing was given back.
///
/// ```
/// use tmempool::{Context, ReleaseError};
///
/// let device = Context::new("device");
/// let buffers = device.genpool("buffers", 12);
/// assert_eq!(buffers.release(0x8000_0000, 1), Err(ReleaseError::Outside));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseError {
    /// The address is in no range of the pool.
    Outside,
    /// What lies there is free: it has been given back, or was never given out.
    Free,
    /// The address is in the middle of an allocation, or of a granule.
    Inside,
    /// The allocation is of another size.
    WrongSize {
        /// Its size in bytes, rounded up to granules.
        allocated: usize,
    },
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AddError::Misaligned => {
                "start and size of a range must be multiples of the granule, and the start not 0"
            }
            AddError::TooSmall => "a range has no granule",
            AddError::TooLarge => "a range has too many granules, or ends behind the last address",
            AddError::Overlaps => "the pool has some of the range already",
            AddError::Memory(error) => return error.fmt(f),
        })
    }
}

impl Error for AddError {}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PlaceError::ZeroSize => "nothing was asked for",
            PlaceError::BadAlignment => "the alignment is no power of two",
            PlaceError::BadPlace => "the place is no granule of the pool, or reaches out of its range",
            PlaceError::NoRoom => "there is no room",
        })
    }
}

impl Error for PlaceError {}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReleaseError::Outside => "the address is in no range of the pool",
            ReleaseError::Free => "the address is free already",
            ReleaseError::Inside => "the address is in the middle of an allocation, or of a granule",
            ReleaseError::WrongSize { allocated } => {
                return write!(f, "the allocation is of {allocated} bytes");
            }
        })
    }
}

impl Error for ReleaseError {}
