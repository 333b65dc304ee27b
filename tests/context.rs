//! Contexts, values, boxes and collections as a Rust program uses them.
//!
//! Attacks: values dropped twice or not at all, in the wrong order, or out of their memory; panics in the
//! middle of a free; alignment and size at their limits; boxes and children that are leaked.

mod drops;

use std::cell::Cell;
use std::mem;

use drops::{Noted, Notes, PanicsOnDrop, panic_of, taken};
use tmempool::{AllocError, Context, CtxBox};

#[test]
fn values_are_dropped_newest_first_and_before_those_of_contexts_below() {
    let notes = Notes::default();
    let noted = |number| Noted(number, notes.clone());
    let ctx = Context::new("root");
    ctx.alloc(noted(1));
    let child = ctx.child("child");
    child.alloc(noted(2));
    child.alloc(noted(3));
    ctx.alloc(noted(4));
    ctx.alloc_slice_with(3, |i| noted(10 + i as u32));
    mem::forget(child); // left to its parent
    drop(ctx);
    assert_eq!(taken(&notes), [10, 11, 12, 4, 1, 3, 2]);
}

#[test]
fn a_dropped_child_goes_early_and_only_once() {
    let notes = Notes::default();
    let ctx = Context::new("root");
    ctx.alloc(Noted(1, notes.clone()));
    let child = ctx.child("child");
    child.alloc(Noted(2, notes.clone()));
    drop(child);
    assert_eq!(taken(&notes), [2]);
    drop(ctx);
    assert_eq!(taken(&notes), [1]);
}

#[test]
fn a_boxed_value_is_dropped_with_its_box_and_never_by_its_context() {
    let notes = Notes::default();
    let ctx = Context::new("root");
    let boxed = ctx.boxed(Noted(1, notes.clone()));
    let leaked = ctx.boxed(PanicsOnDrop("never"));
    let inner = ctx.boxed(Noted(3, notes.clone())).into_inner();
    let adopted = ctx.adopt(ctx.boxed(Noted(4, notes.clone())));
    assert_eq!(adopted.0, 4);
    drop(boxed);
    assert_eq!(taken(&notes), [1]);
    mem::forget(leaked);
    drop(ctx);
    assert_eq!(taken(&notes), [4]);
    drop(inner);
    assert_eq!(taken(&notes), [3]);
}

#[test]
fn a_box_may_borrow_what_its_context_may_not() {
    let word = String::from("mill");
    let ctx = Context::new("root");
    let letters: CtxBox<'_, Vec<&str>> = ctx.boxed(word.split("").collect());
    assert_eq!(letters.len(), 6);
    let other = Context::new("other");
    let moved = letters.move_to(&other);
    drop(ctx);
    assert_eq!(moved[1], "m");
}

#[test]
fn reset_drops_and_frees_and_keeps_memory() {
    let notes = Notes::default();
    let mut ctx = Context::new("root");
    for round in 0..if cfg!(miri) { 12 } else { 100 } {
        for number in 0..round {
            ctx.alloc([0u64; 10]);
            ctx.alloc(Noted(number, notes.clone()));
        }
        mem::forget(ctx.child("left"));
        ctx.reset();
        assert_eq!(taken(&notes), (0..round).rev().collect::<Vec<_>>());
        assert_eq!(ctx.owned_values(), 0);
        assert!(ctx.total_blocks() <= 2, "{:?}", ctx.report());
        assert_eq!(ctx.name(), "root");
    }
}

#[test]
fn pools_serve_what_lies_below_and_resets_give_their_room_back() {
    let root = Context::new("root");
    let mut pool = root.pool(64 << 10);
    for _ in 0..if cfg!(miri) { 5 } else { 1000 } {
        let words: Vec<&mut str> = (0..50).map(|i| pool.alloc_str(&format!("word {i}"))).collect();
        assert_eq!(words[49], "word 49");
        let child = pool.child("child");
        let boxed = child.boxed([7u8; 1000]);
        assert_eq!(boxed[999], 7);
        drop(boxed);
        drop(child);
        pool.reset();
    }
    assert_eq!(root.total_blocks(), 2);
}

#[test]
fn a_panic_in_drop_leaves_no_value_undropped_and_comes_back() {
    let notes = Notes::default();
    let root = Context::new("root");
    let ctx = root.child("ctx");
    ctx.alloc(Noted(1, notes.clone()));
    ctx.alloc(PanicsOnDrop("second"));
    let below = ctx.child("below");
    below.alloc(Noted(2, notes.clone()));
    below.alloc(PanicsOnDrop("third"));
    below.alloc(Noted(3, notes.clone()));
    mem::forget(below);
    ctx.alloc(Noted(4, notes.clone()));
    ctx.alloc(PanicsOnDrop("first"));
    assert_eq!(panic_of(|| drop(ctx)), "first");
    assert_eq!(taken(&notes), [4, 1, 3, 2]);
    assert_eq!(root.total_blocks(), 1);
}

