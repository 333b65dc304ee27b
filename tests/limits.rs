//! Limits, and functions that have their say where an allocation would pass one: what they may do in the middle of it.
//!
//! Attacks: limits that are passed or refuse too early; a soft limit that is told twice; a say that frees what the
//! allocation is for, resets its pool, allocates itself, raises or removes the limit, or frees the tree above.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr;

use tmempool::error::AllocError;
use tmempool::ops;
use tmempool::tree::Chunk;

/// What a say sees and does.
struct Script {
    calls: Cell<usize>,
    soft_calls: Cell<usize>,
    soft: usize,
    act: Box<dyn Fn(Chunk, usize) -> c_int>,
}

unsafe extern "C" fn say(
    ctx: *mut c_void,
    used: usize,
    wanted: usize,
    limit: usize,
    data: *mut c_void,
) -> c_int {
    // SAFETY: set with this data, in this thread.
    let (script, chunk) = unsafe { (&*data.cast::<Script>(), Chunk::check(ctx).unwrap()) };
    assert!(used + wanted > limit);
    assert_eq!(chunk.limit().unwrap().current, used);
    if limit == script.soft {
        script.soft_calls.set(script.soft_calls.get() + 1);
        return 0;
    }
    script.calls.set(script.calls.get() + 1);
    (script.act)(chunk, wanted)
}

/// A context of 10,000 bytes at most, told from 5,000 on, whose say does `act`.
fn limited(parent: Option<Chunk>, act: impl Fn(Chunk, usize) -> c_int + 'static) -> (Chunk, &'static Script) {
    let script = Box::leak(Box::new(Script {
        calls: Cell::new(0),
        soft_calls: Cell::new(0),
        soft: 5000,
        act: Box::new(act),
    }));
    // SAFETY: one thread; the script lives for ever.
    unsafe {
        let ctx = ops::alloc(parent, 0).unwrap();
        ops::set_limits(ctx, 5000, 10_000, Some(say), ptr::from_ref(script).cast_mut().cast()).unwrap();
        (ctx, script)
    }
}

fn alloc(parent: Chunk, size: usize) -> Result<Chunk, AllocError> {
    // SAFETY: one thread, a live parent.
    unsafe { ops::alloc(Some(parent), size) }
}

fn free(chunk: Chunk) {
    // SAFETY: one thread, a live chunk.
    unsafe { ops::free(chunk, ptr::null()).unwrap() };
}

#[test]
fn the_soft_limit_is_told_once_for_each_crossing() {
    let (ctx, script) = limited(None, |_, _| -1);
    let first = alloc(ctx, 4000).unwrap();
    assert_eq!(script.soft_calls.get(), 0);
    let second = alloc(ctx, 2000).unwrap();
    let third = alloc(ctx, 500).unwrap();
    assert_eq!((script.soft_calls.get(), script.calls.get()), (1, 0));
    free(second);
    assert_eq!(alloc(ctx, 100).map(|_| script.soft_calls.get()), Ok(1));
    free(third);
    let _ = alloc(ctx, 4000).unwrap();
    assert_eq!(script.soft_calls.get(), 2);
    assert_eq!(alloc(ctx, 4000), Err(AllocError::LimitReached));
    assert_eq!(script.calls.get(), 1);
    free(first);
    free(ctx);
}

#[test]
fn a_say_frees_what_it_can_spare_one_by_one() {
    // The oldest child goes with each call: a cache that is trimmed.
    let (ctx, script) = limited(None, |ctx, _| {
        let children: Vec<Chunk> = ctx.children().collect();
        // SAFETY: one thread, live chunks.
        let freed = children.iter().rev().any(|&oldest| unsafe { ops::free(oldest, ptr::null()).is_ok() });
        if freed { 0 } else { -1 }
    });
    for i in 0..1000 {
        let _ = alloc(ctx, 300).unwrap_or_else(|e| panic!("{e:?} at {i}"));
        assert!(ctx.limit().unwrap().current <= 10_000);
    }
    let calls = script.calls.get();
    assert!(calls > 900 && calls < 1000, "{calls}");
    // One that is larger than all together: everything goes, and it is refused.
    assert_eq!(alloc(ctx, 10_000), Err(AllocError::LimitReached));
    assert!(ctx.children().next().is_none());
    // A chunk that grows is asked for, too, and what it holds is kept.
    let chunk = alloc(ctx, 4000).unwrap();
    let _ = alloc(ctx, 3000).unwrap();
    let grown = alloc(chunk, 1000).unwrap();
    // SAFETY: one thread, a live chunk.
    unsafe {
        assert_eq!(ops::realloc(chunk, 9000).err(), Some(AllocError::LimitReached));
        assert_eq!(chunk.size(), 4000);
        assert!(Chunk::check(grown.ptr()).is_ok(), "what is being resized cannot be freed");
        let moved = ops::realloc(chunk, 6000).unwrap().0;
        assert_eq!((moved.size(), grown.parent()), (6000, Some(moved)));
    }
    free(ctx);
}

