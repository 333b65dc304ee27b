//! Threads that wait for an element of a guaranteed reserve: the order in which they are served, the time that they
//! wait, and the end of the pool.
//!
//! Attacks: elements that are lost or doubled between reserve and waiters, waiters that a newcomer overtakes, that
//! time out as they are served, or that the end of the pool leaves behind.

mod factory;
mod random;

use std::collections::BTreeSet;
use std::ffi::c_void;
use std::ptr::{NonNull, null, null_mut};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use factory::{Factory, Shared, end, pool_of, put, unmake};
use random::Rng;
use tmempool::ops;
use tmempool::pools::mempool::{self, Failure, Mempool, Patience, Source};
use tmempool::pools::resident::ResidentRef;

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

/// A free has seen that the reserve is full, and its element is on the way to the source, when another thread finds
/// neither there nor in the reserve anything.
#[test]
fn who_waits_while_an_element_goes_to_the_source_gets_it() {
    static STOCK: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    static HOLDS_UP: AtomicBool = AtomicBool::new(false);
    static IS_HELD_UP: AtomicBool = AtomicBool::new(false);
    unsafe extern "C" fn from_stock(_: *mut c_void) -> *mut c_void {
        STOCK.lock().unwrap().pop().map_or(null_mut(), std::ptr::without_provenance_mut)
    }
    unsafe extern "C" fn to_stock(element: *mut c_void, _: *mut c_void) {
        while HOLDS_UP.load(SeqCst) {
            IS_HELD_UP.store(true, SeqCst);
            thread::sleep(Duration::from_millis(1));
        }
        STOCK.lock().unwrap().push(element.addr());
    }
    *STOCK.lock().unwrap() = vec![16, 32];
    let pool = pool_of(1, Source::Functions { alloc: from_stock, free: to_stock, data: null_mut() }).unwrap();
    let element = pool.alloc(Patience::None).unwrap();
    HOLDS_UP.store(true, SeqCst);
    let shared = Shared::of(pool);
    let address = element.addr();
    let freeing = thread::spawn(move || put(shared.get(), NonNull::without_provenance(address)).unwrap());
    while !IS_HELD_UP.load(SeqCst) {
        thread::yield_now();
    }
    let reserved = pool.alloc(Patience::None).unwrap();
    assert_ne!(reserved, element);
    let (shared, id) = (Shared::of(pool), Arc::new(AtomicUsize::new(0)));
    let own_id = id.clone();
    let waiting = thread::spawn(move || {
        // SAFETY: always succeeds.
        own_id.store(unsafe { libc::gettid() } as usize, SeqCst);
        shared.get().alloc(Patience::Endless).unwrap().addr()
    });
    until_it_sleeps(&id);
    HOLDS_UP.store(false, SeqCst);
    freeing.join().unwrap();
    assert_eq!(waiting.join().unwrap(), address);
    put(pool, element).unwrap();
    put(pool, reserved).unwrap();
    end(pool).unwrap();
    assert_eq!(STOCK.lock().unwrap().len(), 2);
}
