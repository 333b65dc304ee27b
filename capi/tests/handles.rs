//! Handles: that they end with their chunks, whoever frees those, and are never taken for another's.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tmempool_capi::alloc::{_talloc_realloc, talloc_named_const};
use tmempool_capi::free::{_talloc_free, _talloc_set_destructor};
use tmempool_capi::growable::tm_pool_growable;
use tmempool_capi::handle::*;
use tmempool_capi::names::talloc_get_name;
use tmempool_capi::reference::{_talloc_reference_loc, talloc_unlink};
use tmempool_capi::shared::tm_shared_context;
use tmempool_capi::size::talloc_get_size;
use tmempool_capi::steal::_talloc_steal_loc;

/// Tests that set the watcher, or count roots, take turns.
static ALONE: Mutex<()> = Mutex::new(());

fn errno() -> c_int {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn new(parent: u64, size: usize, name: &CStr) -> u64 {
    // SAFETY: any handle may be given; the name is a C string.
    let handle = unsafe { tm_handle_new(parent, size, name.as_ptr()) };
    assert_ne!(handle, 0);
    handle
}

fn get(handle: u64) -> *mut c_void {
    // SAFETY: any number may be given.
    unsafe { tm_handle_get(handle) }
}

fn free(handle: u64, place: &'static CStr) -> c_int {
    // SAFETY: any number may be given; the place is a literal.
    unsafe { tm_handle_free(handle, place.as_ptr()) }
}

/// What was freed is remembered until some thousand others have been, so a test that makes very many has the process to
/// itself.
static MANY: RwLock<()> = RwLock::new(());

/// For a test that makes a few handles.
fn few() -> RwLockReadGuard<'static, ()> {
    MANY.read().unwrap_or_else(PoisonError::into_inner)
}

/// For a test that makes very many.
fn many() -> RwLockWriteGuard<'static, ()> {
    MANY.write().unwrap_or_else(PoisonError::into_inner)
}

/// What is told of a handle: the verdict, the name and the place.
fn ended(handle: u64) -> (c_int, Option<String>, Option<String>) {
    let (mut name, mut place): (*const c_char, *const c_char) = (null(), null());
    // SAFETY: any number may be given; two variables of the right type.
    let verdict = unsafe { tm_handle_ended(handle, &mut name, &mut place) };
    let text = |at: *const c_char| {
        // SAFETY: null, or a C string of the table's.
        (!at.is_null()).then(|| unsafe { CStr::from_ptr(at) }.to_str().unwrap().to_owned())
    };
    (verdict, text(name), text(place))
}

#[test]
fn the_whole_tree_ends_and_tells_where() {
    let _turn = few();
    let root = new(0, 0, c"root");
    let inner = new(root, 0, c"inner");
    let leaf = new(inner, 100, c"a leaf with a name that is longer than a slot has room for");
    // SAFETY: live chunks.
    unsafe {
        assert_eq!(talloc_get_size(get(leaf)), 100);
        assert_eq!(CStr::from_ptr(talloc_get_name(get(leaf))).to_bytes().len(), 58);
        assert!(std::slice::from_raw_parts(get(leaf).cast::<u8>(), 100).iter().all(|&byte| byte == 0));
    }
    assert_eq!(ended(leaf).0, 0);
    assert_eq!(free(root, c"here:1"), 0);
    for (handle, name) in [(root, "root"), (inner, "inner")] {
        assert!(get(handle).is_null());
        assert_eq!(errno(), libc::ESTALE);
        assert_eq!(ended(handle), (1, Some(name.into()), Some("here:1".into())));
    }
    assert_eq!(ended(leaf).1.unwrap().len(), 58);
    assert_eq!((free(root, c"here:2"), errno()), (-1, libc::ESTALE));
    // SAFETY: any number may be given.
    unsafe {
        assert_eq!((tm_handle_new(inner, 1, null()), errno()), (0, libc::ESTALE));
        assert_eq!((tm_handle_copy(root, null(), 1, null()), errno()), (0, libc::EINVAL));
        assert_eq!((tm_handle_watch(leaf, 1), errno()), (-1, libc::ESTALE));
        assert_eq!((tm_handle_unlink(0, leaf, null()), errno()), (-1, libc::ESTALE));
    }
}

