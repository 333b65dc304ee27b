//! Edges: resets, refusals, limits, forged headers, windows that were opened ahead.

use std::ffi::c_void;
use std::ptr::NonNull;

use tmempool::error::AllocError;
use tmempool::ops;
use tmempool::tree::Chunk;
use tmempool::tree::chunk::HEADER;
use tmempool::tree::pool::{PoolRef, Stats};

use super::{ALONE, Written, bare, free, is_chunk, reset, root};

/// The pool goes to the shared context that `data` is, in the middle of an allocation.
unsafe extern "C" fn move_away(
    ctx: *mut c_void,
    _: usize,
    _: usize,
    _: usize,
    data: *mut c_void,
) -> std::ffi::c_int {
    // SAFETY: live chunks; the calling thread is in no shared context.
    unsafe {
        let (entry, [ctx, to]) = ops::enter([ctx.cast_const(), data]).unwrap();
        let pool = ctx.unwrap().children().next().unwrap();
        ops::steal(to, pool).unwrap();
        drop(entry);
    }
    0
}

#[test]
fn a_pool_that_is_reset_again_and_again_keeps_its_size() {
    let _alone = ALONE.lock();
    // SAFETY: one thread.
    let pool = unsafe { ops::growable_pool(None, 1000, 0).unwrap() };
    let held = || PoolRef::of_chunk(pool).unwrap().bytes_held();
    let mut before = 0;
    for round in 0..if cfg!(miri) { 5 } else { 200 } {
        for i in 0..500 {
            bare(pool, i % 300);
        }
        bare(pool, 1 << 20);
        // SAFETY: one thread, a live pool.
        unsafe {
            if round % 2 == 0 {
                // Not regular: what lies below is freed one by one.
                ops::alloc(Some(pool), 1 << 20).unwrap();
            }
            ops::reset(pool, c"reset".as_ptr()).unwrap();
        }
        if round == 1 {
            before = held();
        }
        assert!(round < 1 || held() == before, "{} bytes, not {before}", held());
    }
    assert!(before < 500 * 300 * 2, "{before}: the large one is still there");
    free(pool);
}

/// What a limit has refused holds nothing in a pool: the room of members comes back with the last of them, and a block
/// that was made for it goes when the pool is emptied.
#[test]
fn what_was_refused_leaves_nothing_behind() {
    let _alone = ALONE.lock();
    for grows in [false, true] {
        // SAFETY: for all of it: one thread, live chunks.
        unsafe {
            let pool = match grows {
                false => ops::pool(None, 1000),
                true => ops::growable_pool(None, 1000, 0),
            }
            .unwrap();
            ops::set_keep(pool, 0);
            let held = || PoolRef::of_chunk(pool).unwrap().bytes_held();
            let before = held();
            ops::set_limit(pool, 1).unwrap();
            for size in [2000, 4 << 20] {
                assert_eq!(ops::bare(pool, size), Err(AllocError::LimitReached));
                assert_eq!(held(), before, "nothing was in the pool");
            }
            let members = [(); 2].map(|()| ops::alloc(Some(pool), 100).unwrap());
            assert_eq!(ops::bare(pool, 2000), Err(AllocError::LimitReached));
            members.into_iter().for_each(free);
            assert_eq!(ops::alloc(Some(pool), 800).map(Chunk::ptr), Ok(members[0].ptr()));
            // What was there before stays.
            let kept = Written::over(bare(pool, 16), 16, 7);
            assert_eq!(ops::bare(pool, 2000), Err(AllocError::LimitReached));
            kept.check();
            ops::free_children(pool, c"free".as_ptr()).unwrap();
            assert_eq!(held(), before);
            free(pool);
        }
    }
}

/// A pool that a limit's function moves to another shared context is that one's, and is left alone.
#[test]
fn a_pool_may_move_away_while_a_limit_is_asked() {
    let _alone = ALONE.lock();
    // SAFETY: for all of it: live chunks; what is shared is entered before.
    unsafe {
        let [from, to] = [c"from", c"to"].map(|name| ops::shared_context(None, name.as_ptr()).unwrap());
        let (entry, ctx) = ops::enter_one(from.ptr()).unwrap();
        let pool = ops::growable_pool(Some(ctx), 1000, 0).unwrap();
        ops::set_limits(ctx, 0, 2000, Some(move_away), to.ptr()).unwrap();
        assert_eq!(ops::bare(pool, 3000), Err(AllocError::LimitReached));
        drop(entry);
        let (entry, pool) = ops::enter_one(pool.ptr()).unwrap();
        assert_eq!((pool.parent(), ops::stats(pool)), (Some(to), Some(Stats::default())));
        drop(entry);
        for context in [from, to] {
            ops::free_anywhere(context, c"here".as_ptr()).unwrap();
        }
    }
}

