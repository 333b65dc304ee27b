//! Shared contexts, caches, reserves and managed ranges, as threads use them.
//!
//! Attacks: a lock held while foreign code runs, values dropped twice or by the wrong end, room that is lost
//! when a drop panics, waiters that are never woken.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use tmempool::{Context, SharedContext};

/// Counts how many there are.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Counted {
        count.fetch_add(1, SeqCst);
        Counted(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[test]
fn threads_fill_a_shared_context_which_the_last_handle_frees() {
    let count = Arc::new(AtomicUsize::new(0));
    let table = SharedContext::new("table");
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (table, count) = (table.clone(), count.clone());
            std::thread::spawn(move || {
                for i in 0..500 {
                    table.alloc(Counted::new(&count));
                    let text = table.alloc_str(&format!("{thread}/{i}"));
                    if i % 100 == 0 {
                        let guard = table.lock();
                        let child = guard.child("child");
                        child.alloc(Counted::new(&count));
                        assert!(guard.report().iter().count() > 1);
                    }
                    assert_eq!(*text, format!("{thread}/{i}"));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!((count.load(SeqCst), table.lock().owned_values()), (2000, 2000));
    let last = table.clone();
    drop(table);
    assert_eq!(count.load(SeqCst), 2000);
    std::thread::spawn(move || drop(last)).join().unwrap();
    assert_eq!(count.load(SeqCst), 0);
}

#[test]
fn values_of_a_shared_context_are_made_and_dropped_without_its_lock() {
    struct Uses(SharedContext);
    impl Drop for Uses {
        fn drop(&mut self) {
            self.0.alloc_str("from a drop");
        }
    }
    let (a, b) = (SharedContext::new("a"), SharedContext::new("b"));
    a.alloc_with(|| {
        a.alloc_str("from a maker");
        Uses(b.clone())
    });
    b.lock().set_limit(1).unwrap();
    while a.try_alloc([0u8; 100]).is_ok() && a.lock().total_size() < 10_000 {}
    a.lock().set_limit(1).unwrap();
    b.lock().set_limit(0).unwrap();
    // No room for the value in `a`: it is dropped, and uses `a` on the way.
    struct Asks(SharedContext, #[allow(dead_code, reason = "bytes")] [u8; 20_000]);
    impl Drop for Asks {
        fn drop(&mut self) {
            assert!(self.0.try_alloc([0u8; 9000]).is_err());
        }
    }
    assert!(a.try_alloc(Asks(a.clone(), [0; 20_000])).is_err());
}

#[test]
fn a_cache_serves_threads_and_survives_panics() {
    let server = Context::new("server");
    let count = Arc::new(AtomicUsize::new(0));
    let cache = server.cache::<Counted>("counted");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut kept = Vec::new();
                for i in 0..2000 {
                    kept.push(cache.alloc(Counted::new(&count)));
                    if i % 3 == 0 {
                        kept.swap_remove(i / 7 % kept.len());
                    }
                }
            });
        }
    });
    assert_eq!((count.load(SeqCst), cache.stats().active), (0, 0));
    let moved = cache.alloc(Counted::new(&count));
    std::thread::scope(|scope| _ = scope.spawn(move || drop(moved)));
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let panics = server.cache::<Panics>("panics");
    let boxed = panics.alloc(Panics);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(boxed))).is_err());
    assert_eq!(panics.stats().active, 0);
    drop((cache, panics));
    assert_eq!(server.child_count(), 0);
}

#[test]
fn a_reserve_gives_what_comes_back_to_who_waits() {
    let server = Context::new("server");
    let pool = server.mempool::<u64>("numbers", 2);
    assert_eq!(pool.min(), 2);
    let first = pool.alloc(1);
    let sum: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let pool = &pool;
                scope.spawn(move || {
                    (0..200)
                        .map(|i| *pool.alloc_timeout(thread + i, Duration::from_secs(20)).unwrap())
                        .sum::<u64>()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(sum, (0..4).map(|thread| (0..200).map(|i| thread + i).sum::<u64>()).sum());
    assert_eq!((*first, pool.in_use()), (1, 1));
    drop(first);
    let names = server.mempool::<String>("names", 1);
    assert_eq!(*names.try_alloc("gretel".into()).unwrap(), "gretel");
    drop((pool, names));
    assert_eq!(server.child_count(), 0);
}

#[test]
fn ranges_are_given_out_by_any_thread_and_never_twice() {
    let device = Context::new("device");
    let pool = device.genpool("buffers", 12);
    pool.add(1 << 32, 256 << 12).unwrap();
    let mut all: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..64).map(|_| pool.alloc(1 << 12).unwrap()).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    all.sort();
    all.dedup();
    assert_eq!((all.len(), pool.avail()), (256, 0));
    assert!(pool.alloc(1).is_err());
    for at in all {
        pool.release(at, 1 << 12).unwrap();
    }
    assert_eq!(pool.avail(), pool.size());
}

#[test]
fn a_growing_pool_keeps_its_room() {
    let server = Context::new("server");
    let mut pool = server.growing_pool_named("session", 4 << 10, 64 << 10);
    for round in 0..20 {
        let words: Vec<_> = (0..500).map(|i| pool.alloc_str(&format!("word {i} of round {round}"))).collect();
        assert_eq!(words[499], &format!("word 499 of round {round}"));
        let child = pool.child("child");
        child.alloc(vec![round; 100]);
        drop(child);
        pool.reset();
        assert_eq!(server.total_blocks(), 2);
    }
}
