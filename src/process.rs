//! What the whole process shares: a secret, the options, the null context, and the locks of what is
//! shared above `mem`. Nothing but atomics, and locks, which are atomics too.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::sync::atomic::{
    AtomicI32, AtomicPtr, AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::mem::lock::Lock;
use crate::mem::os;

/// Bits of a tag below the mixed value: the flags of a chunk.
const FLAG_BITS: u32 = 8;
/// Generations that a tag can tell apart.
const GENERATIONS: u32 = 1 << 12;
/// Tags that a secret makes: of so many generations of memory, and of as many uses of what lies in one.
const TAGS: u32 = 2 * GENERATIONS;
/// The mixed value that marks a freed header. Known to all: it protects nothing, it informs.
const FREED_VALUE: u32 = 0x00de_adfe & 0x00ff_ffff;

/// The tag of a header whose chunk was freed by itself.
pub const TAG_FREED: u32 = FREED_VALUE << FLAG_BITS;

/// The tag of memory that is in no span: no live header has it.
pub const NO_TAG: u32 = 0;

/// Every chunk is a block of the C library's malloc, so that other tools see each one.
pub const MODE_MALLOC: u32 = 1;
/// Freed payloads are filled with a byte.
pub const MODE_FILL: u32 = 2;

pub(crate) static SECRET: AtomicU32 = AtomicU32::new(0);
pub(crate) static MODE: AtomicU32 = AtomicU32::new(0);
static FILL: AtomicU32 = AtomicU32::new(0);
static READY: AtomicU32 = AtomicU32::new(0);
static MAGIC: AtomicI32 = AtomicI32::new(0);
/// The secret of the tags that are given out: a forked child's own.
static TAG_SECRET: AtomicU32 = AtomicU32::new(0);
/// The secrets of its ancestors, the nearest first: their tags are still in memory.
static FORMER: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];

/// Held while the process's allocator is set up.
static SETUP: Lock = Lock::new();
/// Held while a root of the process is made or dissolved.
pub(crate) static ROOTS: Lock = Lock::new();
/// Held while the tree of a Rust program's global allocator is used.
pub(crate) static GLOBAL_ALLOC: Lock = Lock::new();
/// The payload of the null context; null while there is none.
pub(crate) static NULL_CONTEXT: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());
/// Held while the children of the null context change.
pub(crate) static NULL_LIST: Lock = Lock::new();

/// Held while what counts for a limit on the null context is counted: that is all threads'.
pub(crate) static NULL_LIMIT: Lock = Lock::new();

/// Held while a table of handles to chunks, which lies above all this, is read or changed.
pub static HANDLES: Lock = Lock::new();

/// Held while a pool is used that two trees draw on: which one, each of its blocks says.
static POOLS: [Lock; 16] = [const { Lock::new() }; 16];

/// Held while the lists of what lives in trees (caches, mempools, …) change.
pub(crate) static RESIDENTS: Lock = Lock::new();
/// Held while one of them is used, by what cannot do without: which one, its address says. No thread holds
/// two of them.
static RESIDENT: [Lock; 64] = [const { Lock::new() }; 64];

/// The lock of the resident at `address`.
pub fn resident_lock(address: usize) -> &'static Lock {
    &RESIDENT[(address >> 6) % RESIDENT.len()]
}

/// Counts the forks that this process has made or comes from. After each of them it shares its memory with
/// another, page by page, until one of the two writes to it.
pub(crate) static FORKS: AtomicU32 = AtomicU32::new(0);
/// Counts the forks that this process comes from. In each of them it has lost all threads but one.
pub(crate) static BIRTHS: AtomicU32 = AtomicU32::new(0);

/// How many forks this process has made or comes from.
#[inline(always)]
pub fn forks() -> u32 {
    FORKS.load(Relaxed)
}

/// How many forks this process comes from.
pub fn births() -> u32 {
    BIRTHS.load(Relaxed)
}

/// The number of the lock of a pool that is made at `address`.
#[inline(always)]
pub(crate) fn pool_lock_number(address: usize) -> u8 {
    ((address >> 6) % POOLS.len()) as u8
}

/// The lock of pools with this number.
pub(crate) fn pool_lock(number: u8) -> &'static Lock {
    &POOLS[usize::from(number) % POOLS.len()]
}

/// The locks above, in the order in which they are taken: a fork takes them all, so that its child
/// finds each free and what it guards whole.
pub(crate) fn locks() -> impl Iterator<Item = &'static Lock> {
    [&GLOBAL_ALLOC, &SETUP, &ROOTS, &NULL_LIST, &RESIDENTS, &HANDLES]
        .into_iter()
        .chain(&RESIDENT)
        .chain(&POOLS)
        .chain([&NULL_LIMIT])
}