#[test]
fn a_panic_in_reset_leaves_a_context_that_works() {
    let notes = Notes::default();
    let mut ctx = Context::new("ctx");
    ctx.alloc(Noted(1, notes.clone()));
    ctx.alloc(PanicsOnDrop("reset"));
    assert_eq!(panic_of(|| ctx.reset()), "reset");
    assert_eq!(taken(&notes), [1]);
    ctx.alloc(Noted(2, notes.clone()));
    drop(ctx);
    assert_eq!(taken(&notes), [2]);
}

#[test]
fn a_panic_of_a_boxed_value_frees_its_memory() {
    let ctx = Context::new("ctx");
    let boxed = ctx.boxed(PanicsOnDrop("boxed"));
    assert_eq!(panic_of(|| drop(boxed)), "boxed");
    assert_eq!(ctx.total_blocks(), 1);
}

#[test]
fn a_panic_while_a_value_is_made_leaves_what_was_made_dropped_once() {
    let notes = Notes::default();
    let ctx = Context::new("ctx");
    let message = panic_of(|| {
        ctx.alloc_slice_with(5, |i| {
            assert!(i < 3, "no more");
            Noted(i as u32, notes.clone())
        });
    });
    assert_eq!(message, "no more");
    assert_eq!(taken(&notes), [0, 1, 2]);
    assert_eq!(panic_of(|| _ = ctx.alloc_with(|| -> Noted { panic!("not one") })), "not one");
    drop(ctx);
    assert_eq!(taken(&notes), []);
}

#[test]
fn a_drop_may_free_and_allocate_in_other_trees() {
    thread_local!(static OTHER: Context = Context::new("other"));
    struct Busy(Option<Context>);
    impl Drop for Busy {
        fn drop(&mut self) {
            OTHER.with(|other| {
                other.alloc(String::from("from a drop"));
                let own = self.0.take();
                drop(own);
                let child = other.child("child");
                child.alloc(vec![1, 2, 3]);
            });
        }
    }
    let ctx = Context::new("ctx");
    for _ in 0..10 {
        let inner = Context::new("inner");
        inner.alloc(Busy(None));
        ctx.alloc(Busy(Some(inner)));
    }
    drop(ctx);
    OTHER.with(|other| assert_eq!(other.owned_values(), 20));
}

#[test]
fn a_drop_may_use_its_own_context_when_a_box_is_dropped() {
    struct Busy<'c>(&'c Context, &'c Cell<u32>);
    impl Drop for Busy<'_> {
        fn drop(&mut self) {
            self.0.alloc(String::from("more"));
            let nested = self.0.boxed(1);
            drop(nested);
            self.1.set(self.1.get() + 1);
        }
    }
    let ctx = Context::new("ctx");
    let drops = Cell::new(0);
    let boxes: Vec<_> = (0..10).map(|_| ctx.boxed(Busy(&ctx, &drops))).collect();
    drop(boxes);
    assert_eq!((drops.get(), ctx.owned_values()), (10, 10));
}

#[repr(align(4096))]
struct Page([u8; 4096]);

#[repr(align(64))]
#[derive(Clone, Copy)]
struct Line;

