//! Object caches in one thread, against a model, and against what breaks caches: random programs, misuse, hooks
//! that use the cache they belong to, parents that go.
//!
//! Attacks: objects with two owners, objects that lose what was constructed, hooks that run too often or not
//! at all, counts that drift, memory that never goes back.

mod constructed;
mod random;

use std::collections::HashSet;
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::SeqCst};

use constructed::{Calls, construct, counted, create, destroy, free, is_constructed, plain};
use random::Rng;
use tmempool::error::Fault;
use tmempool::ops;
use tmempool::pools::cache::{
    self, COLOUR, CacheRef, Config, CreateError, DestroyError, HWALIGN, Hook, Misuse, ZERO_ON_ALLOC,
    ZERO_ON_FREE,
};

/// What was refused, so that it can be compared.
fn told(refused: impl IntoIterator<Item = (*mut c_void, Misuse)>) -> impl Iterator<Item = (usize, String)> {
    refused.into_iter().map(|(at, misuse)| (at.addr(), format!("{misuse:?}")))
}

/// Random programs on one cache: what the model says is in use is in use, and nothing else.
#[test]
fn random_programs_agree_with_the_model() {
    for seed in 1..=60 {
        let mut rng = Rng(seed * 0x9e37_79b9);
        let size = [8, 9, 24, 40, 64, 100, 200, 1000, 5000, 20_000, 70_000, 300_000][rng.below(12)];
        let align = [0, 8, 16, 64, 256, 4096, 65536][rng.below(7)];
        let calls = Calls::default();
        let hooked = rng.below(2) == 0;
        let flags = [0, HWALIGN, COLOUR, HWALIGN | COLOUR][rng.below(4)];
        let base = if hooked { counted(size, &calls) } else { plain(size) };
        let zeroed = if hooked { 0 } else { [0, ZERO_ON_FREE, ZERO_ON_ALLOC][rng.below(3)] };
        let config = Config { align, flags: flags | zeroed, ..base };
        let cache = create(&config);
        let align = cache.align();
        let mut in_use: Vec<(NonNull<u8>, u8)> = Vec::new();
        let mut freed: Vec<NonNull<u8>> = Vec::new();
        let (mut allocations, mut frees) = (0, 0);
        let most = if size > 10_000 { 60 } else { 3000 };
        let accept = |object: NonNull<u8>, stamp: u8| {
            assert_eq!(object.addr().get() % align, 0);
            assert!(!hooked || is_constructed(object), "seed {seed}");
            // SAFETY: an object just allocated; the first eight bytes are the constructor's.
            unsafe {
                if zeroed == ZERO_ON_ALLOC {
                    assert!((0..size).all(|i| object.add(i).read() == 0));
                }
                object.add(8).write_bytes(stamp, size - 8);
            }
            (object, stamp)
        };
        let check = |&(object, stamp): &(NonNull<u8>, u8)| {
            // SAFETY: an object in use.
            assert!((8..size).all(|i| unsafe { object.add(i).read() } == stamp), "seed {seed}");
        };
        for step in 0..4000 {
            match rng.below(100) {
                0..50 if in_use.len() < most => {
                    in_use.push(accept(cache.alloc().unwrap(), step as u8));
                    allocations += 1;
                }
                50..90 if !in_use.is_empty() => {
                    let one = in_use.swap_remove(rng.below(in_use.len()));
                    check(&one);
                    free(&cache, one.0).unwrap();
                    frees += 1;
                    freed.push(one.0);
                }
                90 if in_use.len() < most => {
                    let mut out = vec![ptr::null_mut(); rng.below(most / 4) + 1];
                    // SAFETY: as many places as said.
                    assert!(unsafe { cache.alloc_bulk(out.len(), out.as_mut_ptr()) });
                    allocations += out.len();
                    let objects = out.iter().map(|&at| NonNull::new(at.cast()).unwrap());
                    in_use.extend(objects.map(|at| accept(at, step as u8)));
                }
                91 => {
                    in_use.iter().for_each(check);
                    frees += in_use.len();
                    let mut objects: Vec<*mut c_void> =
                        in_use.drain(..).map(|one| one.0.as_ptr().cast()).collect();
                    // One that is freed already when its turn comes, one that is none, and nothing at all.
                    let wrong: Vec<_> = objects.iter().copied().filter(|_| rng.below(50) == 0).collect();
                    for &object in &wrong {
                        let later = objects.iter().position(|&at| at == object).unwrap() + 1;
                        let at = later + rng.below(objects.len() + 1 - later);
                        objects.splice(at..at, [object, object.wrapping_byte_add(7), ptr::null_mut()]);
                    }
                    let mut refused = Vec::new();
                    // SAFETY: nobody uses any of them.
                    unsafe { cache.free_bulk(&objects, |at, misuse| refused.push((at, misuse))) };
                    let expected = wrong
                        .iter()
                        .flat_map(|&at| [(at, Misuse::Free), (at.wrapping_byte_add(7), Misuse::Inside)]);
                    assert_eq!(
                        HashSet::<(usize, String)>::from_iter(told(refused)),
                        told(expected).collect()
                    );
                }
                92 => {
                    let before = cache.stats();
                    let given = cache.shrink();
                    let after = cache.stats();
                    assert_eq!(after.slabs_empty, 0);
                    assert_eq!(after.cached, 0);
                    assert_eq!(before.total - after.total, given / after.slab_size * after.objects_per_slab);
                    freed.clear();
                }
                93 => {
                    let taken: HashSet<_> = in_use.iter().map(|one| one.0).collect();
                    for &object in freed.iter().filter(|object| !taken.contains(object)) {
                        assert!(free(&cache, object).is_err(), "a double free");
                    }
                }
                94 if !in_use.is_empty() => {
                    let at = in_use[rng.below(in_use.len())].0;
                    for inside in [1, 7, size - 1] {
                        // SAFETY: a place in the object.
                        assert_eq!(free(&cache, unsafe { at.add(inside) }), Err(Misuse::Inside));
                    }
                }
                _ => {
                    let stats = cache.stats();
                    assert_eq!(stats.active, in_use.len(), "seed {seed} step {step}");
                    assert_eq!((stats.allocations, stats.frees), (allocations as u64, frees as u64));
                    assert_eq!(cache.in_use(), in_use.len());
                    assert!(stats.total >= stats.active + stats.cached);
                    assert!(!hooked || calls.alive() <= stats.total && calls.alive() >= stats.active);
                }
            }
        }
        let mut places: Vec<_> = in_use.iter().map(|one| one.0.addr().get()).collect();
        places.sort_unstable();
        assert!(places.windows(2).all(|two| two[0] + size <= two[1]), "objects overlap");
        in_use.iter().for_each(check);
        if in_use.is_empty() {
            in_use.push(accept(cache.alloc().unwrap(), 0));
        }
        assert_eq!(destroy(cache), Err(DestroyError::InUse(in_use.len())));
        for (object, _) in in_use {
            free(&cache, object).unwrap();
        }
        assert_eq!(destroy(cache), Ok(()));
        assert_eq!(calls.alive(), 0);
    }
}

