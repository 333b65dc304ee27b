//! Guaranteed reserves: random programs against a model of their rule, with a source that fails when it is told
//! to; threads that wait; sources that come back into the pool; and the ends of pools and caches.
//!
//! Attacks: elements that are lost or doubled between source, reserve and waiters, a reserve that is not
//! refilled first, resizes in all states, waiters that a newcomer overtakes, that time out as they are served,
//! or that the end of the pool leaves behind.

mod random;

use std::collections::BTreeSet;
use std::ffi::c_void;
use std::ptr::{NonNull, null, null_mut};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use random::Rng;
use tmempool::ops;
use tmempool::pools::cache::{self, Config};
use tmempool::pools::mempool::{
    self, DestroyError, Failure, Mempool, MempoolRef, Misuse, Patience, SizeError, Source,
};
use tmempool::pools::resident::ResidentRef;
use tmempool::tree::Chunk;

/// A source that counts, and fails when it is told to. Its elements are numbers.
#[derive(Default)]
struct Factory {
    fails: AtomicBool,
    /// Elements that it gives before it fails; counted only while it is not 0.
    left: AtomicUsize,
    live: Mutex<BTreeSet<usize>>,
    next: AtomicUsize,
}

impl Factory {
    fn source(&self) -> Source {
        Source::Functions { alloc: make, free: unmake, data: std::ptr::from_ref(self).cast_mut().cast() }
    }

    fn live(&self) -> usize {
        self.live.lock().unwrap().len()
    }

    fn fail(&self, fails: bool) {
        self.fails.store(fails, SeqCst);
    }
}

unsafe extern "C" fn make(factory: *mut c_void) -> *mut c_void {
    // SAFETY: the factory outlives its pools.
    let factory = unsafe { &*factory.cast::<Factory>() };
    let left = factory.left.load(SeqCst);
    if factory.fails.load(SeqCst) || left == 1 {
        return null_mut();
    }
    if left > 1 {
        factory.left.store(left - 1, SeqCst);
    }
    let element = 16 + factory.next.fetch_add(1, SeqCst);
    assert!(factory.live.lock().unwrap().insert(element));
    std::ptr::without_provenance_mut(element)
}

unsafe extern "C" fn unmake(element: *mut c_void, factory: *mut c_void) {
    // SAFETY: the factory outlives its pools.
    let factory = unsafe { &*factory.cast::<Factory>() };
    assert!(factory.live.lock().unwrap().remove(&element.addr()), "an element came back twice, or never was");
}

fn pool_of(min: usize, source: Source) -> Result<MempoolRef, SizeError> {
    // SAFETY: a tree of this thread's.
    unsafe { mempool::create(None, c"pool", min, source) }
}

fn put(pool: MempoolRef, element: NonNull<c_void>) -> Result<(), Misuse> {
    // SAFETY: the caller gives it up.
    unsafe { pool.free(element) }
}

fn end(pool: MempoolRef) -> Result<(), DestroyError> {
    // SAFETY: a tree of this thread's.
    unsafe { mempool::destroy(pool, null()) }
}