/// Members are freed down to none again and again; their room must not be given to others while bare bytes are in it.
#[test]
fn members_come_and_go_beside_bare_bytes() {
    let _alone = ALONE.lock();
    // SAFETY: one thread.
    let pool = unsafe { ops::pool(None, 4096).unwrap() };
    let buffer = pool.ptr().addr()..pool.ptr().addr() + 4096;
    let kept: Vec<Written> = (0..10u8).map(|i| Written::over(bare(pool, 100), 100, i)).collect();
    for round in 0..1000u32 {
        // SAFETY: one thread, live chunks.
        let members: Vec<Chunk> = (0..10).map(|_| unsafe { ops::alloc(Some(pool), 150).unwrap() }).collect();
        for &member in &members {
            assert!(
                buffer.contains(&member.ptr().addr()),
                "round {round}: the room of members is used again"
            );
            // SAFETY: the payload.
            unsafe { member.ptr().cast::<u8>().write_bytes(0xff, 150) };
        }
        members.into_iter().for_each(free);
    }
    kept.into_iter().for_each(Written::check);
    free(pool);
}

/// A copy of a live header in bare bytes, with the tag of another place, is no chunk; nor is what a member left there.
#[test]
fn forged_headers_are_no_chunks() {
    let _alone = ALONE.lock();
    // SAFETY: one thread; headers are copied into bare bytes that have room for them.
    unsafe {
        let pool = ops::growable_pool(None, 4096, 0).unwrap();
        let (plain, other) = (root(), ops::growable_pool(None, 4096, 0).unwrap());
        let member = ops::alloc(Some(other), 10).unwrap();
        for chunk in [plain, member] {
            let at = bare(pool, HEADER + 16);
            at.copy_from_nonoverlapping(chunk.address(), HEADER);
            assert!(!is_chunk(at.add(HEADER)), "{chunk:?}");
        }
        let old: Vec<_> = (0..20).map(|_| ops::alloc(Some(pool), 10).unwrap().ptr()).collect();
        ops::reset(pool, c"reset".as_ptr()).unwrap();
        // Bare bytes lie where members were.
        for _ in 0..4096 / 16 {
            bare(pool, 16);
        }
        assert!(old.into_iter().all(|at| !is_chunk(NonNull::new(at).unwrap().cast())));
        for chunk in [pool, plain, other] {
            free(chunk);
        }
    }
}

#[test]
fn what_is_no_pool_is_refused() {
    let _alone = ALONE.lock();
    // SAFETY: one thread, live chunks.
    unsafe {
        let plain = root();
        assert_eq!(ops::bare_quick(plain.ptr(), 1), None);
        assert_eq!(ops::bare(plain, 1), Err(AllocError::Refused));
        let pool = ops::growable_pool(Some(plain), 100, 0).unwrap();
        let member = ops::alloc(Some(pool), 1).unwrap();
        assert_eq!(ops::bare(member, 1), Err(AllocError::Refused));
        assert_eq!(ops::bare(pool, ops::MAX_SIZE), Err(AllocError::TooLarge));
        assert_eq!(ops::bare(pool, usize::MAX), Err(AllocError::TooLarge));
        bare(pool, 1);
        assert_eq!(ops::bare_quick(pool.ptr(), usize::MAX), None);
        assert_eq!(ops::bare_quick(pool.ptr(), usize::MAX - 15), None);
        free(plain);
        assert_eq!(ops::bare_quick(pool.ptr(), 1), None, "the pool is gone");
        assert_eq!(ops::bare_quick(std::ptr::null(), 1), None);
        assert_eq!(ops::bare_quick(std::ptr::without_provenance(usize::MAX), 1), None);
    }
}

/// A pool that had bare bytes and was reset expects some again. If members come first, all its room is theirs.
#[test]
fn members_have_the_room_in_which_bare_bytes_were_expected() {
    let _alone = ALONE.lock();
    // SAFETY: one thread, live chunks.
    unsafe {
        let pool = ops::growable_pool(None, 4096, 0).unwrap();
        let record = PoolRef::of_chunk(pool).unwrap();
        let fill = || {
            let members: Vec<Chunk> = (0..4096 / 208).map(|_| ops::alloc(Some(pool), 150).unwrap()).collect();
            let places: Vec<usize> = members.iter().map(|member| member.ptr().addr()).collect();
            members.into_iter().for_each(free);
            places
        };
        let (places, held) = (fill(), record.bytes_held());
        bare(pool, 1000);
        ops::reset(pool, c"reset".as_ptr()).unwrap();
        assert!(ops::bare_quick(pool.ptr(), 1).is_some(), "at hand after a reset");
        ops::reset(pool, c"reset".as_ptr()).unwrap();
        assert_eq!((fill(), record.bytes_held()), (places, held));
        assert_eq!((record.stats().current, record.stats().peak), (0, 150 * (4096 / 208)));
        // What was emptied as the last member went is whole: it has all its room for bare bytes.
        bare(pool, 4096 - 16);
        assert_eq!(record.bytes_held(), held);
        ops::reset(pool, c"reset".as_ptr()).unwrap();
        // Nor does it stand in the way of bare bytes that it has no room for.
        let large = Written::over(bare(pool, 6000), 6000, 7);
        let small = Written::over(bare(pool, 4096 - 16), 4096 - 16, 8);
        large.check();
        small.check();
        free(pool);
    }
}

