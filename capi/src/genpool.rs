//! Managed ranges: an allocator of addresses in memory that the program brings.

use core::ffi::{CStr, c_int, c_uint, c_void};
use core::mem::MaybeUninit;
use core::ptr::{null_mut, without_provenance_mut};

use tmempool::error::AllocError;
use tmempool::pools::genpool::{AddError, Algo, GenPool, PlaceError, ReleaseError};
use tmempool::pools::resident::ResidentRef;

use crate::fault::{self, Piece};
use crate::opaque::tm_genpool;
use crate::pointer::{Reported, refused, resident, settled};

/// Where a managed range puts what it is asked for. All algorithms work on the same books, and may be
/// mixed. Each keeps an alignment that is asked for.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types, reason = "the names are those of the C interface")]
pub enum tm_genpool_algo {
    /// The first free room that is large enough.
    TM_FIRST_FIT,
    /// The smallest free room that is large enough, so that the large ones stay whole.
    TM_BEST_FIT,
    /// The largest free room.
    TM_WORST_FIT,
    /// The first free room behind the last allocation by this algorithm; from the start after the end.
    TM_NEXT_FIT,
    /// The first free room that is large enough from a multiple of the alignment on.
    TM_FIRST_FIT_ALIGN,
    /// The first free room that is large enough from a multiple of the size on, rounded up to a power of
    /// two.
    TM_FIRST_FIT_ORDER_ALIGN,
    /// Buddies: a block of a power of two at a multiple of its size, the smallest that is free, halved until
    /// it is just large enough. Halves that are both free are one block again. What is beyond the size that
    /// was asked for stays with the block until it is freed.
    TM_BUDDY,
}

use tm_genpool_algo::*;

/// An algorithm as C gives it: any number.
type Given = MaybeUninit<tm_genpool_algo>;

fn algorithm(function: &CStr, given: &Given) -> Result<Algo, Reported> {
    // SAFETY: a C enum of these values is an unsigned int, and C passes one, whatever its value.
    let number = unsafe { given.as_ptr().cast::<c_uint>().read() };
    let all = [
        (TM_FIRST_FIT, Algo::FirstFit),
        (TM_BEST_FIT, Algo::BestFit),
        (TM_WORST_FIT, Algo::WorstFit),
        (TM_NEXT_FIT, Algo::NextFit),
        (TM_FIRST_FIT_ALIGN, Algo::FirstFitAlign),
        (TM_FIRST_FIT_ORDER_ALIGN, Algo::FirstFitOrderAlign),
        (TM_BUDDY, Algo::Buddy),
    ];
    let found = all.iter().find(|(value, _)| *value as c_uint == number).map(|&(_, algo)| algo);
    found.ok_or_else(|| {
        fault::misuse(function, &[Piece::Number(number as usize), Piece::Text(c" is no algorithm")]);
        Reported
    })
}

/// The pool behind `g`.
///
/// # Safety
/// Contract.
unsafe fn pool(function: &CStr, g: *const tm_genpool) -> Result<ResidentRef<GenPool>, Reported> {
    // SAFETY: contract.
    unsafe { resident(function, c"genpool", g.cast()) }
}

/// Makes a pool of managed ranges under `parent`, without any range yet. It allocates addresses in memory
/// that the program brings: a shared mapping, huge pages, a device, a static array. It never reads or writes
/// there; its books, 4 bits for each unit of allocation, lie elsewhere.
///
/// All functions of a pool may be called from any thread, but for those that make and destroy it. After a
/// fork parent and child have books of their own: for memory that they share, one of them allocates.
///
/// @param parent           the parent; NULL for none.
/// @param min_alloc_order  sizes and addresses are multiples of 2 to this power, 0 to 63.
/// @return                 the pool; NULL with errno ENOMEM, or EINVAL and a log line.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_genpool_create(
    parent: *const c_void,
    min_alloc_order: c_uint,
) -> *mut tm_genpool {
    let Some(pool) = GenPool::new(min_alloc_order) else {
        let order = [Piece::Text(c"an order of "), Piece::Number(min_alloc_order as usize)];
        fault::misuse(c"tm_genpool_create", &[order[0], order[1], Piece::Text(c" is too large")]);
        return null_mut();
    };
    fault::hear_notices();
    // SAFETY: contract.
    unsafe {
        settled(parent, |parent| match ResidentRef::create(parent, c"tm_genpool", pool) {
            Ok(pool) => pool.ptr().cast(),
            Err(error) => refused(error).cast(),
        })
    }
}