fn program(seed: u64, seen: &mut [usize; 8]) {
    let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let factory = Factory::default();
    let mut min = 1 + rng.below(20);
    let pool = pool_of(min, factory.source()).unwrap();
    let mut reserve = min;
    let mut out: Vec<NonNull<c_void>> = Vec::new();
    let (mut given, mut failures) = (0, 0);
    for _ in 0..400 {
        let fails = rng.below(3) == 0;
        factory.fail(fails);
        match rng.below(12) {
            0..6 => {
                let patience = [Patience::None, Patience::Nanoseconds(0), Patience::Nanoseconds(1000)];
                let patience = patience[rng.below(3)];
                let got = pool.alloc(patience);
                if fails && reserve == 0 {
                    let failure = if patience == Patience::None { Failure::Empty } else { Failure::TimedOut };
                    assert_eq!(got, Err(failure));
                    failures += 1;
                    seen[0] += 1;
                } else {
                    reserve -= usize::from(fails);
                    seen[1 + usize::from(fails)] += 1;
                    let element = got.unwrap();
                    assert!(!out.contains(&element), "an element has two owners");
                    out.push(element);
                    given += 1;
                }
            }
            6..10 if !out.is_empty() => {
                let element = out.swap_remove(rng.below(out.len()));
                assert_eq!(put(pool, element), Ok(()));
                let kept = reserve < min;
                reserve += usize::from(kept);
                seen[3 + usize::from(kept)] += 1;
                assert_eq!(factory.live.lock().unwrap().contains(&element.addr().get()), kept);
                if kept && !out.is_empty() && reserve < min {
                    assert_eq!(put(pool, element), Err(Misuse::Free));
                }
            }
            10 => {
                let new = rng.below(25);
                let left = rng.below(8);
                factory.left.store(if new > min { left } else { 0 }, SeqCst);
                let wanted = if new == 0 {
                    Err(SizeError::Zero)
                } else if new > min && (fails || left > 0 && left - 1 < new - min) {
                    seen[5] += 1;
                    Err(SizeError::SourceFailed)
                } else {
                    seen[6 + usize::from(new < min)] += 1;
                    reserve = if new > min { reserve + new - min } else { reserve.min(new) };
                    min = new;
                    Ok(())
                };
                assert_eq!(pool.resize(new), wanted);
                factory.left.store(0, SeqCst);
            }
            _ if out.is_empty() => {
                assert_eq!(put(pool, NonNull::dangling()), Err(Misuse::NothingOut));
            }
            _ => assert_eq!(end(pool), Err(DestroyError::InUse(out.len()))),
        }
        assert_eq!((pool.in_use(), pool.min()), (out.len(), min));
        assert_eq!(factory.live(), out.len() + reserve);
        let stats = pool.stats();
        assert_eq!((stats.allocations, stats.frees, stats.failures), (given, given - out.len(), failures));
        assert!(out.len() + reserve >= min, "the guarantee");
    }
    out.into_iter().for_each(|element| put(pool, element).unwrap());
    assert_eq!(end(pool), Ok(()));
    assert_eq!(factory.live(), 0);
}

#[test]
fn it_follows_its_rule() {
    let mut seen = [0; 8];
    for seed in 1..=300 {
        program(seed, &mut seen);
    }
    assert!(seen.iter().all(|&count| count > 100), "{seen:?}");
}

#[test]
fn what_cannot_be_filled_is_not_made() {
    let factory = Factory::default();
    assert_eq!(pool_of(0, factory.source()).err(), Some(SizeError::Zero));
    for left in 1..=10 {
        factory.left.store(left, SeqCst);
        assert_eq!(pool_of(10, factory.source()).err(), Some(SizeError::SourceFailed));
        assert_eq!(factory.live(), 0);
    }
    for size in [usize::MAX, usize::MAX / 8, usize::MAX / 16] {
        assert!(matches!(pool_of(size, factory.source()), Err(SizeError::Memory(_))));
    }
    factory.left.store(0, SeqCst);
    let pool = pool_of(1, factory.source()).unwrap();
    assert!(matches!(pool.resize(usize::MAX), Err(SizeError::Memory(_))));
    assert_eq!((pool.min(), factory.live()), (1, 1));
    end(pool).unwrap();
    assert_eq!(factory.live(), 0);
}

/// A handle for another thread.
#[derive(Clone, Copy)]
struct Shared(usize);

impl Shared {
    fn of(pool: MempoolRef) -> Shared {
        Shared(pool.ptr().expose_provenance())
    }

    fn get(self) -> MempoolRef {
        // SAFETY: the tests keep the pool until its threads have ended.
        unsafe { ResidentRef::<Mempool>::check(std::ptr::with_exposed_provenance(self.0)) }.unwrap()
    }
}

/// Waits until the thread that writes its number to `id` sleeps.
fn until_it_sleeps(id: &AtomicUsize) {
    loop {
        thread::sleep(Duration::from_millis(1));
        let stat = std::fs::read_to_string(format!("/proc/self/task/{}/stat", id.load(SeqCst)));
        if stat.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" S "))) {
            return;
        }
    }
}

#[test]
fn first_come_first_served() {
    let factory = Factory::default();
    let pool = pool_of(1, factory.source()).unwrap();
    factory.fail(true);
    let element = pool.alloc(Patience::None).unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let threads: Vec<_> = (0..6)
        .map(|i| {
            let (shared, order) = (Shared::of(pool), order.clone());
            let arrived = Arc::new(AtomicUsize::new(0));
            let id = arrived.clone();
            let thread = thread::spawn(move || {
                // SAFETY: always succeeds.
                id.store(unsafe { libc::gettid() } as usize, SeqCst);
                let element = shared.get().alloc(Patience::Endless).unwrap();
                order.lock().unwrap().push(i);
                put(shared.get(), element).unwrap();
            });
            until_it_sleeps(&arrived);
            thread
        })
        .collect();
    // Who comes now finds nothing, though an element is about to come.
    assert_eq!(pool.alloc(Patience::None), Err(Failure::Empty));
    put(pool, element).unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
    end(pool).unwrap();
}