/// The options that are in force: `MODE_…` bits, 0 for the ordinary case.
#[inline(always)]
pub fn mode() -> u32 {
    MODE.load(Relaxed)
}

/// What is done when a thread would wait for itself.
static ON_DEADLOCK: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());

/// Sets what is called when a thread would wait for a lock that it has itself: a signal handler has interrupted it there.
/// After that, should it return, the process aborts.
pub fn on_deadlock(handler: fn()) {
    ON_DEADLOCK.store(handler as *mut c_void, Release);
}

/// The calling thread would wait for itself.
#[cold]
pub(crate) fn would_deadlock() -> ! {
    let handler = ON_DEADLOCK.load(Acquire);
    if !handler.is_null() {
        // SAFETY: what is not null was stored by `on_deadlock`.
        let handler: fn() = unsafe { core::mem::transmute(handler) };
        handler();
    }
    // SAFETY: abort has no preconditions.
    unsafe { libc::abort() }
}

/// The byte that freed payloads are filled with, under [`MODE_FILL`].
pub fn fill_byte() -> u8 {
    FILL.load(Relaxed) as u8
}

/// The tag of memory in its `generation`-th use.
#[inline]
pub fn tag_of_generation(generation: u32) -> u32 {
    (TAG_SECRET.load(Relaxed) ^ (generation % GENERATIONS)) << FLAG_BITS
}

/// The tag of what lies in memory that is tagged otherwise, in its `use_nr`-th use. It is no generation's.
#[inline]
pub fn tag_of_use(use_nr: u32) -> u32 {
    (TAG_SECRET.load(Relaxed) ^ (GENERATIONS + use_nr % GENERATIONS)) << FLAG_BITS
}

/// A tag that stays the same in all children of the process.
#[inline]
pub fn lasting_tag() -> u32 {
    SECRET.load(Relaxed) << FLAG_BITS
}

/// Whether `tag` is of one of the first `generations` or `uses`, in this process or in one that it was forked from.
pub fn is_tag_of_first(generations: usize, uses: usize, tag: u32) -> bool {
    secrets().any(|secret| {
        let number = (tag >> FLAG_BITS) ^ secret;
        let drawn = if number < GENERATIONS { generations } else { uses };
        number < TAGS && ((number % GENERATIONS) as usize) < drawn
    })
}

/// The secrets of this process, and of its nearest ancestors.
fn secrets() -> impl Iterator<Item = u32> {
    [&TAG_SECRET, &SECRET]
        .into_iter()
        .chain(&FORMER)
        .map(|secret| secret.load(Relaxed))
        .filter(|&secret| secret != 0)
}

/// Draws another secret for the tags of memory that is used anew. Called in a forked child, while it has one
/// thread; what it has inherited keeps its tags.
pub fn renew_secret() {
    if READY.load(Acquire) == 0 {
        return;
    }
    for i in (1..FORMER.len()).rev() {
        FORMER[i].store(FORMER[i - 1].load(Relaxed), Relaxed);
    }
    FORMER[0].store(TAG_SECRET.load(Relaxed), Relaxed);
    // No tag that is made of it is one that was made before.
    let secret = loop {
        let secret = draw() as u32 & 0x00ff_ffff;
        if secrets().all(|former| former ^ secret >= TAGS) {
            break secret;
        }
    };
    TAG_SECRET.store(secret, Relaxed);
}

/// Where a number lies that tells this process's allocator from any other's.
pub fn magic() -> *const c_int {
    setup();
    MAGIC.as_ptr()
}

/// Reads the environment and draws the secret, once. Called before the first chunk is made.
#[inline]
pub fn setup() {
    if READY.load(Acquire) == 0 {
        setup_once();
    }
}

#[cold]
fn setup_once() {
    let _held = SETUP.hold();
    if READY.load(Acquire) != 0 {
        return;
    }
    let bits = draw();
    SECRET.store(bits as u32 & 0x00ff_ffff, Relaxed);
    TAG_SECRET.store(bits as u32 & 0x00ff_ffff, Relaxed);
    MAGIC.store((bits >> 32) as i32 | 1, Relaxed);
    read_environment();
    READY.store(1, Release);
}

/// Random bits, of which the lower 24 will do as a secret.
fn draw() -> u64 {
    let mut bits = os::entropy();
    while !is_fit(bits as u32) {
        bits = bits.rotate_left(13).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    }
    bits
}