/// Adds a range (a chunk, as the kernel's gen_pool has it) to a pool. Ranges are asked in the order in which
/// they were added; no allocation spans two of them.
///
/// @param g      a pool.
/// @param start  its first address, never NULL; a multiple of the unit of allocation.
/// @param size   its bytes; at least one unit, a multiple of it, and at most 2^31 units.
/// @return       0; -1 with errno ENOMEM; -1 with errno EINVAL and a log line where the pool has some of it
///               already, or it is misaligned, too small or too large.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_genpool_add(g: *mut tm_genpool, start: *mut c_void, size: usize) -> c_int {
    const NAME: &CStr = c"tm_genpool_add";
    // SAFETY: contract.
    let Ok(pool) = (unsafe { pool(NAME, g) }) else { return -1 };
    let why = match pool.add(start.addr(), size) {
        Ok(()) => return 0,
        Err(AddError::Memory(error)) => {
            refused(error);
            return -1;
        }
        Err(AddError::Misaligned) => c" bytes: misaligned",
        Err(AddError::TooSmall) => c" bytes: too small",
        Err(AddError::TooLarge) => c" bytes: too large",
        Err(AddError::Overlaps) => c" bytes: overlaps a range of the pool",
    };
    let what = [Piece::Address(start), Piece::Text(c" with "), Piece::Number(size), Piece::Text(why)];
    fault::misuse(NAME, &what);
    -1
}

/// Allocates `size` bytes of the pool's ranges, by the algorithm that `tm_genpool_set_algo()` has set; at
/// first `TM_FIRST_FIT`.
///
/// @param g     a pool.
/// @param size  bytes, rounded up to units of allocation; 0 is an error.
/// @return      the address; NULL with errno ENOMEM where there is no such room, with errno EINVAL and a log
///              line for a size of 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_genpool_alloc(g: *mut tm_genpool, size: usize) -> *mut c_void {
    const NAME: &CStr = c"tm_genpool_alloc";
    // SAFETY: contract.
    match unsafe { pool(NAME, g) } {
        Ok(pool) => given(NAME, pool.alloc(size), 0),
        Err(Reported) => null_mut(),
    }
}

/// `tm_genpool_alloc()` by an algorithm of the caller's choice, and at an aligned address.
///
/// @param g      a pool.
/// @param size   bytes, rounded up to units of allocation; 0 is an error.
/// @param algo   where the room is to be.
/// @param align  the address is a multiple of it: a power of two, or 0 for whichever there is.
/// @return       as `tm_genpool_alloc()`; errno EINVAL and a log line also for an alignment that is no power
///               of two, and an algorithm that there is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_genpool_alloc_algo(
    g: *mut tm_genpool,
    size: usize,
    algo: MaybeUninit<tm_genpool_algo>,
    align: usize,
) -> *mut c_void {
    const NAME: &CStr = c"tm_genpool_alloc_algo";
    // SAFETY: contract.
    let Ok(pool) = (unsafe { pool(NAME, g) }) else { return null_mut() };
    match algorithm(NAME, &algo) {
        Ok(algo) => given(NAME, pool.alloc_algo(size, algo, align), align),
        Err(Reported) => null_mut(),
    }
}

/// Allocates the `size` bytes at `at`, and no others.
///
/// @param g     a pool.
/// @param at    an address in a range of the pool, a multiple of the unit of allocation.
/// @param size  bytes, rounded up to units of allocation; 0 is an error.
/// @return      `at`; NULL with errno ENOMEM where some of it is taken; NULL with errno EINVAL and a log line
///              where it lies in no range, or not wholly, or is misaligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_genpool_alloc_fixed(
    g: *mut tm_genpool,
    at: *mut c_void,
    size: usize,
) -> *mut c_void {
    const NAME: &CStr = c"tm_genpool_alloc_fixed";
    // SAFETY: contract.
    let Ok(pool) = (unsafe { pool(NAME, g) }) else { return null_mut() };
    match pool.alloc_fixed(at.addr(), size) {
        Ok(()) => at,
        Err(PlaceError::BadPlace) => {
            let what = [Piece::Number(size), Piece::Text(c" bytes at "), Piece::Address(at)];
            let why = Piece::Text(c" are not in a range of the pool, or misaligned");
            fault::misuse(NAME, &[what[0], what[1], what[2], why]);
            null_mut()
        }
        Err(error) => given(NAME, Err(error), 0),
    }
}

/// The address as a pointer, or NULL with the reason said.
fn given(function: &CStr, result: Result<usize, PlaceError>, align: usize) -> *mut c_void {
    match result {
        // An address of the program's memory, which is not followed here.
        Ok(address) => without_provenance_mut(address),
        Err(PlaceError::NoRoom) => refused(AllocError::OutOfMemory),
        Err(PlaceError::ZeroSize | PlaceError::BadPlace) => {
            fault::misuse(function, &[Piece::Text(c"a size of 0")]);
            null_mut()
        }
        Err(PlaceError::BadAlignment) => {
            let what = [Piece::Text(c"an alignment of "), Piece::Number(align)];
            fault::misuse(function, &[what[0], what[1], Piece::Text(c" is no power of two")]);
            null_mut()
        }
    }
}

