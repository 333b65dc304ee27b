//! Object caches that threads share: threads that hand objects over, that come and go, that free the same objects
//! at the same moment, and that are at work while another one forks.
//!
//! Attacks: objects with two owners, double frees that are believed by one of two, objects that are lost in the
//! magazines of threads that have ended, caches that a fork leaves in the middle of something.

mod constructed;
mod random;

use std::collections::{HashMap, HashSet};
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;

use constructed::{Calls, counted, create, destroy, free, is_constructed, plain};
use random::Rng;
use tmempool::ops;
use tmempool::pools::cache::CacheRef;

/// Threads allocate, write, hand over, check and free; no object has two owners, and none is lost.
#[test]
fn threads_share_a_cache() {
    let calls = Calls::default();
    let cache = create(&counted(96, &calls));
    let at = cache.ptr() as usize;
    let here = || {
        // SAFETY: the cache outlives the threads.
        unsafe { CacheRef::check(at as *const c_void) }.unwrap()
    };
    std::thread::scope(|scope| {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..6).map(|_| mpsc::channel::<usize>()).unzip();
        for (me, receiver) in receivers.into_iter().enumerate() {
            let next = senders[(me + 1) % 6].clone();
            scope.spawn(move || {
                let cache = here();
                let mut rng = Rng(me as u64 + 77);
                let mut mine: Vec<NonNull<u8>> = Vec::new();
                let word = |object: NonNull<u8>| object.cast::<usize>().as_ptr().wrapping_add(1);
                let check = |object: NonNull<u8>| {
                    assert!(is_constructed(object));
                    // SAFETY: an object that this thread has.
                    assert_eq!(unsafe { word(object).read() }, object.addr().get(), "two owners");
                };
                for _ in 0..30_000 {
                    match rng.below(10) {
                        0..5 => {
                            let object = cache.alloc().unwrap();
                            // SAFETY: as above.
                            unsafe { word(object).write(object.addr().get()) };
                            mine.push(object);
                        }
                        5..8 if !mine.is_empty() => {
                            let object = mine.swap_remove(rng.below(mine.len()));
                            check(object);
                            // SAFETY: as above.
                            unsafe { word(object).write(0) };
                            free(&cache, object).unwrap();
                        }
                        8 if !mine.is_empty() => {
                            let object = mine.swap_remove(rng.below(mine.len()));
                            let _ = next.send(object.as_ptr() as usize);
                        }
                        _ => {
                            for object in receiver.try_iter() {
                                let object = NonNull::new(object as *mut u8).unwrap();
                                check(object);
                                free(&cache, object).unwrap();
                            }
                        }
                    }
                    if rng.below(2000) == 0 {
                        cache.shrink();
                        cache.stats();
                    }
                }
                drop(next);
                for object in
                    mine.into_iter().chain(receiver.try_iter().map(|at| NonNull::new(at as *mut u8).unwrap()))
                {
                    check(object);
                    free(&cache, object).unwrap();
                }
                receiver
            });
        }
    });
    // What was sent to a thread that had ended already is in use still.
    let stats = cache.stats();
    assert_eq!(cache.in_use(), stats.active);
    assert!(calls.alive() <= stats.total);
    // SAFETY: this thread's.
    unsafe { ops::free(cache.chunk(), ptr::null()) }.unwrap();
    assert_eq!(calls.alive(), 0);
}

