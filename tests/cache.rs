//! Object caches against a model, and against what breaks caches: random programs, misuse, hooks that use
//! the cache they belong to, threads that come and go, forks.
//!
//! Attacks: objects with two owners, objects that lose what was constructed, hooks that run too often or not
//! at all, counts that drift, memory that never goes back.

mod random;

use std::collections::{HashMap, HashSet};
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;

use random::Rng;
use tmempool::error::Fault;
use tmempool::ops;
use tmempool::pools::cache::{
    self, COLOUR, Cache, CacheRef, Config, CreateError, DestroyError, HWALIGN, Hook, Misuse, ZERO_ON_ALLOC,
    ZERO_ON_FREE,
};

fn plain(size: usize) -> Config {
    Config { size, ..Config::default() }
}

fn create(config: &Config) -> CacheRef {
    // SAFETY: a tree of its own.
    unsafe { cache::create(None, c"test", config) }.unwrap()
}

fn destroy(cache: CacheRef) -> Result<(), DestroyError> {
    // SAFETY: the tests use a cache in no other thread when they end it.
    unsafe { cache::destroy(cache, c"here".as_ptr()) }
}

fn free(cache: &Cache, object: NonNull<u8>) -> Result<(), Misuse> {
    // SAFETY: the tests do not use what they have freed.
    unsafe { cache.free(object) }
}

/// What a constructor has left in an object, and a destructor takes away.
const CONSTRUCTED: u64 = 0x600d_0b1e_c700_0001;

/// How often the hooks of a cache were called.
#[derive(Default)]
struct Calls {
    constructed: AtomicUsize,
    destructed: AtomicUsize,
}

impl Calls {
    fn alive(&self) -> usize {
        self.constructed.load(SeqCst) - self.destructed.load(SeqCst)
    }
}

unsafe extern "C" fn construct(object: *mut c_void, calls: *mut c_void) {
    // SAFETY: an object of at least eight bytes, and the counters of its test.
    unsafe {
        assert_ne!(object.cast::<u64>().read_unaligned(), CONSTRUCTED, "constructed twice");
        object.cast::<u64>().write_unaligned(CONSTRUCTED);
        (*calls.cast::<Calls>()).constructed.fetch_add(1, SeqCst);
    }
}

unsafe extern "C" fn destruct(object: *mut c_void, calls: *mut c_void) {
    // SAFETY: as above.
    unsafe {
        assert_eq!(object.cast::<u64>().read_unaligned(), CONSTRUCTED, "not constructed");
        object.cast::<u64>().write_unaligned(0);
        (*calls.cast::<Calls>()).destructed.fetch_add(1, SeqCst);
    }
}

fn counted(size: usize, calls: &Calls) -> Config {
    let word = ptr::from_ref(calls).cast_mut().cast();
    Config {
        size,
        construct: Some(Hook { call: construct, word }),
        destruct: Some(Hook { call: destruct, word }),
        ..Config::default()
    }
}

fn is_constructed(object: NonNull<u8>) -> bool {
    // SAFETY: an object in use, of at least eight bytes.
    unsafe { object.cast::<u64>().read_unaligned() == CONSTRUCTED }
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
                    for one in in_use.drain(..) {
                        check(&one);
                        free(&cache, one.0).unwrap();
                        frees += 1;
                    }
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
