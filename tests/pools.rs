//! Pools in the long run: freed room is used again, so that a pool with little alive never runs dry; a pool that is
//! emptied keeps what it may; what died in a reset is known to be dead.
//!
//! Attacks: room that is lost for good (in bins, in padding, between members), fragments that are never joined,
//! members that overlap, blocks that are kept or given back against the limit, pointers from before a reset that
//! pass for alive, chunks that a reset must not take along.

mod random;

use std::ffi::{c_int, c_void};
use std::ptr;

use random::Rng;
use tmempool::error::Fault;
use tmempool::ops;
use tmempool::tree::Chunk;
use tmempool::tree::chunk::HEADER;
use tmempool::tree::pool::PoolRef;

fn alloc(parent: Chunk, size: usize) -> Chunk {
    // SAFETY: one thread, a live parent.
    unsafe { ops::alloc(Some(parent), size).unwrap() }
}

fn free(chunk: Chunk) {
    // SAFETY: one thread, a live chunk.
    unsafe { ops::free(chunk, c"here".as_ptr()).unwrap() }
}

fn reset(chunk: Chunk) {
    // SAFETY: one thread, a live chunk.
    unsafe { ops::reset(chunk, c"reset".as_ptr()).unwrap() }
}

fn check(at: *const c_void) -> Result<Chunk, Fault> {
    // SAFETY: one thread; any address may be asked about.
    unsafe { Chunk::check(at) }
}

fn bytes_held(pool: Chunk) -> usize {
    PoolRef::of_chunk(pool).unwrap().bytes_held()
}

/// Writes over the whole payload, and says what must be there later.
fn fill(chunk: Chunk, seed: u8) -> (Chunk, u8) {
    // SAFETY: the payload.
    unsafe { chunk.ptr().cast::<u8>().write_bytes(seed, chunk.size()) };
    (chunk, seed)
}

fn is_whole((chunk, seed): (Chunk, u8)) -> bool {
    // SAFETY: the payload, written by `fill`.
    unsafe { std::slice::from_raw_parts(chunk.ptr().cast::<u8>(), chunk.size()) }.iter().all(|&b| b == seed)
}

/// What a program does with a pool that has little alive.
struct Load {
    room: usize,
    /// The most that is alive at a time, headers included.
    alive: usize,
    /// Sizes are below this.
    size: usize,
    steps: usize,
}

/// Runs random allocations, frees and reallocs. Returns how many chunks came from beyond the buffer.
fn escapes(load: &Load, seed: u64) -> usize {
    let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    // SAFETY: one thread.
    let pool = unsafe { ops::pool(None, load.room).unwrap() };
    // A payload of no bytes may lie at the very end.
    let buffer = pool.ptr().addr()..=pool.ptr().addr() + load.room;
    let mut members: Vec<(Chunk, u8)> = Vec::new();
    let mut alive = 0;
    let mut escapes = 0;
    for step in 0..load.steps {
        let size = rng.below(load.size);
        let grows = alive + size + HEADER + 15 <= load.alive;
        match rng.below(8) {
            0 if !members.is_empty() => {
                let i = rng.below(members.len());
                let (chunk, byte) = members[i];
                let new = size.min(chunk.size().max(1));
                assert!(is_whole((chunk, byte)));
                // SAFETY: one thread, a live chunk.
                let (moved, _) = unsafe { ops::realloc(chunk, new.max(1)).unwrap() };
                members[i] = fill(moved, byte);
                alive = members.iter().map(|(c, _)| c.size() + HEADER + 15).sum();
            }
            1..=4 if grows => {
                let chunk = alloc(pool, size);
                escapes += usize::from(!buffer.contains(&chunk.ptr().addr()));
                members.push(fill(chunk, step as u8));
                alive += size + HEADER + 15;
            }
            _ if !members.is_empty() => {
                let (chunk, byte) = members.swap_remove(rng.below(members.len()));
                assert!(is_whole((chunk, byte)), "{chunk:?} was written over");
                alive -= chunk.size() + HEADER + 15;
                free(chunk);
            }
            _ => {}
        }
    }
    free(pool);
    escapes
}

#[test]
fn a_pool_with_little_alive_never_runs_dry() {
    let steps = if cfg!(miri) { 500 } else { 600_000 };
    for seed in 1..=if cfg!(miri) { 1 } else { 4 } {
        for (alive, size) in [(8 << 10, 200), (16 << 10, 1000), (16 << 10, 4000), (4 << 10, 60)] {
            let load = Load { room: 100 << 10, alive, size, steps };
            assert_eq!(escapes(&load, seed), 0, "seed {seed}: {alive} bytes alive, sizes below {size}");
        }
    }
}

