//! A process forks while its threads use shared contexts.
//!
//! Attacks: a child that waits for ever for a thread that it does not have, a child that goes on with what such a thread
//! has left half changed, a fork that waits for a thread which waits for the fork.

#![cfg(not(miri))]

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{from_ref, null, null_mut};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use tmempool::SharedContext;

/// What a child says that has panicked.
const PANICKED: i32 = 1;
/// How often each test is done with new contexts, which do not grow for long.
const ROUNDS: usize = 6;
/// How often each time.
const FORKS: usize = 10;

/// Runs `body` in the child of a fork, which must end well, and soon.
fn in_child(body: impl FnOnce()) {
    // SAFETY: the child runs this closure and ends.
    let status = unsafe {
        let pid = libc::fork();
        assert!(pid >= 0);
        if pid == 0 {
            libc::alarm(60);
            let ended = catch_unwind(AssertUnwindSafe(body));
            libc::_exit(if ended.is_ok() { 0 } else { PANICKED });
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
        status
    };
    assert!(libc::WIFEXITED(status), "the child was ended by signal {}", libc::WTERMSIG(status));
    assert_eq!(libc::WEXITSTATUS(status), 0, "the child's end");
}

/// What a thread does.
type Work<'w> = &'w (dyn Fn() + Sync);

/// Runs `body` while each of `works` runs in a thread of its own, whose ends it waits for then.
///
/// For children of forks: a thread that the standard library starts takes a lock of that library, for its stack's guard page,
/// which no fork handler knows. Where another test was just starting one, no thread of the child would ever begin.
fn beside(works: &[Work<'_>], body: impl FnOnce()) {
    extern "C" fn run(work: *mut c_void) -> *mut c_void {
        // SAFETY: it points to one of `works`, which are there until the thread has been waited for.
        unsafe { (*work.cast::<Work<'_>>())() };
        null_mut()
    }
    let start = |work: &Work<'_>| {
        let mut thread = 0;
        // SAFETY: `run` gets what it is for.
        let error =
            unsafe { libc::pthread_create(&raw mut thread, null(), run, from_ref(work).cast_mut().cast()) };
        assert_eq!(error, 0);
        thread
    };
    let threads: Vec<_> = works.iter().map(start).collect();
    let ended = catch_unwind(AssertUnwindSafe(body));
    for thread in threads {
        // SAFETY: it was started above, and is waited for once.
        assert_eq!(unsafe { libc::pthread_join(thread, null_mut()) }, 0);
    }
    ended.unwrap();
}

/// Runs `body` while each of `busy` is called again and again by a thread of its own.
fn while_busy(busy: &[&(dyn Fn(usize) + Sync)], body: impl FnOnce()) {
    let stop = &AtomicBool::new(false);
    let again = |work| move || (0..).take_while(|_| !stop.load(SeqCst)).for_each(work);
    let works: Vec<_> = busy.iter().copied().map(again).collect();
    let works: Vec<Work<'_>> = works.iter().map(|work| work as Work<'_>).collect();
    beside(&works, || {
        let ended = catch_unwind(AssertUnwindSafe(body));
        stop.store(true, SeqCst);
        ended.unwrap();
    });
}

/// Whether `body` panics, of which nothing is printed. For a process that has no other threads.
fn quietly<R>(body: impl FnOnce() -> R) -> std::thread::Result<R> {
    std::panic::set_hook(Box::new(|_| ()));
    let ended = catch_unwind(AssertUnwindSafe(body));
    drop(std::panic::take_hook());
    ended
}

/// What `body` panics with.
fn panic_of(body: impl FnOnce()) -> String {
    let panic = quietly(body).expect_err("a panic");
    panic
        .downcast_ref::<String>()
        .map_or_else(|| panic.downcast_ref::<&str>().unwrap().to_string(), Clone::clone)
}

struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// No call of a shared context's own is cut short: the child finds it whole, uses it, and frees it.
#[test]
fn calls_of_other_threads_are_over_in_the_child() {
    for _ in 0..ROUNDS {
        DROPPED.store(0, SeqCst);
        let table = SharedContext::new("table");
        // Not so much that a fork takes long.
        let alloc = |round| {
            if round < 5000 || round % 50 == 0 {
                table.alloc_slice_copy(&[7_u8; 40]);
                table.alloc(Counted(&DROPPED));
            }
        };
        let large = |round| {
            if round < 500 || round % 5000 == 0 {
                table.alloc([1_u8; 9000]);
            }
        };
        let look = |_| assert_eq!(table.report().root().name(), "table");
        while_busy(&[&alloc, &alloc, &large, &look], || {
            for round in 0..FORKS {
                in_child(|| {
                    assert!(!table.is_left_behind());
                    let owned = table.lock().owned_values();
                    let text = table.alloc_str("in the child");
                    (0..100).for_each(|_| _ = table.alloc(Counted(&DROPPED)));
                    assert_eq!(text, "in the child");
                    let guard = table.lock();
                    assert_eq!(guard.owned_values(), owned + 100);
                    let below = guard.child("below");
                    below.alloc_str("there");
                    assert!(guard.report().iter().any(|node| node.name() == "below"));
                    drop(below);
                    drop(guard);
                    // SAFETY: the child has one thread, which does not use it any more.
                    drop(unsafe { std::ptr::read(&raw const table) });
                    assert_eq!(DROPPED.load(SeqCst), owned + 100);
                });
                table.alloc_str(&format!("round {round}"));
            }
        });
        let owned = table.lock().owned_values();
        drop(table);
        assert_eq!(DROPPED.load(SeqCst), owned);
    }
}

/// What another thread had in its hands is refused in the child, by all functions, for good; the parent goes on.
#[test]
fn a_guard_that_is_left_behind_is_told() {
    const TOLD: &str = "tmempool: a thread that a fork has left behind has this shared context";
    let (table, other) = (SharedContext::new("table"), SharedContext::new("other"));
    let text = table.alloc_str("from before");
    let (has_it, may_go) = (Barrier::new(2), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let guard = table.lock();
            guard.alloc_str("half done");
            has_it.wait();
            may_go.wait();
        });
        has_it.wait();
        let check = || {
            assert!(table.is_left_behind() && table.clone().is_left_behind());
            let mut handle = table.clone();
            assert_eq!(panic_of(|| _ = table.alloc_str("one")), TOLD);
            assert_eq!(panic_of(|| _ = table.try_alloc(1)), TOLD);
            assert_eq!(panic_of(|| _ = table.alloc_slice_copy(&[1])), TOLD);
            assert_eq!(panic_of(|| _ = table.lock()), TOLD);
            assert_eq!(panic_of(|| _ = table.report()), TOLD);
            assert_eq!(format!("{table:?}"), "SharedContext(<left behind>)");
            assert!(!handle.reset());
            assert_eq!(text, "from before");
            assert!(!other.is_left_behind());
            other.alloc_str("as always");
        };
        in_child(|| {
            check();
            in_child(check);
            // SAFETY: the child has one thread, which does not use it any more.
            let mut last = unsafe { std::ptr::read(&raw const table) };
            assert_eq!(panic_of(|| _ = last.reset()), TOLD);
            drop(last);
            assert_eq!(text, "from before");
            in_child(|| _ = other.alloc_str("as always"));
            let new = SharedContext::new("new");
            new.alloc_str("as always");
        });
        assert!(!table.is_left_behind());
        assert_eq!(format!("{table:?}"), "SharedContext(<in use>)");
        may_go.wait();
    });
    table.alloc_str("in the parent");
    drop(table.lock());
    in_child(|| _ = table.alloc_str("in a later child"));
}

