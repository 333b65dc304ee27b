//! Safe programs that try to break a tree.
//!
//! Attacks: rings made through handles; pinned and shared values in pools that are reset or freed; frees in the
//! middle of a free, of neighbours, siblings and parents; closures and values that panic where it hurts; everything
//! that can be leaked, leaked; sizes at the edge; what threads leave to their end.

use std::cell::{Cell, RefCell};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use tmempool::{Context, CtxRef, Handle, HandleRef, Verdict};

/// What the panic of `f` says, which is a literal.
fn panic_of(f: impl FnOnce()) -> &'static str {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("a panic");
    payload.downcast_ref::<&str>().expect("a literal")
}

/// Moving a context to what its own handle leads to would let that lie where nobody keeps it alive.
#[test]
fn a_context_cannot_be_moved_below_itself() {
    for parent in [true, false] {
        let root = Context::new("root");
        let a = if parent { root.child("a") } else { root.child("a").move_to(&root) };
        let handle = a.handle_child("c");
        let inner = handle.get().unwrap();
        let message = panic_of(|| mem::forget(a.move_to(&inner)));
        assert_eq!(message, "tmempool: a context cannot be moved below itself");
        drop(root);
        assert_eq!(inner.name(), "c");
        inner.alloc(String::from("still there"));
        drop(inner);
        assert!(handle.get().is_none());
    }
    let root = Context::new("root");
    let handle = root.handle_child("c");
    let inner = handle.get().unwrap();
    panic_of(|| mem::forget(root.move_to(&inner)));
    inner.alloc(String::from("still there"));
}

/// The context that a handle leads to owns the handle's own context.
#[test]
fn a_ring_through_a_handle_can_be_freed() {
    for pool in [false, true] {
        let root = Context::new("root");
        let ctx = if pool { root.pool(4096) } else { root.child("c") };
        let handle = ctx.handle(Context::new("x"));
        let x = handle.get().unwrap();
        x.alloc(String::from("value of x"));
        ctx.alloc(String::from("value of ctx"));
        mem::forget(ctx.move_to(&x));
        drop(x);
        let x = handle.get().unwrap();
        drop(x);
        assert!(handle.free());
        assert!(handle.get().is_none());
        root.alloc(vec![1, 2, 3]);
    }
}

/// What lives on in a pool's memory when that is used anew, or freed.
#[test]
fn what_is_pinned_or_shared_outlives_the_reset_and_the_end_of_its_pool() {
    let root = Context::new("root");
    for growing in [false, true] {
        let mut pool = if growing { root.growing_pool(4096, 8192) } else { root.pool(4096) };
        let handle = pool.handle([7u8; 300]);
        let shared = pool.share([9u8; 300]);
        let theirs = root.reference(&shared);
        drop(shared);
        let pinned = handle.get().unwrap();
        let rounds = if cfg!(miri) { 2 } else { 40 };
        for _ in 0..3 {
            pool.reset();
            for _ in 0..rounds {
                pool.alloc_slice_copy(&[1u8; 100]);
                mem::forget(pool.boxed([1u8; 300]));
                pool.share([1u8; 300]);
            }
        }
        assert_eq!(*pinned, [7; 300]);
        assert_eq!(*theirs, [9; 300]);
        drop(pool);
        for _ in 0..rounds {
            mem::forget(root.pool(4096).boxed([3u8; 1000]));
        }
        assert_eq!(*pinned, [7; 300]);
        assert_eq!(*theirs, [9; 300]);
    }
}