#[test]
fn a_small_pool_with_one_that_stays_never_runs_dry() {
    let mut rng = Rng(7);
    // SAFETY: one thread.
    let pool = unsafe { ops::pool(None, 2048).unwrap() };
    // A payload of no bytes may lie at the very end.
    let buffer = pool.ptr().addr()..=pool.ptr().addr() + 2048;
    let first = alloc(pool, 100);
    let stays = fill(alloc(pool, 100), 7);
    free(first);
    for _ in 0..if cfg!(miri) { 100 } else { 1_000_000 } {
        let (a, b) = (alloc(pool, rng.below(300)), alloc(pool, rng.below(300)));
        assert!(buffer.contains(&a.ptr().addr()) && buffer.contains(&b.ptr().addr()));
        free(a);
        free(b);
    }
    assert!(is_whole(stays));
    free(pool);
}

#[test]
fn what_is_freed_side_by_side_is_joined() {
    // SAFETY: one thread.
    let pool = unsafe { ops::pool(None, 64 << 10).unwrap() };
    let small: Vec<Chunk> = (0..64 << 10).step_by(64).map(|_| alloc(pool, 16)).collect();
    let buffer = small[0].ptr().addr()..pool.ptr().addr() + (64 << 10);
    // The last stays, so that nothing comes back at the end.
    for chunk in &small[..small.len() - 1] {
        free(*chunk);
    }
    let large = alloc(pool, 60 << 10);
    assert!(buffer.contains(&large.ptr().addr()));
    free(pool);
}

#[test]
fn a_growable_pool_grows_by_doubling_and_keeps_its_room() {
    // SAFETY: one thread.
    let pool = unsafe { ops::growable_pool(None, 1 << 10, 64 << 10).unwrap() };
    let fill_up = |n: usize| (0..n).map(|i| alloc(pool, 50 + i % 50).ptr()).collect::<Vec<_>>();
    let first = fill_up(5000);
    let grown = bytes_held(pool);
    assert!(grown > 5000 * (HEADER + 50) && grown < 5000 * (HEADER + 100) + (80 << 10), "{grown}");
    for _ in 0..10 {
        reset(pool);
        assert!(pool.children().next().is_none());
        assert_eq!(bytes_held(pool), grown);
        for &at in &first {
            assert!(matches!(check(at), Err(Fault::Freed { .. })), "passes for alive");
        }
        assert_eq!(fill_up(5000), first, "the same room, in the same order");
        assert_eq!(bytes_held(pool), grown);
    }
    // One by one, it keeps its room as well.
    while let Some(child) = pool.children().next() {
        free(child);
    }
    assert_eq!(bytes_held(pool), grown);
    free(pool);
}

#[test]
fn a_limit_says_how_much_a_pool_keeps() {
    // SAFETY: one thread.
    let pool = unsafe { ops::growable_pool(None, 4 << 10, 32 << 10).unwrap() };
    let small = bytes_held(pool);
    let fill_up = || (0..5000).for_each(|_| _ = alloc(pool, 100));
    fill_up();
    let grown = bytes_held(pool);
    for keep in [grown, grown / 2, grown / 3, 40 << 10, small, 0, usize::MAX] {
        // SAFETY: one thread, a live pool.
        unsafe { assert!(ops::set_keep(pool, keep)) };
        reset(pool);
        let held = bytes_held(pool);
        assert!(held <= keep.max(small) && held + (65 << 10) > keep.min(grown), "{held} for {keep}");
        fill_up();
    }
    reset(pool);
    assert!(bytes_held(pool) > grown / 2);
    // SAFETY: one thread, a live pool.
    unsafe { assert!(ops::set_keep(pool, 0)) };
    assert_eq!(bytes_held(pool), small, "a lower limit holds at once");
    free(pool);
}

#[test]
fn a_fixed_pool_keeps_what_was_asked_for() {
    // SAFETY: one thread.
    let pool = unsafe { ops::pool(None, 10 << 10).unwrap() };
    let small = bytes_held(pool);
    for _ in 0..3 {
        let first = alloc(pool, 100).ptr();
        (0..1000).for_each(|_| _ = alloc(pool, 100));
        assert!(bytes_held(pool) > 100_000);
        reset(pool);
        assert_eq!(bytes_held(pool), small);
        assert!(matches!(check(first), Err(Fault::Freed { .. })));
        assert_eq!(alloc(pool, 1).ptr(), first);
        reset(pool);
    }
    free(pool);
}

#[test]
fn large_ones_come_from_the_heap_and_go_with_a_reset() {
    // SAFETY: one thread.
    let pool = unsafe { ops::growable_pool(None, 4 << 10, 64 << 10).unwrap() };
    for _ in 0..10 {
        let before = bytes_held(pool);
        let large = alloc(pool, 100_000);
        assert_eq!(bytes_held(pool), before);
        let small = alloc(large, 10);
        reset(pool);
        assert!(check(large.ptr()).is_err() && check(small.ptr()).is_err());
    }
    assert!(PoolRef::of_chunk(pool).unwrap().is_regular(), "emptied, it is as new");
    free(pool);
}

