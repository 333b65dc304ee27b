//! Owners that change: contexts that move below another, to another thread, or to C and back, that refuse to go, and
//! values and contexts that live as long as anyone holds them.
//!
//! Attacks: values dropped twice, not at all, or under one who still holds them; what was moved freed with its old
//! owner; handles that lead to what is gone, and those that are leaked.

mod drops;

use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::Rc;

use drops::{Noted, Notes, PanicsOnDrop, panic_of, taken};
use tmempool::{Context, Verdict};

#[test]
fn a_context_can_be_moved_with_all_below() {
    let notes = Notes::default();
    let (a, b) = (Context::new("a"), Context::new("b"));
    let moved = {
        let child = a.child("child");
        child.alloc(Noted(1, notes.clone()));
        let below = child.child("below");
        below.alloc(Noted(2, notes.clone()));
        mem::forget(below);
        child.move_to(&b)
    };
    assert_eq!((a.total_blocks(), b.child_count()), (1, 1));
    drop(a);
    assert_eq!(taken(&notes), []);
    assert_eq!(moved.name(), "child");
    mem::forget(moved);
    drop(b);
    assert_eq!(taken(&notes), [1, 2]);
}

#[test]
fn a_sendable_tree_is_freed_by_another_thread() {
    let ctx = Context::new_sendable("job");
    ctx.alloc(vec![1, 2, 3]);
    let child = ctx.child("child");
    child.alloc(String::from("text"));
    mem::forget(child);
    let ctx = std::thread::spawn(move || {
        ctx.alloc(String::from("more"));
        ctx.child("grandchild").alloc_str("text");
        ctx
    })
    .join()
    .unwrap();
    assert_eq!(ctx.owned_values(), 2);
    std::thread::spawn(move || drop(ctx)).join().unwrap();
}

#[test]
fn a_refused_context_lives_on_with_all_it_has() {
    let notes = Notes::default();
    let busy = Rc::new(Cell::new(true));
    let verdict = |busy: &Rc<Cell<bool>>| {
        let busy = busy.clone();
        move || if busy.get() { Verdict::Keep } else { Verdict::Free }
    };
    let root = Context::new("root");
    let parent = root.child("parent");
    let child = parent.child("child");
    child.alloc(Noted(1, notes.clone()));
    child.on_free(verdict(&busy)).unwrap();
    let child = child.free().expect_err("busy");
    mem::forget(child);
    drop(parent);
    assert_eq!(taken(&notes), []);
    let report = root.report();
    let names: Vec<_> = report.root().children().map(|node| node.name()).collect();
    assert_eq!(names, ["child"], "it went to its parent's parent");
    busy.set(false);
    drop(root);
    assert_eq!(taken(&notes), [1]);
}

#[test]
fn closures_are_asked_newest_first_and_a_panic_is_no_refusal() {
    let asked = Rc::new(RefCell::new(Vec::new()));
    let ask = |number: u32, verdict: Verdict| {
        let asked = asked.clone();
        move || {
            asked.borrow_mut().push(number);
            verdict
        }
    };
    let ctx = Context::new("ctx");
    ctx.on_free(ask(1, Verdict::Free)).unwrap();
    let two = ctx.on_free(ask(2, Verdict::Keep)).unwrap();
    ctx.on_free(ask(3, Verdict::Free)).unwrap();
    let ctx = ctx.free().expect_err("refused");
    assert_eq!(taken(&asked), [3, 2]);
    assert!(ctx.cancel(two));
    ctx.on_free(|| panic!("asked")).unwrap();
    assert_eq!(panic_of(|| _ = ctx.free()), "asked");
    assert_eq!(taken(&asked), [3, 1]);
}

#[test]
fn a_shared_value_lives_as_long_as_anyone_holds_it() {
    let notes = Notes::default();
    let (a, b, c) = (Context::new("a"), Context::new("b"), Context::new("c"));
    let first = a.share(Noted(1, notes.clone()));
    let second = b.reference(&first);
    let third = b.reference(&second);
    assert_eq!(third.holders(), 3);
    mem::forget(c.reference(&third));
    drop(first);
    drop(a);
    assert_eq!(taken(&notes), []);
    assert_eq!(second.0, 1);
    drop(second);
    assert_eq!((third.0, third.holders()), (1, 2));
    drop(third);
    drop(b);
    assert_eq!(taken(&notes), []);
    drop(c);
    assert_eq!(taken(&notes), [1]);
}

#[test]
fn a_shared_value_is_dropped_with_its_last_context_when_all_holds_leak() {
    let notes = Notes::default();
    let (mut a, b) = (Context::new("a"), Context::new("b"));
    let first = a.share(Noted(1, notes.clone()));
    mem::forget(b.reference(&first));
    mem::forget(first);
    a.reset();
    assert_eq!(taken(&notes), []);
    drop(a);
    drop(b);
    assert_eq!(taken(&notes), [1]);
    let panics = Context::new("panics");
    let shared = panics.share(PanicsOnDrop("shared"));
    assert_eq!(panic_of(|| drop(shared)), "shared");
    assert_eq!(panics.total_blocks(), 1);
}