#[test]
fn bad_wishes_are_refused() {
    let hook = Hook { call: construct, word: ptr::null_mut() };
    // SAFETY: nothing is made.
    let refused = |config: &Config| unsafe { cache::create(None, c"bad", config) }.err();
    assert_eq!(refused(&plain(0)), Some(CreateError::NoSize));
    assert_eq!(refused(&plain(usize::MAX)), Some(CreateError::TooLarge));
    assert_eq!(refused(&plain((4 << 20) - 65535)), Some(CreateError::TooLarge));
    assert_eq!(refused(&Config { align: 24, ..plain(8) }), Some(CreateError::BadAlign));
    assert_eq!(refused(&Config { align: 128 << 10, ..plain(8) }), Some(CreateError::BadAlign));
    assert_eq!(refused(&Config { flags: 0x100, ..plain(8) }), Some(CreateError::BadFlags));
    let both = Config { flags: ZERO_ON_FREE, construct: Some(hook), ..plain(8) };
    assert_eq!(refused(&both), Some(CreateError::ZeroedAndConstructed));
    let half = Config { destruct: Some(hook), ..plain(8) };
    assert_eq!(refused(&half), Some(CreateError::OnlyDestructed));
}

#[test]
fn what_is_no_object_of_it_is_not_taken_back() {
    let (one, other) = (create(&plain(64)), create(&plain(64)));
    let object = one.alloc().unwrap();
    let on_the_stack = [0u8; 64];
    // SAFETY: a chunk of this test's.
    let chunk = unsafe { ops::alloc(None, 64) }.unwrap();
    assert_eq!(free(&other, object), Err(Misuse::Foreign));
    assert_eq!(free(&one, NonNull::from_ref(&on_the_stack).cast()), Err(Misuse::Foreign));
    assert_eq!(free(&one, NonNull::new(chunk.ptr().cast()).unwrap()), Err(Misuse::Foreign));
    assert_eq!(free(&one, NonNull::new(one.ptr().cast()).unwrap()), Err(Misuse::Foreign));
    // Its neighbour, which nobody has had yet.
    let never = (1..1000).map(|i| object.as_ptr().wrapping_add(i * 64));
    let refusals: Vec<_> = never.filter_map(|at| free(&one, NonNull::new(at)?).err()).collect();
    assert!(!refusals.contains(&Misuse::Inside));
    assert_eq!(free(&one, object), Ok(()));
    assert_eq!(free(&one, object), Err(Misuse::Free));
    assert_eq!(one.stats().active, 0);
    // SAFETY: as above.
    unsafe { ops::free(chunk, ptr::null()) }.unwrap();
    destroy(other).unwrap();
    let at = one.ptr();
    destroy(one).unwrap();
    // SAFETY: any number may be asked about.
    assert!(matches!(unsafe { CacheRef::check(at) }, Err(Fault::Freed { .. })));
}