#[test]
fn the_name_of_a_pool_outlives_a_reset() {
    for before in [0, 10] {
        // SAFETY: one thread.
        unsafe {
            let pool = ops::growable_pool(None, 1 << 10, 0).unwrap();
            (0..before).for_each(|_| _ = alloc(pool, 10));
            let name = alloc(pool, 6);
            name.ptr().cast::<u8>().copy_from(c"named".as_ptr().cast(), 6);
            pool.set_name(name.ptr().cast());
            for _ in 0..3 {
                (0..1000).for_each(|_| _ = alloc(pool, 100));
                reset(pool);
                assert_eq!(std::ffi::CStr::from_ptr(pool.name()), c"named");
                assert_eq!(pool.children().collect::<Vec<_>>(), [name]);
                assert_eq!(check(name.ptr()), Ok(name));
            }
            free(pool);
        }
    }
}

unsafe extern "C" fn refuse(_: *mut c_void) -> c_int {
    -1
}

#[test]
fn a_reset_is_a_free_of_the_children() {
    // SAFETY: one thread; live chunks.
    unsafe {
        let top = ops::alloc(None, 0).unwrap();
        let other = alloc(top, 10);
        let pool = ops::growable_pool(Some(top), 4 << 10, 0).unwrap();
        for _ in 0..3 {
            // Moved out, it lives on; moved in, it goes; what refuses goes to the pool's parent; what is referenced to
            // its other owner.
            let out = fill(alloc(pool, 100), 3);
            ops::steal(Some(other), out.0).unwrap();
            let inside = alloc(other, 100);
            let below = alloc(inside, 10);
            ops::steal(Some(alloc(pool, 1)), inside).unwrap();
            let refuses = fill(alloc(pool, 100), 4);
            ops::set_destructor(refuses.0, Some(refuse)).unwrap();
            let kept = fill(alloc(alloc(pool, 1), 100), 5);
            ops::reference(Some(other), kept.0, ptr::null()).unwrap();
            let plain: Vec<_> = (0..100).map(|_| alloc(pool, 100).ptr()).collect();
            reset(pool);
            assert!(pool.children().next().is_none());
            assert!(is_whole(out) && is_whole(refuses) && is_whole(kept));
            assert_eq!(refuses.0.parent(), Some(top));
            assert_eq!(kept.0.parent(), Some(other));
            assert!(check(inside.ptr()).is_err() && check(below.ptr()).is_err());
            for at in plain {
                assert!(check(at).is_err());
            }
            // The room of those that live is not given out.
            (0..200).for_each(|i| _ = fill(alloc(pool, 100), i as u8));
            assert!(is_whole(out) && is_whole(refuses) && is_whole(kept));
            reset(pool);
            assert!(is_whole(out) && is_whole(refuses) && is_whole(kept));
            ops::set_destructor(refuses.0, None).unwrap();
            free(refuses.0);
            free(kept.0);
            free(out.0);
            reset(pool);
            assert!(PoolRef::of_chunk(pool).unwrap().is_regular(), "emptied, it is as new");
        }
        // Any context can be reset.
        let child = alloc(other, 10);
        reset(other);
        assert!(check(child.ptr()).is_err() && check(other.ptr()).is_ok());
        assert!(!ops::set_keep(other, 0));
        free(top);
    }
}

/// Small pools lie in slots; those from 2 KiB on have a slice to themselves, as long as there are few.
#[test]
fn members_go_the_short_way_of_their_block() {
    // Everywhere else, and under Valgrind, a pool has no members.
    if cfg!(miri) {
        return;
    }
    // SAFETY: one thread, live chunks; any address may be asked about.
    unsafe {
        let in_slot = ops::pool(None, 500).unwrap();
        let alone = ops::pool(None, 5000).unwrap();
        let (slot, slice) = (alloc(in_slot, 10), alloc(alone, 10));
        let all = |member: Chunk| {
            let quick = Chunk::check_quick(member.ptr()) == Some(member);
            let by_block = Chunk::check_member(member.ptr()) == Some(member);
            let named = Chunk::check_member_name(member.ptr(), c"name".as_ptr());
            (quick, by_block, named)
        };
        const NAME: &std::ffi::CStr = c"name";
        let is_named = |member: Chunk| {
            member.set_name(NAME.as_ptr());
            Chunk::check_member_name(member.ptr(), NAME.as_ptr())
        };
        assert_eq!(all(slot), (false, true, false));
        assert_eq!(all(slice), (true, true, false));
        assert!(is_named(slot) && is_named(slice));
        for member in [slot, slice] {
            free(member);
            assert_eq!(all(member), (false, false, false));
        }
        free(in_slot);
        free(alone);
    }
}
