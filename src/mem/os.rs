//! Pages from the kernel and back, entropy, sleep, and the thread pointer.
//!
//! Nothing here keeps state, but for the place where the next mapping is asked for.

use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use super::geometry::ADDRESS_BITS;

const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;
/// Miri knows no reserve.
const NO_RESERVE: i32 = if cfg!(miri) { 0 } else { libc::MAP_NORESERVE };
const PRIVATE: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | NO_RESERVE;

/// The size of the pages that memory is given back in, in bytes.
pub const PAGE: usize = 4096;

/// The newest aligned mapping: asking just below it first keeps them side by side, and they need no trimming. What need not
/// be aligned would be in the way there.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// `len` bytes of zeroed memory at a multiple of `align`, a power of two and at least a page.
pub fn map(len: usize, align: usize) -> Option<NonNull<u8>> {
    let at = if align > PAGE { map_aligned(len, align)? } else { map_at(0, len)? };
    if (at.addr().get() + len) >> ADDRESS_BITS != 0 {
        // SAFETY: mapped above with this length, and nobody has seen it.
        unsafe { unmap(at, len) };
        return None;
    }
    if align > PAGE {
        NEXT.store(at.addr().get(), Relaxed);
    }
    Some(at)
}

fn map_aligned(len: usize, align: usize) -> Option<NonNull<u8>> {
    let newest = NEXT.load(Relaxed);
    if newest == 0 {
        return map_trimmed(len, align);
    }
    let at = map_at(newest.saturating_sub(len) & !(align - 1), len)?;
    if at.addr().get().is_multiple_of(align) {
        return Some(at);
    }
    // SAFETY: mapped just now with this length and used by nobody.
    unsafe { unmap(at, len) };
    map_trimmed(len, align)
}

fn map_at(hint: usize, len: usize) -> Option<NonNull<u8>> {
    // SAFETY: a private anonymous mapping without MAP_FIXED replaces nothing.
    let at = unsafe { libc::mmap(ptr::without_provenance_mut(hint), len, READ_WRITE, PRIVATE, -1, 0) };
    if at == libc::MAP_FAILED { None } else { NonNull::new(at.cast()) }
}

/// An aligned mapping wherever there is room: one that is too large, with its ends cut off.
#[cold]
fn map_trimmed(len: usize, align: usize) -> Option<NonNull<u8>> {
    let whole = len.checked_add(align - PAGE)?;
    let start = map_at(0, whole)?;
    let skip = start.addr().get().next_multiple_of(align) - start.addr().get();
    // SAFETY: all three parts lie in the mapping just made; the outer two are given back unused.
    unsafe {
        let at = start.add(skip);
        if skip > 0 {
            unmap(start, skip);
        }
        if whole > skip + len {
            unmap(at.add(len), whole - skip - len);
        }
        Some(at)
    }
}

/// Gives a mapping, or a part of whole pages, back to the kernel.
///
/// # Safety
/// The range was mapped by this module, and nobody uses it any more.
pub unsafe fn unmap(at: NonNull<u8>, len: usize) {
    // SAFETY: the caller's.
    unsafe { libc::munmap(at.as_ptr().cast(), len) };
}

/// Gives the memory back and keeps the addresses: the range reads as zero from now on.
///
/// # Safety
/// The range is whole pages mapped by this module, and its contents are no longer needed.
pub unsafe fn purge(at: NonNull<u8>, len: usize) -> bool {
    // SAFETY: the caller's.
    unsafe { libc::madvise(at.as_ptr().cast(), len, libc::MADV_DONTNEED) == 0 }
}