#[test]
fn objects_stay_constructed_and_are_destructed_when_their_slab_goes() {
    let calls = Calls::default();
    let cache = create(&counted(64, &calls));
    let mut objects: Vec<_> = (0..5000).map(|_| cache.alloc().unwrap()).collect();
    let constructed = calls.constructed.load(SeqCst);
    assert!((5000..5000 + 1024).contains(&constructed));
    for _ in 0..10 {
        objects.iter().for_each(|&object| free(&cache, object).unwrap());
        objects.iter_mut().for_each(|object| *object = cache.alloc().unwrap());
        assert!(objects.iter().all(|&object| is_constructed(object)));
    }
    // Few slabs: all are kept, and nothing is constructed a second time.
    assert!(calls.constructed.load(SeqCst) <= cache.stats().total);
    objects.iter().for_each(|&object| free(&cache, object).unwrap());
    assert_eq!(calls.destructed.load(SeqCst), 0);
    let slabs = cache.stats().total / cache.stats().objects_per_slab;
    assert_eq!(cache.shrink(), slabs * cache.stats().slab_size);
    assert_eq!(calls.alive(), 0);
    assert_eq!(cache.shrink(), 0);
    destroy(cache).unwrap();
}

#[test]
fn a_peak_does_not_stay() {
    let calls = Calls::default();
    let cache = create(&counted(512, &calls));
    let objects: Vec<_> = (0..40_000).map(|_| cache.alloc().unwrap()).collect();
    let peak = cache.stats();
    objects.iter().for_each(|&object| free(&cache, object).unwrap());
    // It is used on, but for less.
    for _ in 0..3 {
        let few: Vec<_> = (0..500).map(|_| cache.alloc().unwrap()).collect();
        few.iter().for_each(|&object| free(&cache, object).unwrap());
        std::thread::sleep(std::time::Duration::from_millis(1050));
    }
    let after = cache.stats();
    assert!(after.total < peak.total / 8, "{after:?}");
    assert!(after.peak >= 40_000);
    assert_eq!(calls.alive(), calls.alive().min(after.total));
    destroy(cache).unwrap();
    assert_eq!(calls.alive(), 0);
}