#[test]
fn time_runs_out_when_it_should() {
    let factory = Factory::default();
    let pool = pool_of(1, factory.source()).unwrap();
    factory.fail(true);
    let element = pool.alloc(Patience::None).unwrap();
    for milliseconds in [1, 20, 100] {
        let began = Instant::now();
        let time = Duration::from_millis(milliseconds);
        assert_eq!(pool.alloc(Patience::Nanoseconds(time.as_nanos() as u64)), Err(Failure::TimedOut));
        assert!(began.elapsed() >= time);
    }
    // More than the clock can show is no limit.
    let shared = Shared::of(pool);
    let waiter = thread::spawn(move || {
        let element = shared.get().alloc(Patience::Nanoseconds(u64::MAX)).unwrap();
        put(shared.get(), element).unwrap();
    });
    thread::sleep(Duration::from_millis(30));
    put(pool, element).unwrap();
    waiter.join().unwrap();
    end(pool).unwrap();
}

#[test]
fn the_end_of_the_pool_sends_waiters_away() {
    let factory = Factory::default();
    // SAFETY: a tree of this thread's.
    let parent = unsafe { ops::alloc(None, 0) }.unwrap();
    // SAFETY: as above.
    let pool = unsafe { mempool::create(Some(parent), c"pool", 2, factory.source()) }.unwrap();
    factory.fail(true);
    let (first, _second) = (pool.alloc(Patience::None).unwrap(), pool.alloc(Patience::None).unwrap());
    let waiters: Vec<_> = [Patience::Endless, Patience::Nanoseconds(60_000_000_000)]
        .into_iter()
        .map(|patience| {
            let (shared, arrived) = (Shared::of(pool), Arc::new(AtomicUsize::new(0)));
            let id = arrived.clone();
            let waiter = thread::spawn(move || {
                let pool = shared.get();
                // SAFETY: always succeeds.
                id.store(unsafe { libc::gettid() } as usize, SeqCst);
                assert_eq!(pool.alloc(patience), Err(Failure::Ended));
            });
            until_it_sleeps(&arrived);
            waiter
        })
        .collect();
    let address = pool.ptr();
    // SAFETY: as above; the others have nothing to do with the pool after they have been sent away.
    unsafe { ops::free(parent, null()) }.unwrap();
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    // SAFETY: any address may be asked about.
    assert!(unsafe { ResidentRef::<Mempool>::check(address) }.is_err());
    // What was out is its owners'.
    assert_eq!(factory.live(), 2);
    // SAFETY: an element of this factory.
    unsafe { unmake(first.as_ptr(), std::ptr::from_ref(&factory).cast_mut().cast()) };
}

/// A source that uses its own pool.
#[derive(Default)]
struct Meddler {
    factory: Factory,
    pool: AtomicUsize,
    resizes: AtomicU32,
}

unsafe extern "C" fn meddle_make(meddler: *mut c_void) -> *mut c_void {
    // SAFETY: the meddler outlives its pool.
    let meddler = unsafe { &*meddler.cast::<Meddler>() };
    let pool = meddler.pool.swap(0, SeqCst);
    if pool != 0 {
        let pool = Shared(pool).get();
        let element = pool.alloc(Patience::None).unwrap();
        put(pool, element).unwrap();
        pool.resize(pool.min() + 1).unwrap();
        meddler.resizes.fetch_add(1, SeqCst);
        meddler.pool.store(pool.ptr().expose_provenance(), SeqCst);
    }
    // SAFETY: as above.
    unsafe { make(std::ptr::from_ref(&meddler.factory).cast_mut().cast()) }
}

unsafe extern "C" fn meddle_unmake(element: *mut c_void, meddler: *mut c_void) {
    // SAFETY: the meddler outlives its pool.
    let meddler = unsafe { &*meddler.cast::<Meddler>() };
    let pool = meddler.pool.swap(0, SeqCst);
    if pool != 0 {
        let pool = Shared(pool).get();
        let element = pool.alloc(Patience::None).unwrap();
        put(pool, element).unwrap();
        meddler.pool.store(pool.ptr().expose_provenance(), SeqCst);
    }
    // SAFETY: as above.
    unsafe { unmake(element, std::ptr::from_ref(&meddler.factory).cast_mut().cast()) };
}