#[test]
fn numbers_that_never_were_handles_are_refused() {
    let _turn = few();
    for number in [0, 1, 12_345, u64::MAX, u64::MAX - 1, 7 << 32 | 500_000_000] {
        assert!(get(number).is_null());
        assert_eq!(free(number, c"x"), -1);
        assert_eq!(ended(number), (-1, None, None));
    }
}

#[test]
fn a_free_by_pointer_ends_handles_too() {
    let _turn = few();
    let root = new(0, 0, c"root");
    let leaf = new(root, 8, c"leaf");
    // SAFETY: a live chunk.
    assert_eq!(unsafe { _talloc_free(get(root), c"by pointer".as_ptr()) }, 0);
    assert_eq!(ended(leaf), (1, Some("leaf".into()), None));
}

#[test]
fn a_chunk_at_the_same_address_is_another() {
    let _turn = many();
    let mut before = 0;
    let mut same = 0;
    for _ in 0..40_000 {
        let handle = new(0, 32, c"again");
        assert_ne!(handle, before);
        assert!(get(before).is_null());
        let at = get(handle);
        free(handle, c"x");
        let next = new(0, 32, c"next");
        same += usize::from(get(next) == at);
        assert!(get(handle).is_null());
        free(next, c"x");
        before = handle;
    }
    assert!(same > 1000, "the test has no chunks at the same address: {same}");
    // After so many, a slot has had many generations, and what its first one was is forgotten.
    assert_eq!(ended(1 << 32).0, -1);
}

/// In a process of its own, as the other tests free many, too.
#[test]
fn what_was_freed_lately_is_remembered() {
    let _turn = many();
    // SAFETY: the child only uses this library and ends at once.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::alarm(20);
            let first = new(0, 0, c"first");
            free(first, c"early");
            for _ in 0..16_000 {
                free(new(0, 0, c"more"), c"later");
            }
            let (mut name, mut place) = (null(), null());
            let verdict = tm_handle_ended(first, &mut name, &mut place);
            let known = verdict == 1 && CStr::from_ptr(name) == c"first" && CStr::from_ptr(place) == c"early";
            libc::_exit(if known { 0 } else { 1 });
        }
        let mut status = -1;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        assert_eq!(status, 0);
    }
}

#[test]
fn references_and_owners() {
    let _turn = few();
    let (a, b) = (new(0, 0, c"a"), new(0, 0, c"b"));
    let shared = new(a, 8, c"shared");
    // SAFETY: live chunks and handles.
    unsafe {
        assert!(!_talloc_reference_loc(get(b), get(shared), c"x".as_ptr()).is_null());
        assert_eq!((free(shared, c"x"), errno()), (-1, libc::EBUSY));
        assert_eq!((tm_handle_unlink(new(0, 0, c"stranger"), shared, null()), errno()), (-1, libc::EINVAL));
        assert_eq!(free(a, c"x"), 0);
        assert!(!get(shared).is_null());
        assert_eq!(tm_handle_unlink(b, shared, c"the last".as_ptr()), 0);
    }
    assert_eq!(ended(shared).2.unwrap(), "the last");
    free(b, c"x");
}

#[test]
fn chunks_made_by_pointer_get_handles() {
    let _turn = few();
    // SAFETY: chunks of this test's own.
    unsafe {
        let plain = talloc_named_const(null(), 8, c"plain".as_ptr());
        assert_eq!(tm_handle_find(plain), 0);
        let handle = tm_handle_of(plain, null());
        assert_eq!(get(handle), plain);
        assert_eq!(tm_handle_of(plain, c"other".as_ptr()), handle);
        assert_eq!(tm_handle_find(plain), handle);
        assert_eq!(CStr::from_ptr(talloc_get_name(plain)), c"plain");
        unsafe extern "C" fn refuses(_: *mut c_void) -> c_int {
            -1
        }
        _talloc_set_destructor(plain, Some(refuses));
        assert_eq!((tm_handle_watch(handle, 1), errno()), (-1, libc::EBUSY));
        assert_eq!((free(handle, c"x"), errno()), (-1, libc::EPERM));
        _talloc_set_destructor(plain, None);
        assert_eq!(tm_handle_watch(handle, 1), 0);
        assert_eq!(tm_handle_watch(handle, 0), 0);
        assert_eq!(free(handle, c"x"), 0);
        assert_eq!(tm_handle_find(null()), 0);
    }
}