/// A value that drops the only look at its neighbour, in the middle of the free of both.
#[test]
fn a_neighbour_is_unpinned_in_the_middle_of_a_free() {
    struct Holder(#[allow(dead_code, reason = "dropped")] RefCell<Option<HandleRef<Vec<u8>>>>);
    for order in [false, true] {
        for pool in [false, true] {
            let root = Context::new("root");
            let ctx = if pool { root.pool(4096) } else { root.child("c") };
            let make = |ctx: &Context| ctx.handle(vec![1u8; 10]);
            let h;
            if order {
                h = make(&ctx);
                ctx.alloc(Holder(RefCell::new(h.get())));
                let below = ctx.child("below");
                below.alloc(Holder(RefCell::new(h.get())));
                mem::forget(below);
            } else {
                let below = ctx.child("below");
                h = make(&ctx);
                below.alloc(Holder(RefCell::new(h.get())));
                mem::forget(below);
            }
            drop(ctx);
            assert!(h.get().is_none());
        }
    }
}

/// Pins of values that hold each other.
#[test]
fn handles_that_pin_each_other_leak_and_nothing_else() {
    struct Node(RefCell<Option<HandleRef<Node>>>, #[allow(dead_code, reason = "dropped")] Vec<u8>);
    let root = Context::new("root");
    let a = root.handle(Node(RefCell::default(), vec![1]));
    let b = root.handle(Node(RefCell::default(), vec![2]));
    *a.get().unwrap().0.borrow_mut() = b.get();
    *b.get().unwrap().0.borrow_mut() = a.get();
    let look = a.get().unwrap();
    drop(root);
    assert!(a.get().is_none());
    let other = look.0.borrow_mut().take().unwrap();
    assert_eq!(other.1, [2]);
    other.0.borrow_mut().take();
    drop(other);
    drop(look);
    // itself
    let root = Context::new("root");
    let a = root.handle(Node(RefCell::default(), vec![1]));
    *a.get().unwrap().0.borrow_mut() = a.get();
    drop(root);
}

#[test]
fn shared_values_may_hold_each_other() {
    let root: &'static Context = Box::leak(Box::new(Context::new("root")));
    struct Node(RefCell<Option<CtxRef<'static, Node>>>, #[allow(dead_code, reason = "dropped")] Vec<u8>);
    // a chain that ends with one drop
    let mut chain = root.share(Node(RefCell::default(), vec![0]));
    for i in 0..if cfg!(miri) { 10 } else { 1000_u32 } {
        chain = root.share(Node(RefCell::new(Some(chain)), vec![i as u8]));
    }
    drop(chain);
    assert_eq!(root.child_count(), 0);
    // a ring, opened in a drop
    let a = root.share(Node(RefCell::default(), vec![1]));
    let b = root.share(Node(RefCell::new(Some(root.reference(&a))), vec![2]));
    *a.0.borrow_mut() = Some(root.reference(&b));
    drop(b);
    let back = a.0.borrow_mut().take();
    drop(a);
    drop(back);
    assert_eq!(root.child_count(), 0);
}

#[test]
fn a_drop_may_use_the_parent_of_its_context_in_every_way() {
    struct Busy(&'static Context, Rc<Cell<u32>>);
    impl Drop for Busy {
        fn drop(&mut self) {
            let parent = self.0;
            parent.alloc(String::from("more"));
            let sibling = parent.child("sibling");
            sibling.alloc(String::from("in the sibling"));
            assert!(parent.report().iter().count() > 1);
            drop(sibling);
            drop(parent.boxed(vec![1]));
            let kept = parent.child("kept").move_to(parent);
            mem::forget(kept);
            let shared = parent.share(String::from("shared"));
            drop(parent.reference(&shared));
            parent.handle(3).free();
            self.1.set(self.1.get() + 1);
        }
    }
    let root: &'static Context = Box::leak(Box::new(Context::new("root")));
    let count = Rc::new(Cell::new(0));
    let mut child = root.child("child");
    for _ in 0..3 {
        child.alloc(Busy(root, count.clone()));
        let below = child.child("below");
        below.alloc(Busy(root, count.clone()));
        below.share(Busy(root, count.clone()));
        below.handle(Busy(root, count.clone()));
        mem::forget(below);
    }
    child.reset();
    assert_eq!(count.get(), 12);
    child.alloc(Busy(root, count.clone()));
    drop(child);
    assert_eq!(count.get(), 13);
}

/// Children that own their siblings, freed, moved and reset from drops.
#[test]
fn siblings_that_own_each_other_are_freed_moved_and_reset_by_drops() {
    let root: &'static Context = Box::leak(Box::new(Context::new("root")));
    struct Mover(Option<tmempool::Child<'static>>, &'static Context, u32);
    impl Drop for Mover {
        fn drop(&mut self) {
            let mut child = self.0.take().unwrap();
            match self.2 % 4 {
                0 => drop(child),
                1 => mem::forget(child.move_to(self.1)),
                2 => {
                    child.reset();
                    child.alloc(String::from("again"));
                }
                _ => _ = child.free(),
            }
        }
    }
    for round in 0..4 {
        let mut last = root.child("first");
        for i in 0..if cfg!(miri) { 6 } else { 50 } {
            let next = root.child("next");
            next.alloc(String::from("value"));
            next.alloc(Mover(Some(last), root, i + round));
            mem::forget(next.child("below"));
            last = next;
        }
        drop(last);
    }
}

#[test]
fn a_closure_may_own_contexts_and_panic_when_it_is_dropped() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("bomb");
            }
        }
    }
    let root = Context::new("root");
    let ctx = root.child("ctx");
    let inner = Context::new("inner");
    inner.alloc(String::from("x"));
    let (bomb, other) = (Bomb, Bomb);
    ctx.on_free(move || {
        let _ = (&inner, &bomb);
        Verdict::Free
    })
    .unwrap();
    ctx.on_free(move || {
        let _ = &other;
        panic!("asked")
    })
    .unwrap();
    ctx.on_free(|| Verdict::Free).unwrap();
    let result = catch_unwind(AssertUnwindSafe(|| drop(ctx)));
    assert!(result.is_err());
    assert_eq!(root.child_count(), 0);
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no mappings in parts, which slabs need")]
fn caches_reserves_and_ranges_may_be_leaked_with_all_that_is_out() {
    let root = Context::new("root");
    for _ in 0..3 {
        let mut ctx = root.child("ctx");
        {
            let cache = ctx.cache::<String>("cache");
            mem::forget(cache.alloc(String::from("leaked")));
            drop(cache);
            let cache = ctx.cache::<String>("cache");
            mem::forget(cache.alloc(String::from("leaked")));
            mem::forget(cache);
            let pool = ctx.mempool::<String>("pool", 2);
            mem::forget(pool.alloc(String::from("leaked")));
            drop(pool);
            let pool = ctx.mempool::<String>("pool", 2);
            mem::forget(pool.alloc(String::from("leaked")));
            mem::forget(pool);
            let ranges = ctx.genpool("ranges", 4);
            ranges.add(0x1000, 0x1000).unwrap();
            ranges.alloc(16).unwrap();
            mem::forget(ranges);
            let ranges = ctx.genpool("ranges", 4);
            ranges.add(0x1000, 0x1000).unwrap();
            ranges.alloc(16).unwrap();
        }
        ctx.reset();
        assert_eq!(ctx.child_count(), 0);
    }
}

#[test]
fn sizes_at_the_edge_are_served_or_refused() {
    let root = Context::new("root");
    for (first, max) in [
        (0, 0),
        (1, 0),
        (0, 1),
        (usize::MAX, usize::MAX),
        (0, usize::MAX),
        (usize::MAX, 0),
        (1 << 28, 1 << 28),
    ] {
        if let Ok(pool) = root.try_growing_pool(first, max) {
            assert_eq!(*pool.boxed([1u8; 700]), [1; 700]);
            pool.alloc_slice_copy(&[1u8; 10000]);
        }
    }
    let long = "x".repeat(if cfg!(miri) { 1000 } else { 100_000 });
    let ctx = root.child(&long);
    assert_eq!(ctx.name(), long);
    ctx.alloc(String::from("x"));
    let ctx = root.child("a\0b\u{fffd}");
    assert_eq!(ctx.name(), "a\0b\u{fffd}");
    assert_eq!(ctx.report().root().name(), "a");
    let zst: &mut [()] = root.alloc_slice_copy(&[(); 100]);
    assert_eq!(zst.len(), 100);
    let none: &mut [u64] = root.alloc_slice_copy(&[]);
    assert_eq!(none.len(), 0);
    for limit in [1, usize::MAX, 0] {
        root.set_limit(limit).unwrap();
    }
    if cfg!(miri) {
        return;
    }
    assert!(root.try_cache::<[u8; 256 << 20]>("cache").is_err());
    #[repr(align(131072))]
    struct Big;
    assert!(root.try_cache::<Big>("cache").is_err());
    assert!(root.try_mempool::<u8>("m", usize::MAX).is_err());
    assert!(root.try_mempool::<[u8; 1 << 20]>("m", 1 << 50).is_err());
    assert!(root.try_genpool("m", u32::MAX).is_err());
}

#[test]
fn a_context_in_a_thread_local_goes_with_its_thread() {
    thread_local!(static CTX: RefCell<Option<(Context, Handle<String>)>> = const { RefCell::new(None) });
    struct Late(#[allow(dead_code, reason = "dropped")] Option<HandleRef<String>>);
    impl Drop for Late {
        fn drop(&mut self) {
            let ctx = Context::new("late");
            ctx.alloc(String::from("late"));
            let _ = ctx.child("x").try_boxed(1);
        }
    }
    thread_local!(static LATE: RefCell<Option<Late>> = const { RefCell::new(None) });
    std::thread::spawn(|| {
        let ctx = Context::new("local");
        ctx.alloc(Late(None));
        let handle = ctx.handle(String::from("x"));
        LATE.set(Some(Late(handle.get())));
        CTX.set(Some((ctx, handle)));
    })
    .join()
    .unwrap();
}