#[test]
fn a_source_may_come_back_into_the_pool() {
    let meddler = Meddler::default();
    let data = std::ptr::from_ref(&meddler).cast_mut().cast();
    let source = Source::Functions { alloc: meddle_make, free: meddle_unmake, data };
    let pool = pool_of(2, source).unwrap();
    meddler.pool.store(pool.ptr().expose_provenance(), SeqCst);
    let element = pool.alloc(Patience::Endless).unwrap();
    assert_eq!(pool.min(), 3);
    put(pool, element).unwrap();
    // The source has resized the pool while it made what a resize wanted of it.
    assert_eq!(pool.resize(10), Err(SizeError::Busy));
    assert_eq!(meddler.factory.live(), pool.min());
    pool.resize(1).unwrap();
    assert_eq!(meddler.factory.live(), 1);
    assert!(meddler.resizes.load(SeqCst) >= 2);
    meddler.pool.store(0, SeqCst);
    end(pool).unwrap();
    assert_eq!(meddler.factory.live(), 0);
}

fn context(parent: Option<Chunk>) -> Chunk {
    // SAFETY: a tree of this thread's.
    unsafe { ops::alloc(parent, 0) }.unwrap()
}

#[test]
fn a_cache_lives_as_long_as_a_reserve_of_it() {
    // SAFETY: trees of this thread's.
    unsafe {
        let config = Config { size: 10_000, ..Config::default() };
        let (left, right) = (context(None), context(None));
        let cache = cache::create(Some(left), c"objects", &config).unwrap();
        let pool = mempool::create(Some(right), c"pool", 5, Source::Cache(cache)).unwrap();
        assert_eq!(cache.in_use(), 5);
        assert!(cache::destroy(cache, null()).is_err());
        ops::free(left, null()).unwrap();
        let element = pool.alloc(Patience::None).unwrap();
        element.cast::<u8>().write_bytes(7, 10_000);
        assert_eq!(cache.in_use(), 6);
        let outside = NonNull::from(&config).cast();
        assert_eq!(put(pool, outside), Err(Misuse::Foreign));
        put(pool, element).unwrap();
        assert_eq!(put(pool, element), Err(Misuse::NothingOut));
        pool.resize(9).unwrap();
        pool.resize(2).unwrap();
        assert_eq!(cache.in_use(), 2);
        ops::free(right, null()).unwrap();
        assert!(ResidentRef::<cache::Cache>::check(cache.ptr()).is_err());
    }
}

#[test]
fn a_reserve_below_its_cache_ends_with_it() {
    // SAFETY: a tree of this thread's.
    unsafe {
        let config = Config { size: 100, ..Config::default() };
        let cache = cache::create(None, c"objects", &config).unwrap();
        let pool = mempool::create(Some(cache.chunk()), c"pool", 5, Source::Cache(cache)).unwrap();
        let element = pool.alloc(Patience::None).unwrap();
        put(pool, element).unwrap();
        ops::free(cache.chunk(), null()).unwrap();
        assert!(ResidentRef::<Mempool>::check(pool.ptr()).is_err());
    }
}

#[test]
fn a_reserve_whose_cache_was_taken_away_gives_nothing() {
    // SAFETY: trees of this thread's.
    unsafe {
        let config = Config { size: 100, ..Config::default() };
        let cache = cache::create(None, c"objects", &config).unwrap();
        let pool = mempool::create(None, c"pool", 5, Source::Cache(cache)).unwrap();
        let element = pool.alloc(Patience::None).unwrap();
        ops::unlink(Some(pool.chunk()), cache.chunk(), null()).unwrap();
        ops::free(cache.chunk(), null()).unwrap();
        for patience in [Patience::None, Patience::Endless] {
            assert_eq!(pool.alloc(patience), Err(Failure::Ended));
        }
        // Gone already.
        assert_eq!(put(pool, element), Ok(()));
        assert_eq!(pool.resize(9), Err(SizeError::SourceFailed));
        ops::free(pool.chunk(), null()).unwrap();
    }
}

#[test]
fn general_sizes() {
    for size in [1, 100, 5000, 100_000, 3_000_000] {
        let pool = pool_of(3, Source::Kmalloc(size)).unwrap();
        let elements: Vec<_> = (0..10).map(|_| pool.alloc(Patience::None).unwrap()).collect();
        let stats = pool.stats();
        assert_eq!((stats.total, stats.current, stats.peak), (10 * size, 10 * size, 10 * size));
        for (i, element) in elements.iter().enumerate() {
            // SAFETY: so many bytes of the element.
            unsafe { element.cast::<u8>().write_bytes(i as u8, size) };
        }
        for (i, element) in elements.into_iter().enumerate() {
            // SAFETY: as above.
            assert_eq!(unsafe { element.cast::<u8>().add(size - 1).read() }, i as u8);
            put(pool, element).unwrap();
        }
        assert_eq!(end(pool), Ok(()));
    }
    assert_eq!(pool_of(1, Source::Kmalloc(usize::MAX)).err(), Some(SizeError::SourceFailed));
}