/// Gives an allocation back.
///
/// @param g     a pool.
/// @param addr  the address that was given.
/// @param size  the size that was asked for, or one that is as many units of allocation.
/// @return      0; -1 with errno EINVAL and a log line where nothing is allocated at the address, it is in the
///              middle of an allocation, or that has another size. Nothing changes then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_genpool_free(g: *mut tm_genpool, addr: *mut c_void, size: usize) -> c_int {
    const NAME: &CStr = c"tm_genpool_free";
    // SAFETY: contract.
    let Ok(pool) = (unsafe { pool(NAME, g) }) else { return -1 };
    let address = Piece::Address(addr);
    match pool.release(addr.addr(), size) {
        Ok(()) => return 0,
        Err(ReleaseError::Outside) => {
            fault::misuse(NAME, &[address, Piece::Text(c" is in no range of the pool")]);
        }
        Err(ReleaseError::Free) => {
            let why = Piece::Text(c" is not allocated: it has been freed, or never was");
            fault::misuse(NAME, &[address, why]);
        }
        Err(ReleaseError::Inside) => {
            fault::misuse(NAME, &[address, Piece::Text(c" is in the middle of an allocation")]);
        }
        Err(ReleaseError::WrongSize { allocated }) => {
            let what = [Piece::Text(c" has "), Piece::Number(allocated), Piece::Text(c" bytes, not ")];
            fault::misuse(NAME, &[address, what[0], what[1], what[2], Piece::Number(size)]);
        }
    }
    -1
}

/// Sets the algorithm of `tm_genpool_alloc()` from now on. One that there is not changes nothing, but a log
/// line says so, and errno is EINVAL.
///
/// @param g     a pool.
/// @param algo  where allocations are to be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_genpool_set_algo(g: *mut tm_genpool, algo: MaybeUninit<tm_genpool_algo>) {
    const NAME: &CStr = c"tm_genpool_set_algo";
    // SAFETY: contract.
    if let Ok(pool) = unsafe { pool(NAME, g) }
        && let Ok(algo) = algorithm(NAME, &algo)
    {
        pool.set_algo(algo);
    }
}

/// The free bytes in all ranges of a pool. There may be no free room of that size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_genpool_avail(g: *const tm_genpool) -> usize {
    // SAFETY: contract.
    unsafe { pool(c"tm_genpool_avail", g) }.map_or(0, |pool| pool.avail())
}

/// The bytes in all ranges of a pool.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_genpool_size(g: *const tm_genpool) -> usize {
    // SAFETY: contract.
    unsafe { pool(c"tm_genpool_size", g) }.map_or(0, |pool| pool.size())
}

/// Whether bytes lie in one range of a pool, allocated or not.
///
/// @param g     a pool.
/// @param addr  the address of the first one.
/// @param size  how many; 0 asks for the address alone.
/// @return      1 or 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_genpool_has_addr(
    g: *const tm_genpool,
    addr: *const c_void,
    size: usize,
) -> c_int {
    // SAFETY: contract.
    unsafe { pool(c"tm_genpool_has_addr", g) }.map_or(0, |pool| pool.has_addr(addr.addr(), size).into())
}

/// Calls a function for each range of a pool, in the order in which they were added. It may do anything
/// with the pool, even destroy it: then it is not called again. Nothing is locked while it runs.
///
/// @param g    a pool.
/// @param fn   called with the start of a range, its size and its free bytes at that moment, and `arg`.
/// @param arg  handed on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_genpool_for_each_chunk(
    g: *mut tm_genpool,
    r#fn: Option<unsafe extern "C" fn(start: *mut c_void, size: usize, avail: usize, arg: *mut c_void)>,
    arg: *mut c_void,
) {
    const NAME: &CStr = c"tm_genpool_for_each_chunk";
    // SAFETY: contract.
    let Ok(mut pool) = (unsafe { pool(NAME, g) }) else { return };
    let Some(visit) = r#fn else {
        return fault::misuse(NAME, &[Piece::Text(c"no function to call")]);
    };
    let mut index = 0;
    while let Some(range) = pool.range(index) {
        // SAFETY: the program's function, with the arguments that it expects.
        unsafe { visit(without_provenance_mut(range.start), range.size, range.avail, arg) };
        // SAFETY: contract; it may be gone.
        let Ok(still_there) = (unsafe { ResidentRef::check(g.cast()) }) else { return };
        pool = still_there;
        index += 1;
    }
}

/// Destroys a pool. The memory of its ranges is the program's, and stays as it is. The end of its parent
/// destroys it, too, whatever is allocated then; a log line says how much.
///
/// @param g  a pool.
/// @return   0; -1 with errno EBUSY and a log line while something is allocated, with its number, where it is
///           referenced, or where a destructor refuses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tm_genpool_destroy(g: *mut tm_genpool) -> c_int {
    const NAME: &CStr = c"tm_genpool_destroy";
    // SAFETY: contract.
    let Ok(pool) = (unsafe { pool(NAME, g) }) else { return -1 };
    let (allocations, bytes) = pool.in_use();
    if allocations > 0 {
        let count = [Piece::Number(allocations), Piece::Text(c" allocations of ")];
        let size = [Piece::Number(bytes), Piece::Text(c" bytes are still out")];
        fault::busy(NAME, &[count[0], count[1], size[0], size[1]]);
        return -1;
    }
    // SAFETY: contract; if it is not freed, it lives on.
    unsafe {
        match pool.destroy(NAME.as_ptr()) {
            Ok(()) => 0,
            Err(error) => {
                fault::not_destroyed(NAME, pool.chunk(), error);
                -1
            }
        }
    }
}