/// Asks for huge pages in the range, or for none.
pub fn prefer_huge_pages(at: NonNull<u8>, len: usize, huge: bool) {
    let advice = if huge { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
    // SAFETY: advice about page sizes changes no contents; a refusal is harmless.
    unsafe { libc::madvise(at.as_ptr().cast(), len, advice) };
}

/// Lengthens a mapping in its place, or shortens it. Says whether it could.
///
/// # Safety
/// `at` and `old_len` are a whole mapping made by this module; what is cut off is not used any more.
pub unsafe fn resize_in_place(at: NonNull<u8>, old_len: usize, new_len: usize) -> bool {
    // SAFETY: the caller's; without MREMAP_MAYMOVE no address changes.
    unsafe { libc::mremap(at.as_ptr().cast(), old_len, new_len, 0) != libc::MAP_FAILED }
}

/// Moves the pages of a mapping to an aligned place with room for `new_len` bytes, without copying.
/// The old addresses are gone when this succeeds, and untouched when it does not.
///
/// # Safety
/// `at` and `old_len` are a whole mapping made by this module, and `new_len >= old_len`.
pub unsafe fn move_pages(
    at: NonNull<u8>,
    old_len: usize,
    new_len: usize,
    align: usize,
) -> Option<NonNull<u8>> {
    let to = map(new_len, align)?;
    // SAFETY: the target was mapped just now, is as long as the request, and nobody uses it.
    let moved: *mut c_void = unsafe {
        libc::mremap(
            at.as_ptr().cast(),
            old_len,
            new_len,
            libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
            to.as_ptr(),
        )
    };
    if moved == libc::MAP_FAILED {
        // SAFETY: the target is still ours and unused.
        unsafe { unmap(to, new_len) };
        return None;
    }
    Some(to)
}

/// Writes to each page of a range what is there, so that it is backed by memory of this process's own.
///
/// # Safety
/// The range can be read and written, and nobody uses it meanwhile.
pub unsafe fn touch(at: NonNull<u8>, len: usize) {
    let mut offset = 0;
    while offset < len {
        // SAFETY: within the range, and the caller's.
        let byte = unsafe { at.add(offset) };
        // SAFETY: as above.
        unsafe { byte.write_volatile(byte.read_volatile()) };
        offset += PAGE - byte.addr().get() % PAGE;
    }
}

/// Whether Valgrind's memcheck runs this process. Asked the way that Valgrind documents: by instructions that change
/// nothing, and that it knows.
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub fn is_memchecked() -> bool {
    /// Memcheck's request whether memory may be addressed; the answer is 0 where it may, and no other tool answers.
    const CHECK_MEM_IS_ADDRESSABLE: usize = (b'M' as usize) << 24 | (b'C' as usize) << 16 | 4;
    let here = 0_u64;
    let request = [CHECK_MEM_IS_ADDRESSABLE, (&raw const here).addr(), size_of::<u64>(), 0, 0, 0];
    let mut answer = 1_usize;
    // SAFETY: `rdi` is rotated by 128 bits in all, and an exchange of a register with itself is none; Valgrind reads the
    // six words at `rax`, and puts its answer into `rdx`.
    unsafe {
        core::arch::asm!(
            "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
            in("rax") request.as_ptr(),
            inout("rdx") answer,
            options(nostack),
        );
    }
    answer == 0
}

/// Whether Valgrind's memcheck runs this process: not known here.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
pub fn is_memchecked() -> bool {
    false
}

/// Random bits from the kernel, or the next best when it has none to give.
pub fn entropy() -> u64 {
    let mut bits = 0u64;
    // SAFETY: the buffer is as long as said. GRND_NONBLOCK never waits.
    let got = unsafe { libc::getrandom((&raw mut bits).cast(), size_of::<u64>(), libc::GRND_NONBLOCK) };
    if got == size_of::<u64>() as isize { bits } else { clock_bits(&raw const bits as usize) }
}

#[cold]
fn clock_bits(place: usize) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a timespec to be filled.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    let mixed = (now.tv_nsec as u64) ^ (now.tv_sec as u64).rotate_left(32) ^ place as u64;
    mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Has the processor fetch what will soon be written to.
#[inline(always)]
pub fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which reads nothing and never faults, whatever the address.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(at.cast())
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// A clock, in milliseconds; coarse, and cheap to read.
pub fn milliseconds() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a timespec to be filled.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// The calling thread would wait for a lock that it has: says so, and aborts.
#[cold]
pub fn would_wait_for_itself() -> ! {
    crate::process::would_deadlock()
}

/// A number that no other living thread has: its thread pointer. Never 0 or 1.
#[inline(always)]
pub fn thread_pointer() -> usize {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        let tp: usize;
        // SAFETY: on x86-64 Linux the first word at the thread pointer holds the thread pointer.
        unsafe { core::arch::asm!("mov {}, fs:0", out(reg) tp, options(nostack, readonly, preserves_flags)) };
        tp
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    {
        let tp: usize;
        // SAFETY: reads the register that holds the thread pointer.
        unsafe {
            core::arch::asm!("mrs {}, tpidr_el0", out(reg) tp, options(nomem, nostack, preserves_flags))
        };
        tp
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    {
        // SAFETY: always succeeds.
        unsafe { libc::pthread_self() as usize }
    }
}

/// [`thread_pointer`] plus `number`, modulo 2^64.
#[inline(always)]
pub fn thread_pointer_plus(number: usize) -> usize {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        let mut sum = number;
        // SAFETY: as in `thread_pointer`.
        unsafe { core::arch::asm!("add {}, fs:0", inout(reg) sum, options(nostack, readonly)) };
        sum
    }
    #[cfg(any(miri, not(target_arch = "x86_64")))]
    number.wrapping_add(thread_pointer())
}

/// [`thread_pointer`] without its last byte, plus `number`, modulo 2^32.
#[inline(always)]
pub fn thread_pointer_without_last_byte_plus(number: u32) -> u32 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        let mut sum = number;
        // SAFETY: as in `thread_pointer`: the bytes of that word behind the first one, and on.
        unsafe { core::arch::asm!("add {:e}, fs:1", inout(reg) sum, options(nostack, readonly)) };
        sum
    }
    #[cfg(any(miri, not(target_arch = "x86_64")))]
    number.wrapping_add((thread_pointer() >> 8) as u32)
}