/// The guard of the thread that forks goes on in both processes, also if others sleep for it.
#[test]
fn the_guard_of_the_forking_thread_goes_on() {
    let table = SharedContext::new("table");
    let waiting = AtomicUsize::new(0);
    let wait: Work<'_> = &|| {
        waiting.fetch_add(1, SeqCst);
        drop(table.lock());
        table.alloc(1_u8);
    };
    let guard = table.lock();
    beside(&[wait; 3], || {
        let guard = guard;
        while waiting.load(SeqCst) < 3 {
            std::thread::yield_now();
        }
        for round in 0..20 {
            in_child(|| {
                let child = guard.child("child");
                child.alloc_str("one");
                in_child(|| _ = child.alloc_str("two"));
                drop(child);
                // SAFETY: the child ends before the guard would be dropped for the second time.
                drop(unsafe { std::ptr::read(&raw const guard) });
                table.alloc_str("three");
                // Threads of the child wait for each other as those of the parent.
                let have_a_turn: Work<'_> = &|| drop(table.lock());
                beside(&[have_a_turn; 3], have_a_turn);
                drop(table.lock());
            });
            guard.alloc_str(&format!("round {round}"));
        }
    });
    assert_eq!(table.lock().child_count(), 0);
}

/// Threads have guards of two contexts, while they use the one from within the other and fork: no fork waits for ever.
#[test]
fn a_fork_waits_for_no_guard() {
    let round = || {
        let (a, b) = (SharedContext::new("a"), SharedContext::new("b"));
        let within = |_| {
            let _a = a.lock();
            b.alloc_str("from within a");
        };
        let both = |_| {
            let (a, b) = (a.lock(), b.lock());
            a.alloc_str("a");
            b.alloc_str("b");
        };
        let calls = |round: usize| {
            let text = if round.is_multiple_of(50) { "text" } else { "" };
            a.alloc_str(text);
            b.alloc_str(text);
        };
        let comes_and_goes = |round| {
            let new = SharedContext::new("new");
            let guard = new.lock();
            if round % 100 == 0 {
                in_child(|| {
                    guard.alloc_str("in the child of another thread");
                });
            }
        };
        while_busy(&[&within, &both, &calls, &comes_and_goes], || {
            for _ in 0..FORKS {
                in_child(|| {
                    for table in [&a, &b] {
                        let used = quietly(|| table.alloc_str("text").len());
                        assert_eq!(used.ok(), (!table.is_left_behind()).then_some(4));
                    }
                    SharedContext::new("new").alloc_str("text");
                });
            }
        });
        drop((a.lock(), b.lock()));
    };
    // In a child, so that one that hangs ends.
    in_child(|| (0..ROUNDS).for_each(|_| round()));
}