#[test]
fn it_goes_with_its_parent_and_what_is_in_use_is_destructed() {
    let calls = Calls::default();
    // SAFETY: a tree of this test's.
    unsafe {
        let parent = ops::alloc(None, 0).unwrap();
        let cache = cache::create(Some(parent), c"doomed", &counted(100, &calls)).unwrap();
        for _ in 0..300 {
            cache.alloc().unwrap();
        }
        let at = cache.ptr();
        ops::free(parent, ptr::null()).unwrap();
        assert!(CacheRef::check(at).is_err());
    }
    assert!(calls.constructed.load(SeqCst) >= 300);
    assert_eq!(calls.alive(), 0);
}

/// A destructor that is called because its cache ends gets nothing out of that any more, in however short a way.
#[test]
fn a_cache_that_ends_gives_its_destructors_nothing() {
    static ENDS: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

    unsafe extern "C" fn construct(_: *mut c_void, _: *mut c_void) {}
    unsafe extern "C" fn destruct(_: *mut c_void, _: *mut c_void) {
        let cache = ENDS.load(SeqCst);
        // SAFETY: any pointer may be asked about.
        assert!(unsafe { cache::alloc_quick(cache).is_none() && CacheRef::check(cache).is_err() });
    }

    let hook = |call| Some(Hook { call, word: ptr::null_mut() });
    let cache = create(&Config { construct: hook(construct), destruct: hook(destruct), ..plain(48) });
    let objects: Vec<_> = (0..1000).map(|_| cache.alloc().unwrap()).collect();
    objects.into_iter().for_each(|object| free(&cache, object).unwrap());
    ENDS.store(cache.ptr(), SeqCst);
    destroy(cache).unwrap();
}

/// A constructor that allocates from its own cache, down to a depth; a destructor that frees what the object
/// holds in another cache, and uses its own.
#[test]
fn hooks_may_use_the_cache() {
    static OWN: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
    static OTHER: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
    static DEPTH: AtomicUsize = AtomicUsize::new(0);

    fn cache(at: &AtomicPtr<c_void>) -> CacheRef {
        // SAFETY: any pointer may be asked about.
        unsafe { CacheRef::check(at.load(SeqCst)) }.unwrap()
    }

    unsafe extern "C" fn construct(object: *mut c_void, _: *mut c_void) {
        if DEPTH.fetch_add(1, SeqCst) < 3 {
            let inner: Vec<_> = (0..40).map(|_| cache(&OWN).alloc().unwrap()).collect();
            inner.into_iter().for_each(|one| free(&cache(&OWN), one).unwrap());
        }
        DEPTH.fetch_sub(1, SeqCst);
        let held = cache(&OTHER).alloc().unwrap();
        // SAFETY: an object of this cache.
        unsafe { object.cast::<NonNull<u8>>().write(held) };
    }

    unsafe extern "C" fn destruct(object: *mut c_void, _: *mut c_void) {
        // SAFETY: an object of this cache, constructed.
        let held = unsafe { object.cast::<NonNull<u8>>().read() };
        free(&cache(&OTHER), held).unwrap();
        // SAFETY: any pointer may be asked about.
        if let Ok(own) = unsafe { CacheRef::check(OWN.load(SeqCst)) } {
            let object = NonNull::new(object.cast()).unwrap();
            assert!(free(&own, object).is_err(), "it is free");
            own.shrink();
        }
    }

    let other = create(&plain(16));
    OTHER.store(other.ptr(), SeqCst);
    let hook = |call| Some(Hook { call, word: ptr::null_mut() });
    let own = create(&Config { construct: hook(construct), destruct: hook(destruct), ..plain(48) });
    OWN.store(own.ptr(), SeqCst);
    let objects: Vec<_> = (0..3000).map(|_| own.alloc().unwrap()).collect();
    assert_eq!(objects.iter().collect::<HashSet<_>>().len(), 3000);
    assert_eq!(own.in_use(), 3000);
    for (i, &object) in objects.iter().enumerate() {
        free(&own, object).unwrap();
        if i % 500 == 0 {
            own.shrink();
        }
    }
    own.shrink();
    assert_eq!(other.in_use(), 0);
    let _ = own.alloc().unwrap();
    // SAFETY: this thread's.
    unsafe { ops::free(own.chunk(), ptr::null()) }.unwrap();
    assert_eq!(other.in_use(), 0);
    destroy(other).unwrap();
}

