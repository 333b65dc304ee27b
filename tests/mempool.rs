//! Guaranteed reserves: random programs against a model of their rule, with a source that fails when it is told
//! to; sources that come back into the pool; and the ends of pools and caches.
//!
//! Attacks: elements that are lost or doubled between source and reserve, a reserve that is not refilled first,
//! resizes in all states, sources that are gone before the reserve of them.

mod factory;
mod random;

use std::ffi::c_void;
use std::ptr::{NonNull, null};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};

use factory::{Factory, Shared, end, make, pool_of, put, unmake};
use random::Rng;
use tmempool::ops;
use tmempool::pools::cache::{self, Config};
use tmempool::pools::mempool::{self, DestroyError, Failure, Mempool, Misuse, Patience, SizeError, Source};
use tmempool::pools::resident::ResidentRef;
use tmempool::tree::Chunk;

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
        meddler.pool.store(Shared::of(pool).0, SeqCst);
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
        meddler.pool.store(Shared::of(pool).0, SeqCst);
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
    meddler.pool.store(Shared::of(pool).0, SeqCst);
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