#[test]
fn a_say_may_raise_the_limit_or_take_it_away() {
    let (ctx, script) = limited(None, |ctx, wanted| {
        // SAFETY: one thread, a live chunk.
        unsafe {
            let limit = ctx.limit().unwrap();
            ops::set_limit(ctx, limit.max + wanted).unwrap();
        }
        0
    });
    for _ in 0..100 {
        alloc(ctx, 1000).unwrap();
    }
    assert!(script.calls.get() > 80);
    free(ctx);
    let (ctx, script) = limited(None, |ctx, _| {
        // SAFETY: one thread, a live chunk.
        unsafe { ops::set_limits(ctx, 0, 0, None, ptr::null_mut()).unwrap() };
        0
    });
    alloc(ctx, 100_000).unwrap();
    alloc(ctx, 100_000).unwrap();
    assert_eq!(script.calls.get(), 1);
    free(ctx);
}

#[test]
fn a_say_that_promises_and_does_not_keep_it_is_asked_once() {
    let (ctx, script) = limited(None, |_, _| 0);
    assert_eq!(alloc(ctx, 20_000), Err(AllocError::LimitReached));
    assert_eq!(script.calls.get(), 1);
    free(ctx);
}

#[test]
fn a_say_is_not_asked_from_within_itself() {
    let (ctx, script) = limited(None, |ctx, _| {
        assert_eq!(alloc(ctx, 20_000), Err(AllocError::LimitReached));
        alloc(ctx, 10).map_or(-1, |_| -1)
    });
    assert_eq!(alloc(ctx, 20_000), Err(AllocError::LimitReached));
    assert_eq!(script.calls.get(), 1);
    free(ctx);
}

#[test]
fn two_says_that_hinder_each_other_come_to_an_end() {
    // Each frees what lies below itself, and allocates below the other.
    let inner = Box::leak(Box::new(Cell::new(None::<Chunk>)));
    let inner: &'static Cell<Option<Chunk>> = inner;
    let (outer, _) = limited(None, |ctx, _| {
        // SAFETY: one thread, a live chunk.
        unsafe { ops::free_children(ctx, ptr::null()).unwrap() };
        0
    });
    let (ctx, script) = limited(Some(outer), move |ctx, _| {
        // SAFETY: one thread, live chunks.
        unsafe { ops::free_children(ctx, ptr::null()).unwrap() };
        let _ = inner.get().map(|other| alloc(other, 3000));
        0
    });
    inner.set(Some(outer));
    for _ in 0..100 {
        let _ = alloc(ctx, 3000);
    }
    assert!(script.calls.get() < 200_000);
    free(ctx);
    free(outer);
}

#[test]
fn what_an_allocation_is_for_outlives_its_say() {
    // SAFETY: for all of it: one thread; live chunks, and addresses that may be asked about.
    unsafe {
        // The whole tree above is freed: the parent and the chunk with the limit live on.
        let top = ops::alloc(None, 0).unwrap();
        let (ctx, script) = limited(Some(top), move |_, _| ops::free(top, ptr::null()).map_or(-1, |()| 0));
        let parent = alloc(ctx, 100).unwrap();
        let sibling = alloc(ctx, 9000).unwrap();
        assert_eq!(alloc(parent, 5000), Err(AllocError::LimitReached), "nothing below it was freed");
        assert_eq!(script.calls.get(), 1);
        assert!(Chunk::check(top.ptr()).is_err());
        assert!(Chunk::check(parent.ptr()).is_ok() && Chunk::check(ctx.ptr()).is_ok());
        assert_eq!((ctx.parent(), parent.parent(), sibling.parent()), (None, Some(ctx), Some(ctx)));
        free(ctx);

        // Everything below the limit is freed, the pool that the parent lies in is reset, in one go.
        let (ctx, _) = limited(None, |ctx, _| {
            for pool in ctx.children().collect::<Vec<_>>() {
                ops::reset(pool, ptr::null()).unwrap();
            }
            0
        });
        let pool = ops::growable_pool(Some(ctx), 1000, 2000).unwrap();
        for i in 0..500 {
            alloc(pool, 100 + i % 300).unwrap();
        }
        let parent = alloc(pool, 8).unwrap();
        for i in 0..500 {
            let child = alloc(parent, 100 + i % 300).unwrap();
            assert_eq!(child.parent(), Some(parent));
            if Chunk::check(parent.ptr()).is_err() {
                panic!("the parent was freed under an allocation");
            }
            if parent.parent() != Some(pool) {
                break;
            }
        }
        free(ctx);

        // The parent is moved away, out of the limit: then nothing is in the way.
        let away = ops::alloc(None, 0).unwrap();
        let (ctx, script) = limited(None, move |ctx, _| {
            ops::steal(Some(away), ctx.children().next().unwrap()).map_or(-1, |()| -1)
        });
        let parent = alloc(ctx, 100).unwrap();
        assert_eq!(alloc(parent, 20_000), Err(AllocError::LimitReached));
        assert_eq!(parent.parent(), Some(away));
        alloc(parent, 20_000).unwrap();
        assert_eq!(script.calls.get(), 1);
        free(ctx);
        free(away);
    }
}
