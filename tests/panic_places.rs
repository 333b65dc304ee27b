//! A panic for want of memory, or for a wrong call, names the line that asked, not one of the library's.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, Location};

use tmempool::{Context, CtxString};

thread_local! {
    static PLACE: Cell<Option<(bool, u32)>> = const { Cell::new(None) };
}

/// `wrong` panics, and says that it was on the caller's line.
#[track_caller]
fn panics_here<R>(wrong: impl FnOnce() -> R) {
    PLACE.set(None);
    let result = panic::catch_unwind(AssertUnwindSafe(wrong));
    assert!(result.is_err(), "it should panic");
    assert_eq!(PLACE.get(), Some((true, Location::caller().line())));
}

#[test]
fn a_panic_names_the_line_that_asked() {
    panic::set_hook(Box::new(|info| {
        PLACE.set(info.location().map(|at| (at.file() == file!(), at.line())));
        eprintln!("{info}");
    }));
    let ctx = Context::new("full");
    ctx.set_limit(1).unwrap();
    let (text, bytes, room) = ("x".repeat(100_000), vec![0_u8; 100_000], 1 << 20);

    panics_here(|| ctx.alloc([0_u8; 100_000])[0]);
    panics_here(|| ctx.alloc([const { String::new() }; 5000]).len());
    panics_here(|| ctx.alloc_with(|| [0_u8; 100_000])[0]);
    panics_here(|| ctx.alloc_no_drop([0_u8; 100_000])[0]);
    panics_here(|| ctx.alloc_str(&text).len());
    panics_here(|| ctx.alloc_slice_copy(&bytes).len());
    panics_here(|| ctx.alloc_slice_with(100_000, |i| i as u8).len());
    panics_here(|| drop(ctx.boxed([0_u8; 100_000])));
    panics_here(|| drop(ctx.boxed_named(c"page", [0_u8; 100_000])));
    panics_here(|| drop(ctx.child("below")));
    panics_here(|| drop(ctx.pool(room)));
    panics_here(|| drop(ctx.pool_named("pool", room)));
    panics_here(|| drop(ctx.growing_pool(room, room)));
    panics_here(|| drop(ctx.growing_pool_named("pool", room, room)));
    panics_here(|| drop(ctx.cache::<u64>("cache")));
    panics_here(|| drop(ctx.mempool::<u64>("reserve", 2)));
    panics_here(|| drop(ctx.genpool("range", 6)));
    panics_here(|| drop(ctx.share([0_u8; 100_000])));
    panics_here(|| drop(CtxString::from_str_in(&text, &ctx)));
    panics_here(|| CtxString::new_in(&ctx).push_str(&text));

    // Moved where there is no room; the value is small enough to lie in its context's blocks.
    while ctx.try_alloc(7_u64).is_ok() {}
    let other = Context::new("other");
    panics_here(|| drop(other.boxed(7_u64).move_to(&ctx)));
    // Below itself: a handle leads there.
    let outer = Context::new("outer");
    let inner = outer.handle_child("inner");
    panics_here(|| inner.get().map(|inner| drop(outer.move_to(&inner))));
}