#[test]
fn a_chunk_with_a_handle_is_not_resized() {
    let _turn = few();
    let handle = new(0, 8, c"fixed");
    // SAFETY: a chunk of this test's own.
    unsafe {
        assert!(_talloc_realloc(null(), get(handle), 100_000, c"grown".as_ptr()).is_null());
        assert_eq!(talloc_get_size(get(handle)), 8);
    }
    assert_eq!(free(handle, c"x"), 0);
}

#[test]
fn a_reset_ends_what_lies_below() {
    let _turn = few();
    // SAFETY: a chunk of this test's own.
    let pool = unsafe { tm_handle_of(tm_pool_growable(null(), 4096, 0), c"pool".as_ptr()) };
    for round in 0..3 {
        let below: Vec<_> = (0..100).map(|_| new(pool, 100, c"below")).collect();
        // SAFETY: any number may be given; a literal.
        assert_eq!(unsafe { tm_handle_reset(pool, c"reset".as_ptr()) }, 0);
        for handle in below {
            assert_eq!(ended(handle).2.unwrap(), "reset", "in round {round}");
        }
    }
    assert_eq!(free(pool, c"x"), 0);
    // SAFETY: any number may be given.
    assert_eq!((unsafe { tm_handle_reset(pool, null()) }, errno()), (-1, libc::ESTALE));
}

static ASKED: AtomicU64 = AtomicU64::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);
static ANSWER: AtomicI32 = AtomicI32::new(0);

unsafe extern "C" fn watcher(handle: u64) -> c_int {
    ASKED.store(handle, Relaxed);
    CALLS.fetch_add(1, Relaxed);
    assert!(!get(handle).is_null(), "it is still alive");
    assert_eq!(free(handle, c"within"), -1, "and is being freed already");
    free(new(0, 8, c"made by the watcher"), c"in the watcher");
    ANSWER.load(Relaxed)
}

#[test]
fn the_watcher_is_asked_and_may_refuse() {
    let _turn = few();
    let _alone = ALONE.lock().unwrap();
    let root = new(0, 0, c"root");
    let (quiet, watched) = (new(root, 8, c"quiet"), new(root, 8, c"watched"));
    // SAFETY: any handles; a function of the right type.
    unsafe {
        tm_handle_set_watcher(Some(watcher));
        assert_eq!(tm_handle_watch(watched, 1), 0);
    }
    // What fails to answer leaves anything as its answer.
    for answer in [0, -1, 2, i32::MIN] {
        ANSWER.store(answer, Relaxed);
        assert_eq!((free(watched, c"refused"), errno()), (-1, libc::EPERM));
    }
    assert_eq!(free(quiet, c"x"), 0);
    assert_eq!((CALLS.load(Relaxed), ASKED.load(Relaxed)), (4, watched));
    // Its parent goes; it stays.
    assert_eq!(free(root, c"x"), 0);
    assert!(!get(watched).is_null());
    ANSWER.store(1, Relaxed);
    assert_eq!(free(watched, c"agreed"), 0);
    assert_eq!(ended(watched).2.unwrap(), "agreed");
    // SAFETY: no function.
    unsafe { tm_handle_set_watcher(None) };
}

#[test]
fn roots_are_what_no_handle_lies_above() {
    let _turn = few();
    let _alone = ALONE.lock().unwrap();
    let count = || {
        let mut all = vec![0; 100_000];
        // SAFETY: as much room as is said.
        let found = unsafe { tm_handle_roots(all.as_mut_ptr(), all.len()) };
        all.truncate(found);
        all
    };
    let root = new(0, 0, c"root");
    let inner = new(new(root, 0, c"between"), 0, c"inner");
    assert!(count().contains(&root) && !count().contains(&inner));
    // SAFETY: chunks of this test's own; no room is asked for.
    unsafe {
        let plain = talloc_named_const(null(), 0, c"no handle".as_ptr());
        _talloc_steal_loc(plain, get(inner), c"x".as_ptr());
        assert!(count().contains(&inner));
        assert!(tm_handle_roots(null_mut(), 0) >= 2);
        talloc_unlink(null(), plain);
    }
    free(root, c"x");
    assert!(!count().contains(&root) && !count().contains(&inner));
}

