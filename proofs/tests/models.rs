//! Models of the lock-free paths: every interleaving of a few threads in the real code. And the proof that the
//! models can fail: each ordering in the code, made weaker, is found out by one of them.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use loom::thread;
use tmempool_proofs::mem::heap::Heap;
use tmempool_proofs::mem::lock::Lock;
use tmempool_proofs::mem::queue::{Queue, Waited, Waiter};
use tmempool_proofs::mem::shared::Shared;
use tmempool_proofs::weaken::{self, while_weakened};

/// The thread pointers of a model's threads.
const MAIN: usize = 16;
const OTHERS: [usize; 2] = [32, 48];

/// A model: its name, and the body that is run in all ways.
type Model = (&'static str, fn());

const MODELS: &[Model] = &[
    ("two threads free into one span while its owner collects", two_free_into_one_span),
    ("two threads free several slots of one span at once", two_free_chains),
    ("a span is mailed again while its owner collects", a_span_is_mailed_again),
    ("two spans in one mailbox", two_spans_in_one_mailbox),
    ("the owner leaves while others free", the_owner_leaves),
    ("two threads free into a heap that nobody owns", nobody_owns_it),
    ("a new thread adopts a heap while others free into it", a_new_thread_adopts),
    ("two threads want one lock", two_want_a_lock),
    ("three threads want one lock", three_want_a_lock),
    ("two threads in a shared heap, and frees from outside", two_share_a_heap),
    ("a shared heap is given up as others enter it and free into it", a_shared_heap_is_given_up),
    ("an element is handed to the thread that waits", an_element_is_handed_over),
    ("an element is handed over as the time runs out", the_time_runs_out),
    ("two threads wait for one element", two_wait_for_one),
];

fn in_all_ways(model: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

fn start(body: impl FnOnce() + 'static) -> thread::JoinHandle<()> {
    thread::spawn(body)
}

/// Two threads each give back something of one span, as `give` has it for each, while the owner collects.
fn two_free<const SLOTS: usize>(give: fn(&Heap<1, SLOTS>, usize)) {
    let heap = Arc::new(Heap::<1, SLOTS>::new(MAIN));
    let others: Vec<_> = (0..2)
        .map(|i| {
            let heap = heap.clone();
            start(move || give(&heap, i))
        })
        .collect();
    heap.collect();
    heap.use_as_owner();
    others.into_iter().for_each(|other| other.join().unwrap());
    heap.collect();
    assert_eq!(heap.in_use(), 0, "a slot was lost");
}

fn two_free_into_one_span() {
    two_free::<2>(|heap, i| heap.give(OTHERS[i], 0, i));
}

fn two_free_chains() {
    two_free::<4>(|heap, i| heap.give_all(OTHERS[i], 0, &[2 * i, 2 * i + 1]));
}

fn a_span_is_mailed_again() {
    let heap = Arc::new(Heap::<1, 3>::new(MAIN));
    let other = {
        let heap = heap.clone();
        start(move || (0..3).for_each(|object| heap.give(OTHERS[0], 0, object)))
    };
    heap.collect();
    heap.collect();
    other.join().unwrap();
    heap.collect();
    assert_eq!(heap.in_use(), 0, "a slot was lost");
}

fn two_spans_in_one_mailbox() {
    let heap = Arc::new(Heap::<2, 1>::new(MAIN));
    let others: Vec<_> = (0..2)
        .map(|i| {
            let heap = heap.clone();
            start(move || heap.give(OTHERS[i], i, 0))
        })
        .collect();
    heap.collect();
    others.into_iter().for_each(|other| other.join().unwrap());
    heap.collect();
    assert_eq!(heap.in_use(), 0, "a slot was lost");
}

fn the_owner_leaves() {
    let heap = Arc::new(Heap::<2, 1>::new(MAIN));
    let others: Vec<_> = (0..2)
        .map(|i| {
            let heap = heap.clone();
            start(move || heap.give(OTHERS[i], i, 0))
        })
        .collect();
    heap.use_as_owner();
    heap.leave(MAIN);
    others.into_iter().for_each(|other| other.join().unwrap());
    assert!(heap.is_unowned());
    assert_eq!(heap.in_use(), 0, "what was freed when the owner left stays in the mailbox");
}

fn nobody_owns_it() {
    let heap = Arc::new(Heap::<1, 3>::new(0));
    let others: Vec<_> = (0..2)
        .map(|i| {
            let heap = heap.clone();
            start(move || heap.give(OTHERS[i], 0, i))
        })
        .collect();
    heap.give(MAIN, 0, 2);
    others.into_iter().for_each(|other| other.join().unwrap());
    assert!(heap.is_unowned());
    assert_eq!(heap.in_use(), 0, "a slot was lost");
}

fn a_new_thread_adopts() {
    let heap = Arc::new(Heap::<1, 2>::new(MAIN));
    let freeing = {
        let heap = heap.clone();
        start(move || (0..2).for_each(|object| heap.give(OTHERS[0], 0, object)))
    };
    let new = {
        let heap = heap.clone();
        start(move || {
            if heap.adopt(OTHERS[1]) {
                heap.use_as_owner();
                heap.leave(OTHERS[1]);
            }
        })
    };
    heap.use_as_owner();
    heap.leave(MAIN);
    freeing.join().unwrap();
    new.join().unwrap();
    assert!(heap.is_unowned());
    assert_eq!(heap.in_use(), 0, "a slot was lost");
}

/// What a lock guards.
struct Guarded(Lock, loom::cell::Cell<u32>);
// SAFETY: loom says when two threads use the cell at once.
unsafe impl Sync for Guarded {}
// SAFETY: as above.
unsafe impl Send for Guarded {}

fn threads_want_a_lock(others: usize, times: u32) {
    let guarded = Arc::new(Guarded(Lock::new(), loom::cell::Cell::new(0)));
    drop(guarded.0.hold());
    let add = move |guarded: &Guarded| {
        for _ in 0..times {
            let _held = guarded.0.hold();
            guarded.1.set(guarded.1.get() + 1);
        }
    };
    let others: Vec<_> = (0..others)
        .map(|_| {
            let guarded = guarded.clone();
            start(move || add(&guarded))
        })
        .collect();
    add(&guarded);
    let n = others.len() as u32 + 1;
    others.into_iter().for_each(|other| other.join().unwrap());
    let _held = guarded.0.hold();
    assert_eq!(guarded.1.get(), n * times);
}

fn two_want_a_lock() {
    threads_want_a_lock(1, 2);
}

fn three_want_a_lock() {
    threads_want_a_lock(2, 1);
}

/// A reserve of one element at most, in the way of a mempool: who finds none waits.
struct Reserve {
    lock: Lock,
    queue: Queue,
    element: loom::cell::Cell<*mut c_void>,
    /// Written by each owner of the element in turn.
    owned: loom::cell::Cell<u32>,
}
// SAFETY: the queue and the element are used under the lock, and loom says when `owned` is used by two.
unsafe impl Sync for Reserve {}
// SAFETY: as above.
unsafe impl Send for Reserve {}

impl Reserve {
    /// All that is shared is made in the thread that starts the others.
    fn new(element: bool) -> Arc<Reserve> {
        let element = if element { 16 as *mut c_void } else { null_mut() };
        let reserve = Reserve {
            lock: Lock::new(),
            queue: Queue::new(),
            element: loom::cell::Cell::new(element),
            owned: loom::cell::Cell::new(0),
        };
        drop(reserve.lock.hold());
        assert!(reserve.queue.is_empty());
        reserve.queue.forget();
        Arc::new(reserve)
    }

    fn take(&self, deadline: Option<u64>) -> Option<NonNull<c_void>> {
        let waiter = Waiter::new();
        {
            let _held = self.lock.hold();
            if let Some(element) = NonNull::new(self.element.replace(null_mut())) {
                return Some(element);
            }
            // SAFETY: the lock is held, and the waiter stays here until it is out of the queue.
            unsafe { self.queue.enter(&waiter) };
        }
        match waiter.wait(deadline) {
            Waited::Given(element) => Some(element),
            Waited::Ended => None,
            Waited::TimedOut => {
                let _held = self.lock.hold();
                // SAFETY: as above.
                unsafe { self.queue.leave(&waiter) }
            }
        }
    }

    fn put(&self, element: NonNull<c_void>) {
        let held = self.lock.hold();
        // SAFETY: the lock is held.
        let woken = unsafe { self.queue.give(element) };
        if woken.is_none() {
            assert!(self.element.replace(element.as_ptr()).is_null(), "two elements came from one");
        }
        drop(held);
        if let Some(woken) = woken {
            woken.now();
        }
    }

    fn own(&self) {
        self.owned.set(self.owned.get() + 1);
    }
}

fn an_element_is_handed_over() {
    let reserve = Reserve::new(true);
    let element = reserve.take(None).expect("the reserve is full");
    let other = {
        let reserve = reserve.clone();
        start(move || {
            let element = reserve.take(None).expect("who waits without end gets it");
            reserve.own();
            reserve.put(element);
        })
    };
    reserve.own();
    reserve.put(element);
    other.join().unwrap();
    assert!(reserve.queue.is_empty() && !reserve.element.get().is_null());
}

fn the_time_runs_out() {
    let reserve = Reserve::new(true);
    let element = reserve.take(None).expect("the reserve is full");
    let other = {
        let reserve = reserve.clone();
        start(move || {
            if let Some(element) = reserve.take(Some(0)) {
                reserve.own();
                reserve.put(element);
            }
        })
    };
    reserve.own();
    reserve.put(element);
    other.join().unwrap();
    assert!(reserve.queue.is_empty() && !reserve.element.get().is_null(), "the element was lost");
}

fn two_wait_for_one() {
    let reserve = Reserve::new(true);
    let element = reserve.take(None).expect("the reserve is full");
    let others: Vec<_> = [None, Some(0)]
        .into_iter()
        .map(|deadline| {
            let reserve = reserve.clone();
            start(move || match reserve.take(deadline) {
                Some(element) => {
                    reserve.own();
                    reserve.put(element);
                }
                None => assert!(deadline.is_some(), "who waits without end gets it"),
            })
        })
        .collect();
    reserve.own();
    reserve.put(element);
    others.into_iter().for_each(|other| other.join().unwrap());
    assert!(reserve.queue.is_empty() && !reserve.element.get().is_null(), "the element was lost");
}

fn two_share_a_heap() {
    let shared = Arc::new(Shared::<1, 2>::new());
    let inside = {
        let shared = shared.clone();
        start(move || {
            assert!(shared.enter(OTHERS[0]));
            shared.heap().use_as_owner();
            shared.leave(OTHERS[0]);
        })
    };
    let outside = {
        let shared = shared.clone();
        start(move || (0..2).for_each(|object| shared.heap().give(OTHERS[1], 0, object)))
    };
    assert!(shared.enter(MAIN));
    shared.heap().collect();
    shared.heap().use_as_owner();
    shared.leave(MAIN);
    inside.join().unwrap();
    outside.join().unwrap();
    assert!(shared.enter(MAIN));
    shared.heap().collect();
    assert_eq!(shared.heap().in_use(), 0, "a slot was lost");
    shared.leave(MAIN);
}

fn a_shared_heap_is_given_up() {
    let shared = Arc::new(Shared::<1, 2>::new());
    let entering = {
        let shared = shared.clone();
        start(move || {
            if shared.enter(OTHERS[0]) {
                shared.heap().use_as_owner();
                shared.leave(OTHERS[0]);
            }
        })
    };
    let freeing = {
        let shared = shared.clone();
        start(move || (0..2).for_each(|object| shared.heap().give(OTHERS[1], 0, object)))
    };
    assert!(shared.enter(MAIN));
    shared.abandon();
    shared.leave(MAIN);
    entering.join().unwrap();
    freeing.join().unwrap();
    assert!(!shared.enter(MAIN) && shared.heap().is_unowned());
    assert_eq!(shared.heap().in_use(), 0, "what was freed as the heap was given up stays in the mailbox");
}

#[test]
fn all_models_hold() {
    for (name, model) in MODELS {
        let began = std::time::Instant::now();
        in_all_ways(*model);
        println!("{name}: {:.1?}", began.elapsed());
    }
}

/// A model that held with an ordering weaker than the one in the code would prove nothing about it.
#[test]
fn each_ordering_is_needed() {
    MODELS.iter().for_each(|(_, model)| in_all_ways(*model));
    let sites = weaken::seen();
    assert!(sites.len() >= 12, "the models have lost sight of the code: {sites:?}");
    std::panic::set_hook(Box::new(|_| ()));
    let mut idle = Vec::new();
    for site in sites {
        for &instead in weaken::weaker(site.3) {
            let found = MODELS.iter().find(|(_, model)| {
                while_weakened(site, instead, || {
                    catch_unwind(AssertUnwindSafe(|| in_all_ways(*model))).is_err()
                })
            });
            let (file, line, _, order) = site;
            match found {
                Some((name, _)) => println!("{file}:{line}: {order} made {instead:?}: {name}"),
                None => idle.push(format!("{file}:{line}: {order} made {instead:?}: no model fails")),
            }
        }
    }
    let _ = std::panic::take_hook();
    assert!(idle.is_empty(), "{}", idle.join("\n"));
}