#[test]
fn a_handle_outlives_what_it_leads_to() {
    let notes = Notes::default();
    let ctx = Context::new("ctx");
    let handle = ctx.handle(Noted(1, notes.clone()));
    let other = ctx.handle(Noted(2, notes.clone()));
    assert_eq!(handle.get().unwrap().0, 1);
    assert!(other.free());
    assert_eq!(taken(&notes), [2]);
    let looked_at = handle.get().unwrap();
    let again = handle.get().unwrap();
    drop(ctx);
    assert_eq!((looked_at.0, taken(&notes).len()), (1, 0));
    assert!(handle.get().is_none());
    drop(looked_at);
    assert_eq!(taken(&notes), []);
    drop(again);
    assert_eq!(taken(&notes), [1]);
    assert!(!handle.free());
}

#[test]
fn a_context_by_handle_is_freed_when_nobody_looks_at_it() {
    let notes = Notes::default();
    let root = Context::new("root");
    let handle = root.handle_child("child");
    handle.get().unwrap().alloc(Noted(1, notes.clone()));
    let child = handle.get().unwrap();
    let value = child.alloc(7);
    drop(root);
    *value += 1;
    assert_eq!((*value, child.name()), (8, "child"));
    assert_eq!(taken(&notes), []);
    drop(child);
    assert_eq!(taken(&notes), [1]);
    #[repr(align(64))]
    struct Aligned(Noted);
    let root = Context::new("root");
    let handle = root.handle(Aligned(Noted(2, notes.clone())));
    assert_eq!((&raw const *handle.get().unwrap()).addr() % 64, 0);
    assert_eq!(handle.get().unwrap().0.0, 2);
    drop(root);
    assert_eq!(taken(&notes), [2]);
}

#[test]
fn a_context_goes_to_c_and_comes_back() {
    let notes = Notes::default();
    let parent = Context::new("C's");
    let owned: Context = {
        let ctx = Context::new("ours");
        ctx.alloc(Noted(1, notes.clone()));
        // SAFETY: it came from a context just now.
        unsafe { Context::from_raw(ctx.into_raw()) }.unwrap()
    };
    assert_eq!((owned.name(), owned.owned_values()), ("ours", 1));
    drop(owned);
    assert_eq!(taken(&notes), [1]);
    // A chunk without a state of ours, as C's are.
    // SAFETY: chunks of this thread's, which nobody else frees.
    unsafe {
        let raw = tmempool::ops::alloc(None, 100).unwrap().ptr();
        for number in 0..3 {
            let given =
                Context::<tmempool::Local>::with_raw(raw, |ctx| ctx.alloc(Noted(number, notes.clone())).0);
            assert_eq!(given, Ok(number));
        }
        assert_eq!(taken(&notes), []);
        let ctx: Context = Context::from_raw(raw).unwrap();
        assert_eq!((ctx.total_blocks(), ctx.owned_values()), (2, 3), "{}", ctx.report());
        let moved = ctx.move_to(&parent);
        assert_eq!(parent.child_count(), 1);
        drop(moved);
    }
    assert_eq!(taken(&notes), [2, 1, 0]);
}

/// A context of a chain, each of which is known by a handle that its parent has, goes with its parent, in a thread with little
/// stack.
#[test]
fn a_deep_chain_of_children_with_handles_takes_no_stack() {
    const DEPTH: usize = if cfg!(miri) { 50 } else { 100_000 };
    let drops = || {
        let root = Context::new("root");
        let mut last = root.handle_child("first");
        for _ in 1..DEPTH {
            last = last.get().unwrap().handle_child("next");
        }
        assert_eq!(root.total_blocks(), 1 + 2 * DEPTH);
        drop(root);
        assert!(last.get().is_none());
    };
    std::thread::Builder::new().stack_size(256 << 10).spawn(drops).unwrap().join().unwrap();
}

/// A context that a handle leads to, and that is not below it, is dropped with it.
#[test]
fn a_context_from_elsewhere_goes_with_its_handle() {
    let notes = Notes::default();
    let (root, other) = (Context::new("root"), Context::new("other"));
    other.alloc(Noted(1, notes.clone()));
    let handle = root.handle(other);
    assert!(handle.get().is_some());
    drop(root);
    assert_eq!(taken(&notes), [1]);
}

/// A child with a handle that C code has moved elsewhere ends with its handle all the same, and is not left behind.
#[test]
fn a_child_that_was_moved_from_its_handle_ends_with_it() {
    let notes = Notes::default();
    let (root, other) = (Context::new("root"), Context::new("other"));
    let handle = root.handle_child("child");
    handle.get().unwrap().alloc(Noted(1, notes.clone()));
    let [child, to] = [handle.get().unwrap().as_raw(), other.as_raw()]
        // SAFETY: live contexts.
        .map(|raw| unsafe { tmempool::tree::Chunk::check(raw) }.unwrap());
    // SAFETY: one thread, live chunks.
    unsafe { tmempool::ops::steal(Some(to), child) }.unwrap();
    drop(root);
    assert_eq!(taken(&notes), [1]);
    assert!(handle.get().is_none());
    assert_eq!(other.total_blocks(), 1);
}