/// Objects of two caches in one list: each cache takes its own back, and refuses the others.
#[test]
fn of_many_that_are_freed_at_once_only_those_of_others_are_refused() {
    for (flags, size) in [(0, 64), (ZERO_ON_FREE, 64), (ZERO_ON_ALLOC, 304), (0, 9000)] {
        let caches = [0, 1].map(|_| create(&Config { flags, ..plain(size) }));
        // SAFETY: bytes of an object, whose slab is there as long as its cache is used alone.
        let is_zero =
            |object: *mut c_void| (0..size).all(|i| unsafe { object.cast::<u8>().add(i).read() } == 0);
        for n in [1, 5, 64, 300, 1000] {
            let mut objects = vec![ptr::null_mut::<c_void>(); 2 * n];
            for (cache, half) in caches.iter().zip(objects.chunks_mut(n)) {
                // SAFETY: as many places as said, and objects of this test's.
                unsafe {
                    assert!(cache.alloc_bulk(n, half.as_mut_ptr()));
                    for &object in &*half {
                        assert!(flags != ZERO_ON_ALLOC || is_zero(object));
                        object.cast::<u8>().write_bytes(0xa5, size);
                    }
                }
            }
            // One of each in turn.
            let mixed: Vec<_> = (0..2 * n).map(|i| objects[i % 2 * n + i / 2]).collect();
            for cache in &caches {
                let mut refused = Vec::new();
                // SAFETY: nobody uses any of them.
                unsafe { cache.free_bulk(&mixed, |at, misuse| refused.push((at, misuse))) };
                assert!(refused.iter().all(|&(_, misuse)| misuse == Misuse::Foreign));
                assert_eq!((refused.len(), cache.stats().active), (n, 0), "{size} {n}");
            }
            assert!(flags != ZERO_ON_FREE || mixed.iter().all(|&object| is_zero(object)));
        }
        caches.into_iter().for_each(|cache| destroy(cache).unwrap());
    }
}

/// What a thread has freed is kept outside the slabs up to a bound, and the newest of it comes back first.
#[test]
fn what_was_freed_last_is_kept_at_hand_and_no_more_than_a_bound() {
    for size in [8, 64, 304, 4096] {
        let cache = create(&plain(size));
        let objects: Vec<_> = (0..(6 << 20) / size).map(|_| cache.alloc().unwrap()).collect();
        objects.iter().for_each(|&object| free(&cache, object).unwrap());
        let stats = cache.stats();
        let bound = (2 << 20) / size + stats.magazine_size;
        assert!((bound.min(2000) / 2..=bound).contains(&stats.cached), "{stats:?}");
        let newest: HashSet<_> = objects[objects.len() - 100..].iter().collect();
        let taken: Vec<_> = (0..100).map(|_| cache.alloc().unwrap()).collect();
        assert!(taken.iter().all(|object| newest.contains(object)));
        taken.into_iter().for_each(|object| free(&cache, object).unwrap());
        assert_eq!(cache.shrink(), stats.total / stats.objects_per_slab * stats.slab_size);
        assert_eq!((cache.stats().total, cache.stats().cached), (0, 0));
        destroy(cache).unwrap();
    }
}