/// Sleeps until [`wake_all`] is called for `word`, or something else wakes the thread; not at all if the word
/// is no longer `while_it_is`.
pub fn wait(word: &AtomicU32, while_it_is: u32) {
    const OP: i32 = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    let no_timeout = core::ptr::null::<libc::timespec>();
    // SAFETY: the word is a live, aligned u32; every outcome (woken, changed, interrupted) only
    // makes the caller look again.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), OP, while_it_is, no_timeout) };
}

/// The half of a word that the kernel looks at when a thread sleeps on it: its lower bits.
fn lower_half(word: &AtomicUsize) -> *const u32 {
    let first = word.as_ptr().cast::<u32>().cast_const();
    if cfg!(target_endian = "big") {
        first.wrapping_byte_add(size_of::<usize>() - size_of::<u32>())
    } else {
        first
    }
}

/// Sleeps until [`wake_one`] is called for `word`, or something else wakes the thread; not at all if the lower half of the
/// word is no longer that of `it_is`.
pub fn wait_while(word: &AtomicUsize, it_is: usize) {
    const OP: i32 = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    let no_timeout = core::ptr::null::<libc::timespec>();
    // SAFETY: half of a live, aligned word; every outcome (woken, changed, interrupted) only makes the caller look again.
    unsafe { libc::syscall(libc::SYS_futex, lower_half(word), OP, it_is as u32, no_timeout) };
}

/// [`wait`], until [`nanoseconds`] passes `deadline` if there is one. Says whether there is still time.
pub fn wait_until(word: &AtomicU32, while_it_is: u32, deadline: Option<u64>) -> bool {
    // With a bit set, the time is a point of the monotonic clock, and not a span.
    const OP: i32 = libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG;
    const ANY: u32 = u32::MAX;
    const SECOND: u64 = 1_000_000_000;
    let deadline = deadline.map(|at| libc::timespec {
        tv_sec: (at / SECOND) as libc::time_t,
        tv_nsec: (at % SECOND) as libc::c_long,
    });
    let timeout = deadline.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the word is a live, aligned u32, and the time lives as long as the call; every outcome but
    // the one that is looked at only makes the caller look again.
    unsafe {
        let unused = ptr::null::<u32>();
        libc::syscall(libc::SYS_futex, word.as_ptr(), OP, while_it_is, timeout, unused, ANY) == 0
            || *libc::__errno_location() != libc::ETIMEDOUT
    }
}

/// The monotonic clock.
pub fn nanoseconds() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a timespec to be filled.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Wakes the thread that waits in [`wait_until`] for the word at `address`, which may be gone: whoever waits
/// there by then looks again.
pub fn wake_at(address: usize) {
    const OP: i32 = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the kernel takes the address as the name of a queue, and reads nothing there.
    unsafe { libc::syscall(libc::SYS_futex, address, OP, 1) };
}

/// Wakes one of the threads that [`wait_while`] on `word`.
pub fn wake_one(word: &AtomicUsize) {
    const OP: i32 = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word's address is only used as a name of the queue.
    unsafe { libc::syscall(libc::SYS_futex, lower_half(word), OP, 1) };
}

/// Wakes all threads that [`wait`] for `word`.
pub fn wake_all(word: &AtomicU32) {
    const OP: i32 = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: as for `wake_one`.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), OP, i32::MAX) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_aligned_zeroed_and_return() {
        for (len, align) in [(PAGE, PAGE), (1 << 20, 1 << 20), (4 << 20, 4 << 20), (12 << 20, 4 << 20)] {
            let at = map(len, align).unwrap();
            assert_eq!(at.addr().get() % align, 0);
            // SAFETY: mapped with this length just now.
            unsafe {
                assert_eq!(*at.add(len - 1).as_ptr(), 0);
                *at.as_ptr() = 7;
                assert!(purge(at, len));
                assert_eq!(*at.as_ptr(), 0);
                unmap(at, len);
            }
        }
        assert!(map(usize::MAX - (1 << 22), PAGE).is_none());
    }

    #[test]
    fn moved_pages_keep_their_contents() {
        let at = map(8 << 20, 4 << 20).unwrap();
        // SAFETY: within the mapping, then within its successor.
        unsafe {
            *at.add(5 << 20).as_ptr() = 42;
            let to = move_pages(at, 8 << 20, 16 << 20, 4 << 20).unwrap();
            assert_eq!(to.addr().get() % (4 << 20), 0);
            assert_eq!(*to.add(5 << 20).as_ptr(), 42);
            *to.add((16 << 20) - 1).as_ptr() = 1;
            unmap(to, 16 << 20);
        }
    }

    #[test]
    fn thread_pointers_differ() {
        let mine = thread_pointer();
        let other = std::thread::spawn(thread_pointer).join().unwrap();
        assert_ne!(mine, other);
        assert!(mine > 1);
        assert_eq!(thread_pointer_without_last_byte_plus(7), ((mine >> 8) as u32).wrapping_add(7));
        assert_eq!(thread_pointer_plus(7), mine + 7);
    }
}