/// Threads make, move and free in one tree by handles alone.
#[test]
fn threads_take_turns() {
    let _turn = many();
    let root = new(0, 0, c"shared root");
    let places: Vec<AtomicU64> = (0..32).map(|_| AtomicU64::new(new(root, 16, c"first"))).collect();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let places = &places;
            scope.spawn(move || {
                let mut dice = thread + 1;
                for _ in 0..5_000 {
                    dice = dice.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    let place = &places[(dice >> 33) as usize % places.len()];
                    let old = place.load(Relaxed);
                    // SAFETY: any number may be given.
                    let parent = unsafe { tm_handle_new(old, 24, c"below".as_ptr()) };
                    if parent != 0 && dice >> 60 == 0 {
                        free(parent, c"thread");
                    }
                    if dice >> 61 == 1 && free(old, c"thread") == 0 {
                        place.store(new(root, 16, c"another"), Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(free(root, c"end"), 0);
    assert!(places.iter().all(|place| get(place.load(Relaxed)).is_null()));
}

/// Below a shared context, handles are used while other threads use what lies beside them by its pointers.
#[test]
fn a_shared_context_is_used_both_ways_at_once() {
    let _turn = many();
    // SAFETY: a context of this test's own, and its name is a literal.
    let shared = unsafe { tm_handle_of(tm_shared_context(null(), c"shared".as_ptr()), null()) };
    assert_ne!(shared, 0);
    let at = get(shared) as usize;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(move || {
                for _ in 0..3_000 {
                    // SAFETY: the context is shared, and lives until the threads have ended.
                    unsafe {
                        let chunk = talloc_named_const(at as *const c_void, 24, c"by pointer".as_ptr());
                        assert_eq!(tm_handle_find(chunk), 0);
                        assert_eq!(_talloc_free(chunk, null()), 0);
                    }
                }
            });
            scope.spawn(move || {
                for i in 0..3_000 {
                    let inner = new(shared, 8, c"by handle");
                    let leaf = new(inner, 8, c"leaf");
                    if i % 3 == 0 {
                        // SAFETY: chunks that are alive, below the shared context.
                        unsafe { assert_eq!(_talloc_free(get(inner), null()), 0) };
                    } else if i % 3 == 1 {
                        // SAFETY: any handles may be given.
                        unsafe { assert_eq!(tm_handle_reset(inner, c"reset".as_ptr()), 0) };
                        // SAFETY: any handles may be given.
                        unsafe { assert_eq!(tm_handle_unlink(shared, inner, null()), 0) };
                    } else {
                        assert_eq!(free(inner, c"x"), 0);
                    }
                    assert_eq!((ended(inner).0, ended(leaf).0), (1, 1));
                }
            });
        }
    });
    assert_eq!(free(shared, c"x"), 0);
}

#[test]
fn turns_are_counted() {
    let _turn = few();
    // SAFETY: taken and given by one thread.
    unsafe {
        assert_eq!((tm_handle_lock(), tm_handle_lock()), (1, 2));
        assert_eq!((tm_handle_unlock(), tm_handle_unlock()), (1, 0));
        assert_eq!((tm_handle_unlock(), errno()), (-1, libc::EPERM));
    }
}

/// A child has the turn free, even if another thread had it.
#[test]
fn a_forked_child_goes_on() {
    let _turn = few();
    let kept = new(0, 8, c"kept");
    let (ready, done) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: taken and given by one thread.
            unsafe { tm_handle_lock() };
            ready.wait();
            done.wait();
            // SAFETY: as above.
            assert_eq!(unsafe { tm_handle_unlock() }, 0);
        });
        ready.wait();
        // SAFETY: the child only uses this library and ends at once.
        unsafe {
            assert_eq!((tm_handle_unlock(), errno()), (-1, libc::EPERM));
            let child = libc::fork();
            if child == 0 {
                libc::alarm(10);
                let made = tm_handle_new(kept, 8, c"in the child".as_ptr());
                libc::_exit(if made != 0 && tm_handle_free(kept, null()) == 0 { 0 } else { 1 });
            }
            let mut status = -1;
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
            assert_eq!(status, 0);
        }
        done.wait();
    });
    assert_eq!(free(kept, c"x"), 0);
}