#[test]
fn any_alignment_and_no_size_at_all() {
    let notes = Notes::default();
    let ctx = Context::new("ctx");
    for _ in 0..20 {
        ctx.alloc(1u8);
        let page = ctx.alloc(Page([1; 4096]));
        assert_eq!((&raw const *page).addr() % 4096, 0);
        let boxed = ctx.boxed(Page([2; 4096]));
        assert_eq!((&raw const *boxed).addr() % 4096, 0);
        let line = ctx.boxed(Line);
        assert_eq!((&raw const *line).addr() % 64, 0);
        let line = ctx.alloc(Line);
        assert_eq!((&raw const *line).addr() % 64, 0);
        assert_eq!(ctx.alloc_slice_copy(&[Line; 3]).len(), 3);
        assert_eq!((page.0[4095], boxed.0[0]), (1, 2));
        struct Empty;
        impl Drop for Empty {
            fn drop(&mut self) {
                COUNT.set(COUNT.get() + 1);
            }
        }
        thread_local!(static COUNT: Cell<u32> = const { Cell::new(0) });
        let before = COUNT.get();
        let inner = ctx.child("inner");
        inner.alloc(Empty);
        inner.alloc_slice_with(4, |_| Empty);
        drop(inner.boxed(Empty));
        drop(inner);
        assert_eq!(COUNT.get() - before, 6);
        #[repr(align(256))]
        struct Aligned(#[allow(dead_code, reason = "only dropped")] Noted);
        ctx.alloc(Aligned(Noted(1, notes.clone())));
    }
    assert_eq!(ctx.alloc_str(""), "");
    drop(ctx);
    assert_eq!(taken(&notes).len(), 20);
}

#[test]
fn what_is_too_large_is_an_error() {
    let ctx = Context::new("ctx");
    assert_eq!(ctx.try_alloc_with(|| [0u8; 256 << 20]).err(), Some(AllocError::TooLarge));
    assert_eq!(ctx.try_alloc_slice_with(usize::MAX / 4, |_| 0u64).err(), Some(AllocError::TooLarge));
    assert_eq!(
        ctx.try_alloc_slice_with(usize::MAX / 32, |_| String::new()).err(),
        Some(AllocError::TooLarge)
    );
    assert!(ctx.try_alloc_slice_with(if cfg!(miri) { 1 << 11 } else { 1 << 20 }, |_| 0u64).is_ok());
    assert_eq!(ctx.try_pool(usize::MAX).err(), Some(AllocError::TooLarge));
    let mut text = tmempool::CtxVec::new_in(&ctx);
    text.push(0u8);
    assert!(text.try_reserve(256 << 20).is_err());
    assert!(text.try_reserve(usize::MAX).is_err());
    assert_eq!(*text, [0]);
}

#[test]
fn without_memory_nothing_changes() {
    let notes = Notes::default();
    let ctx = Context::new("ctx");
    ctx.alloc(Noted(0, notes.clone()));
    ctx.set_limit(4_000).unwrap();
    let mut kept = 0;
    while let Ok(value) = ctx.try_alloc([1u8; 100]) {
        assert_eq!(value[99], 1);
        kept += 1;
    }
    assert!((25..40).contains(&kept), "{kept} values of 100 bytes in 4000");
    ctx.set_limit(ctx.limit().unwrap().current).unwrap();
    let before = ctx.report().to_string();
    assert!(ctx.try_boxed([0u8; 300]).is_err());
    assert!(ctx.try_child("child").is_err());
    assert!(ctx.try_alloc(Noted(1, notes.clone())).is_ok() || taken(&notes) == [1]);
    assert!(ctx.try_alloc_slice_with(100, |_| -> u64 { panic!("not called") }).is_err());
    assert!(ctx.try_alloc_with(|| -> [u8; 300] { panic!("not called") }).is_err());
    assert_eq!(ctx.report().to_string().lines().count(), before.lines().count());
    let message = panic_of(|| _ = ctx.alloc([0u8; 300]));
    assert_eq!(message, "tmempool: a memory limit would be passed");
}

#[test]
fn collections_grow_in_a_context() {
    let ctx = Context::new("ctx");
    let mut map = hashbrown::HashMap::new_in(&ctx);
    for i in 0..if cfg!(miri) { 50 } else { 1000 } {
        map.insert(i, tmempool::format_in!(&ctx, "number {i}"));
    }
    assert_eq!(map[&49], "number 49");
    let mut pages = tmempool::CtxVec::new_in(&ctx);
    for i in 0..40 {
        pages.push(Page([i; 4096]));
        assert_eq!(pages.as_ptr().addr() % 4096, 0);
    }
    assert!(pages.iter().zip(0..).all(|(page, i)| page.0 == [i; 4096]));
    pages.truncate(3);
    pages.shrink_to_fit();
    assert_eq!(pages[2].0[0], 2);
    let lines: allocator_api2::vec::Vec<Line, _> = allocator_api2::vec::Vec::with_capacity_in(9, &ctx);
    assert!(ctx.report().iter().any(|node| node.name() == "collection"));
    drop((map, pages, lines));
    assert!(ctx.report().iter().all(|node| node.name() != "collection"), "{}", ctx.report());
}

#[test]
fn a_report_is_talloc_s_text() {
    let root = Context::new("root");
    let child = root.child("child");
    child.set_limit(100_000).unwrap();
    let boxed = child.boxed_named(c"boxed", [0u8; 100]);
    let text = root.report().to_string();
    let lines: Vec<&str> = text.lines().collect();
    let size = root.total_size();
    assert_eq!(lines[0], format!("full talloc report on 'root' (total {size:>6} bytes in   3 blocks)"));
    assert!(lines[1].starts_with(&format!("    {:<30} is a memlimit context (max_size = 100000 ", "child")));
    assert!(lines[2].starts_with(&format!("    {:<30} contains ", "child")));
    let address = (&raw const *boxed).addr();
    assert_eq!(
        lines[3],
        format!("        {:<30} contains    100 bytes in   1 blocks (ref 0) {address:#x}", "boxed")
    );
    assert!(root.report_depth(0).to_string().starts_with("talloc report on 'root' (total "));
}
