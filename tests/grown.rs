//! What grows in room that a larger one has left is not copied there, and holds on to no more memory than it has use for.

use std::sync::Mutex;
use std::time::Duration;

use tmempool::{Context, CtxVec, mem};

/// Who has what a large one has left, and how much is resident, is known of one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// So many small ones are kept.
const ROUNDS: usize = 100;

/// Resident bytes of this process.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Has room for `len` bytes, and no more.
fn set_len(vec: &mut CtxVec<'_, u8>, len: usize) {
    vec.truncate(len);
    vec.shrink_to_fit();
    vec.reserve_exact(len - vec.len());
    vec.resize(len, 1);
}

/// A vector that has grown by doubling to `len` bytes.
fn grown(ctx: &Context, len: usize) -> CtxVec<'_, u8> {
    let mut vec = CtxVec::new_in(ctx);
    let mut to = 1024;
    while to < len {
        set_len(&mut vec, to);
        to *= 2;
    }
    set_len(&mut vec, len);
    vec
}

/// Keeps small ones, each of which has grown to a number of bytes and shrunk to another after a large one had gone. How many
/// bytes more are resident?
fn held(grow_to: usize, shrink_to: usize) -> usize {
    // Little of the huge page that it ends in.
    const LARGE: usize = 2_100_000;
    let ctx = Context::new("growth");
    mem::threads::release_free_memory();
    let before = resident();
    let kept: Vec<_> = (0..ROUNDS)
        .map(|_| {
            drop(grown(&ctx, LARGE));
            let mut small = grown(&ctx, grow_to);
            set_len(&mut small, shrink_to);
            small
        })
        .collect();
    // What the budget of free memory has learned meanwhile, it has forgotten then.
    std::thread::sleep(Duration::from_millis(1100));
    drop(grown(&ctx, LARGE));
    let more = resident() - before;
    assert!(kept.iter().all(|vec| vec.len() == shrink_to && vec.iter().all(|&byte| byte == 1)));
    more
}

#[test]
#[cfg_attr(miri, ignore = "Miri knows no resident memory")]
fn small_ones_that_follow_large_ones_keep_none_of_their_room() {
    let _alone = ALONE.lock();
    for (grow_to, shrink_to) in [(100_000, 100_000), (60_000, 60_000), (60_000, 5_000), (20_000, 20_000)] {
        let more = held(grow_to, shrink_to);
        // Slots of twice the size, or slices of 64 KiB, and what the budget lets stay.
        let most = ROUNDS * 2 * shrink_to.min(64 << 10) + (12 << 20);
        assert!(more < most, "{grow_to} {shrink_to}: {} MiB more are resident", more >> 20);
    }
}

#[test]
#[cfg_attr(miri, ignore = "what Miri runs with lies in malloc's blocks")]
fn what_grows_after_a_large_one_is_not_copied_on_its_way() {
    let _alone = ALONE.lock();
    let ctx = Context::new("growth");
    drop(grown(&ctx, 4 << 20));
    let mut next = grown(&ctx, 16_000);
    let at = next.as_ptr();
    for len in [20_000, 40_000, 80_000, 160_000, 1 << 20, 3 << 20] {
        set_len(&mut next, len);
        assert_eq!(next.as_ptr(), at, "{len}");
    }
    // When it is small again, it leaves what is meant for large ones.
    set_len(&mut next, 20_000);
    assert_ne!(next.as_ptr(), at);
}

/// Blocks that grow into what larger ones have left hold no more of that than is soon used again, though larger ones are made
/// anew all the time.
#[test]
#[cfg_attr(miri, ignore = "Miri knows no resident memory")]
fn many_that_grow_a_little_do_not_hold_what_large_ones_have_left() {
    const BLOCKS: usize = 40;
    const GROWN: usize = 300_000;
    let _alone = ALONE.lock();
    let ctx = Context::new("growth");
    mem::threads::release_free_memory();
    let before = resident();
    for round in 0..10 {
        let kept: Vec<_> = (0..BLOCKS)
            .map(|_| {
                let vec = grown(&ctx, GROWN);
                for bytes in [20, 30_000, 5_000_000] {
                    let mut one = CtxVec::new_in(&ctx);
                    one.resize(bytes, 1_u8);
                }
                vec
            })
            .collect();
        let more = resident() - before;
        // Each in whole slices; what the budget lets stay; four that may yet grow.
        let most = BLOCKS * (GROWN + (64 << 10)) + (12 << 20) + 4 * 5_000_000;
        assert!(more < most, "round {round}: {} MiB more are resident", more >> 20);
        drop(kept);
    }
}

/// The system takes no locked memory back. What is behind a block that shrinks stays there then: the block can grow into it, and
/// it is given back later.
#[test]
#[cfg_attr(miri, ignore = "Miri locks no memory")]
fn what_is_locked_behind_a_block_is_not_lost() {
    let _alone = ALONE.lock();
    let ctx = Context::new("growth");
    let mut vec = grown(&ctx, 3_000_000);
    let locked = (vec.as_ptr().cast(), vec.len());
    // SAFETY: memory that is there; what it holds does not change.
    if unsafe { libc::mlock(locked.0, locked.1) } != 0 {
        eprintln!("skipped: memory that is locked (`ulimit -l`)");
        return;
    }
    mem::threads::release_free_memory();
    let before = resident();
    set_len(&mut vec, 1_000_000);
    assert_eq!(vec.as_ptr().cast(), locked.0);
    assert!(resident() + (1 << 20) > before, "it is locked");
    set_len(&mut vec, 2_500_000);
    set_len(&mut vec, 1_000_000);
    assert_eq!(vec.as_ptr().cast(), locked.0);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::munlock(locked.0, locked.1) }, 0);
    mem::threads::release_free_memory();
    assert!(resident() + (1 << 20) < before, "it has been given back");
    assert!(vec.iter().all(|&byte| byte == 1));
}

/// Guests that outgrow their mapping, at once, keep their contents.
#[test]
fn a_small_one_becomes_larger_than_what_it_was_given() {
    let _alone = ALONE.lock();
    let ctx = Context::new("growth");
    for len in [5 << 20, 100 << 20] {
        drop(grown(&ctx, 4 << 20));
        let mut next = grown(&ctx, 16_000);
        next.reserve_exact(len - next.len());
        assert!(next.iter().all(|&byte| byte == 1));
        next.resize(if cfg!(miri) { 20_000 } else { len }, 2);
        assert!(next[16_000..].iter().all(|&byte| byte == 2));
    }
}