/// Threads with a source that fails at random: each element has one owner at a time, and each call ends.
#[test]
fn threads_share_a_reserve() {
    const ELEMENTS: usize = 4;
    static OWNERS: [AtomicU32; ELEMENTS] = [const { AtomicU32::new(0) }; ELEMENTS];
    static MADE: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn only_so_many(_: *mut c_void) -> *mut c_void {
        let i = MADE.fetch_add(1, SeqCst);
        OWNERS.get(i).map_or(null_mut(), |owner| owner.as_ptr().cast())
    }
    unsafe extern "C" fn never(_: *mut c_void, _: *mut c_void) {}
    let source = Source::Functions { alloc: only_so_many, free: never, data: null_mut() };
    let pool = pool_of(ELEMENTS, source).unwrap();
    let shared = Shared::of(pool);
    let threads: Vec<_> = (0..8u64)
        .map(|i| {
            thread::spawn(move || {
                let (pool, mut rng) = (shared.get(), Rng(i * 77 + 1));
                let mut got = 0;
                while got < 3000 {
                    let patience = match rng.below(4) {
                        0 => Patience::None,
                        1 => Patience::Nanoseconds(rng.below(20_000) as u64),
                        _ => Patience::Endless,
                    };
                    match pool.alloc(patience) {
                        Ok(element) => {
                            // SAFETY: the elements are the counters.
                            let owner = unsafe { element.cast::<AtomicU32>().as_ref() };
                            assert_eq!(owner.swap(1, SeqCst), 0, "two owners");
                            if rng.below(8) == 0 {
                                thread::yield_now();
                            }
                            assert_eq!(owner.swap(0, SeqCst), 1);
                            put(pool, element).unwrap();
                            got += 1;
                        }
                        Err(failure) => {
                            let expected = match patience {
                                Patience::None => Failure::Empty,
                                _ => Failure::TimedOut,
                            };
                            assert_ne!(patience, Patience::Endless);
                            assert_eq!(failure, expected);
                        }
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(pool.in_use(), 0);
    let all: BTreeSet<_> = (0..ELEMENTS).map(|_| pool.alloc(Patience::None).unwrap()).collect();
    assert_eq!(all.len(), ELEMENTS, "an element was lost");
    all.into_iter().for_each(|element| put(pool, element).unwrap());
    end(pool).unwrap();
}

/// The time of one thread runs out just as another has something to give: whoever has it then, it is not lost.
#[test]
fn nothing_is_lost_as_the_time_runs_out() {
    const ROUNDS: usize = 4000;
    let factory = Factory::default();
    let pool = pool_of(1, factory.source()).unwrap();
    factory.fail(true);
    let shared = Shared::of(pool);
    let round = Arc::new(AtomicUsize::new(0));
    let (begun, mut late) = (round.clone(), 0);
    let waiter = thread::spawn(move || {
        let pool = shared.get();
        for i in 1..=ROUNDS {
            while begun.load(SeqCst) < 2 * i - 1 {
                thread::yield_now();
            }
            begun.store(2 * i, SeqCst);
            match pool.alloc(Patience::Nanoseconds(20_000)) {
                Ok(element) => put(pool, element).unwrap(),
                Err(failure) => {
                    assert_eq!(failure, Failure::TimedOut);
                    late += 1;
                }
            }
        }
        late
    });
    let mut rng = Rng(4);
    for i in 1..=ROUNDS {
        // A lost element would never come.
        let element = pool.alloc(Patience::Nanoseconds(5_000_000_000)).expect("an element was lost");
        round.store(2 * i - 1, SeqCst);
        while round.load(SeqCst) < 2 * i {
            thread::yield_now();
        }
        // The kernel wakes a sleeper up to 50 microseconds late, and then it takes its time.
        let (began, hold) = (Instant::now(), Duration::from_nanos(20_000 + rng.below(100_000) as u64));
        while began.elapsed() < hold {
            std::hint::spin_loop();
        }
        put(pool, element).unwrap();
    }
    let late = waiter.join().unwrap();
    assert!(0 < late && late < ROUNDS, "{late}");
    let last = pool.alloc(Patience::None).expect("an element was lost");
    put(pool, last).unwrap();
    end(pool).unwrap();
}