/// The magazines of ended threads are empty, and their places are used again.
#[test]
fn a_thousand_threads_leave_nothing_behind() {
    let cache = create(&plain(128));
    let at = cache.ptr() as usize;
    for _ in 0..125 {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                std::thread::spawn(move || {
                    // SAFETY: the cache outlives the threads.
                    let cache = unsafe { CacheRef::check(at as *const c_void) }.unwrap();
                    let objects: Vec<_> = (0..100).map(|_| cache.alloc().unwrap()).collect();
                    objects.into_iter().for_each(|object| free(&cache, object).unwrap());
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
    let stats = cache.stats();
    assert_eq!((stats.active, stats.allocations), (0, 100_000));
    assert_eq!(stats.slabs_partial + stats.slabs_full, stats.cached.min(1));
    assert!(stats.total <= 16 * stats.objects_per_slab, "{stats:?}");
    cache.shrink();
    assert_eq!(cache.stats().total, 0);
    destroy(cache).unwrap();
}

/// Two threads free the same objects at the same moment, and take objects again, one after the other: each is
/// handed out once.
#[test]
fn racing_double_frees_make_no_second_owner() {
    const OBJECTS: usize = 40;
    let cache = create(&plain(64));
    let at = cache.ptr() as usize;
    let barrier = Spinning { waiting: AtomicUsize::new(0), rounds: AtomicUsize::new(0) };
    let shared: Vec<AtomicUsize> = (0..2 * OBJECTS).map(|_| AtomicUsize::new(0)).collect();
    std::thread::scope(|scope| {
        let threads = [0, 1].map(|me| {
            let (shared, barrier) = (&shared, &barrier);
            scope.spawn(move || {
                // SAFETY: the cache outlives the threads.
                let cache = unsafe { CacheRef::check(at as *const c_void) }.unwrap();
                let object = |i: usize| NonNull::new(shared[i].load(SeqCst) as *mut u8).unwrap();
                for _ in 0..3000 {
                    if me == 0 {
                        (0..OBJECTS)
                            .for_each(|i| shared[i].store(cache.alloc().unwrap().as_ptr() as usize, SeqCst));
                    }
                    barrier.wait();
                    for i in 0..OBJECTS {
                        let _ = free(&cache, object(i));
                    }
                    barrier.wait();
                    let mine = me * OBJECTS..(me + 1) * OBJECTS;
                    for turn in 0..2 {
                        if turn == me {
                            mine.clone().for_each(|i| {
                                shared[i].store(cache.alloc().unwrap().as_ptr() as usize, SeqCst);
                            });
                        }
                        barrier.wait();
                    }
                    let distinct: HashSet<_> = (0..2 * OBJECTS).map(object).collect();
                    assert_eq!(distinct.len(), 2 * OBJECTS, "an object has two owners");
                    barrier.wait();
                    mine.for_each(|i| free(&cache, object(i)).unwrap());
                    barrier.wait();
                }
            })
        });
        // To the very end of the threads, which empties their magazines.
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert_eq!(cache.in_use(), 0);
    cache.shrink();
    assert_eq!(cache.stats().total, 0, "an object is lost");
    destroy(cache).unwrap();
}

/// Lets two threads go on at the same moment.
struct Spinning {
    waiting: AtomicUsize,
    rounds: AtomicUsize,
}

impl Spinning {
    fn wait(&self) {
        let round = self.rounds.load(SeqCst);
        if self.waiting.fetch_add(1, SeqCst) == 1 {
            self.waiting.store(0, SeqCst);
            self.rounds.fetch_add(1, SeqCst);
        }
        let mut spins = 0;
        while self.rounds.load(SeqCst) == round {
            spins += 1;
            if spins % 1000 == 0 {
                std::thread::yield_now();
            }
        }
    }
}

/// Runs `body` in the child of a fork, which must end well.
fn in_child(body: impl FnOnce()) {
    // SAFETY: the child runs this closure and ends.
    unsafe {
        let pid = libc::fork();
        assert!(pid >= 0);
        if pid == 0 {
            libc::alarm(60);
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
            libc::_exit(if ended.is_ok() { 0 } else { 1 });
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
        assert_eq!(status, 0, "the child's end");
    }
}

/// While other threads are at work, the child of a fork finds each cache whole: all that is in use stays so,
/// all else can be had, and nothing is lost.
#[test]
fn a_child_can_use_what_it_inherits() {
    let cache = create(&plain(200));
    let at = cache.ptr() as usize;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                // SAFETY: the cache outlives the threads.
                let cache = unsafe { CacheRef::check(at as *const c_void) }.unwrap();
                while !stop.load(SeqCst) {
                    let objects: Vec<_> = (0..300).map(|_| cache.alloc().unwrap()).collect();
                    objects.into_iter().for_each(|object| free(&cache, object).unwrap());
                }
            });
        }
        let mine: Vec<_> = (0..500).map(|_| cache.alloc().unwrap()).collect();
        let forks = || {
            (0..30).for_each(|_| {
                in_child(|| {
                    let others = cache.in_use() - mine.len();
                    assert!(others <= 900, "{others}");
                    let total = cache.stats().total;
                    // All that is free can be had without a new slab.
                    let rest: Vec<_> =
                        (0..total - mine.len() - others).map(|_| cache.alloc().unwrap()).collect();
                    assert!(cache.stats().total <= total, "lost: {:?}", cache.stats());
                    let mut all: HashMap<_, ()> = mine.iter().map(|&object| (object, ())).collect();
                    assert!(rest.iter().all(|&object| all.insert(object, ()).is_none()), "two owners");
                    rest.into_iter().for_each(|object| free(&cache, object).unwrap());
                    mine.iter().for_each(|&object| free(&cache, object).unwrap());
                    assert_eq!(cache.in_use(), others);
                    cache.shrink();
                    // SAFETY: the only thread.
                    unsafe { ops::free(cache.chunk(), ptr::null()) }.unwrap();
                });
            })
        };
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(forks));
        stop.store(true, SeqCst);
        ended.unwrap();
        mine.into_iter().for_each(|object| free(&cache, object).unwrap());
    });
    destroy(cache).unwrap();
}