/// Whether no tag made by `secret` looks like the mark of a freed header, or like memory that is full of one byte, whichever
/// that is: zeros, ones, or what freed payloads are filled with.
fn is_fit(secret: u32) -> bool {
    let value = secret & 0x00ff_ffff;
    value ^ FREED_VALUE >= TAGS && value >> 21 != value >> 13 & 0x7
}

fn read_environment() {
    // Miri follows each allocation by itself, and knows no mappings of ours.
    if cfg!(miri) {
        MODE.store(MODE_MALLOC, Relaxed);
        return;
    }
    let mut mode = 0;
    if let Some(text) = environment(c"TALLOC_FREE_FILL") {
        // SAFETY: a C string from the environment; no end pointer is asked for.
        let fill = unsafe { libc::strtoul(text.as_ptr(), core::ptr::null_mut(), 0) };
        FILL.store(fill as u32, Relaxed);
        mode |= MODE_FILL;
    }
    // Memcheck is to see every chunk, also those in pools.
    if option("backend").map_or_else(os::is_memchecked, |backend| backend == b"malloc") {
        mode |= MODE_MALLOC;
    }
    MODE.store(mode, Relaxed);
}

fn environment(name: &CStr) -> Option<&'static CStr> {
    // SAFETY: a C string; what is returned lives as long as nobody changes the environment, which
    // no program does while its first allocation reads it.
    unsafe {
        let value: *mut c_char = libc::getenv(name.as_ptr());
        if value.is_null() { None } else { Some(CStr::from_ptr(value)) }
    }
}

/// The value of `name` in `TMEMPOOL_OPTIONS`, a list `name=value,name,…`, the last one if it is there
/// twice: empty when it has none, `None` when it is not there. A program that runs with raised privileges takes no options.
pub fn option(name: &str) -> Option<&'static [u8]> {
    // SAFETY: reads an entry of the process's auxiliary vector.
    if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
        return None;
    }
    option_in(environment(c"TMEMPOOL_OPTIONS")?.to_bytes(), name)
}

fn option_in<'a>(list: &'a [u8], name: &str) -> Option<&'a [u8]> {
    list.rsplit(|&b| b == b',').find_map(|entry| {
        let rest = entry.strip_prefix(name.as_bytes())?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix(b"=") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_by_whole_name() {
        let list = b"backend=slots,backend=malloc,fill,trace=/tmp/x";
        assert_eq!(option_in(list, "backend"), Some(&b"malloc"[..]));
        assert_eq!(option_in(list, "fill"), Some(&b""[..]));
        assert_eq!(option_in(list, "trace"), Some(&b"/tmp/x"[..]));
        assert_eq!(option_in(list, "back"), None);
        assert_eq!(option_in(list, "stats"), None);
        assert_eq!(option_in(b"", "fill"), None);
    }

    #[test]
    fn tags_are_told_from_garbage_and_from_each_other() {
        setup();
        assert_ne!(tag_of_generation(1), tag_of_generation(2));
        let any = usize::MAX;
        assert!(is_tag_of_first(78, 0, tag_of_generation(77)));
        assert!(is_tag_of_first(78, 0, tag_of_generation(77) | 0x15));
        assert!(!is_tag_of_first(77, any, tag_of_generation(77)));
        assert!(is_tag_of_first(0, 78, tag_of_use(77)));
        assert!(!is_tag_of_first(any, 77, tag_of_use(77)));
        assert!(!is_tag_of_first(any, any, TAG_FREED));
        let before = [tag_of_generation(5), tag_of_use(5)];
        renew_secret();
        assert_ne!([tag_of_generation(5), tag_of_use(5)], before);
        assert!(before.iter().all(|&tag| is_tag_of_first(any, any, tag)));
    }

    #[test]
    fn no_use_has_the_tag_of_a_generation() {
        setup();
        let mut tags: std::vec::Vec<u32> =
            (0..GENERATIONS).flat_map(|n| [tag_of_generation(n), tag_of_use(n)]).collect();
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), TAGS as usize);
    }

    #[test]
    fn memory_full_of_one_byte_looks_like_no_tag() {
        for _ in 0..1000 {
            let secret = draw() as u32 & 0x00ff_ffff;
            for byte in 0..=u8::MAX {
                let value = u32::from_ne_bytes([byte; 4]) >> FLAG_BITS;
                assert!(secret ^ value >= TAGS, "{secret:#x} is near {value:#x}");
            }
        }
    }
}