/// Where something counts, nothing goes the short way: not even what takes no room.
#[test]
fn what_counts_closes_what_was_opened_ahead() {
    let _alone = ALONE.lock();
    // SAFETY: one thread, live chunks.
    unsafe {
        let top = root();
        let pool = ops::growable_pool(Some(top), 4096, 0).unwrap();
        bare(pool, 100);
        ops::reset(pool, c"reset".as_ptr()).unwrap();
        assert!(ops::bare_quick(pool.ptr(), 0).is_some());
        ops::reset(pool, c"reset".as_ptr()).unwrap();
        ops::set_limit(top, 1 << 20).unwrap();
        let before = top.limit().unwrap().current;
        for size in [0, 1] {
            assert_eq!(ops::bare_quick(pool.ptr(), size), None);
        }
        let far = Written::over(bare(pool, 10_000), 10_000, 1);
        assert!(top.limit().unwrap().current >= before + 10_000);
        ops::reset(pool, c"reset".as_ptr()).unwrap();
        assert_eq!(top.limit().unwrap().current, before);
        assert_eq!(ops::bare_quick(pool.ptr(), 0), None, "it counts still");
        let _ = far;
        free(top);
    }
}

/// New pools are prepared for what the last was used for. Whichever that was, both kinds of use find all the room.
#[test]
fn a_new_pool_serves_what_was_not_expected() {
    let _alone = ALONE.lock();
    // SAFETY: one thread, live chunks.
    unsafe {
        let top = root();
        for round in 0..40 {
            let pool = ops::growable_pool(Some(top), 1024, 0).unwrap();
            let record = PoolRef::of_chunk(pool).unwrap();
            let held = record.bytes_held();
            if round % 4 < 2 {
                bare(pool, 1024 - 16);
            } else {
                ops::alloc(Some(pool), 1024 - HEADER).unwrap();
            }
            assert_eq!(record.bytes_held(), held, "round {round}");
            let stats = record.stats();
            assert_eq!((stats.allocations, stats.frees), (1, 0));
            if round % 3 == 0 {
                free(pool);
            }
        }
        free(top);
    }
}

/// A pool of nothing but bare bytes of its first block is emptied the short way; all else that may be below it, or above,
/// or be said of it, is seen.
#[test]
fn only_what_has_nothing_else_is_emptied_the_short_way() {
    let _alone = ALONE.lock();
    // SAFETY: for all of it: one thread, live chunks.
    unsafe {
        let top = root();
        let pool = ops::growable_pool(Some(top), 4096, 0).unwrap();
        let record = PoolRef::of_chunk(pool).unwrap();
        let first = || bare(pool, 100);
        // Says whether `pool` goes the short way after `change`, and that it does so again when it was emptied.
        let goes_quickly = |change: &dyn Fn()| {
            reset(pool);
            first();
            reset(pool);
            let at = first();
            change();
            let is_quick = reset(pool);
            let stats = record.stats();
            assert_eq!((stats.current, stats.frees), (0, stats.allocations));
            first();
            reset(pool);
            assert_eq!(first(), at, "all its room has come back");
            assert!(reset(pool));
            is_quick
        };
        assert!(goes_quickly(&|| ()));
        assert!(goes_quickly(&|| _ = bare(pool, 3900)));
        assert!(goes_quickly(&|| free(ops::alloc(Some(top), 10).unwrap())));
        assert!(!goes_quickly(&|| _ = bare(pool, 4100)), "a second block");
        assert!(!goes_quickly(&|| _ = bare(pool, 1 << 20)), "large");
        assert!(!goes_quickly(&|| _ = ops::alloc(Some(pool), 10).unwrap()), "a member");
        assert!(!goes_quickly(&|| free(ops::alloc(Some(pool), 10).unwrap())), "there was a member");
        assert!(!goes_quickly(&|| _ = ops::alloc(Some(pool), 8 << 20).unwrap()), "a child from the heap");
        assert!(!goes_quickly(&|| ops::steal(Some(pool), root()).unwrap()), "a child from elsewhere");
        // A pool within a limit does not go the short way.
        first();
        ops::set_limit(top, 1 << 20).unwrap();
        assert!(!reset(pool));
        first();
        assert!(!reset(pool));
        assert_eq!(record.stats().current, 0);
        free(top);
        for wild in [pool.ptr(), std::ptr::null_mut(), std::ptr::without_provenance_mut(usize::MAX)] {
            assert!(!ops::reset_quick(wild));
        }
    }
}
