//! What grows in room that a larger one has left is not copied there, and holds on to no more memory than it has use for.

use std::sync::Mutex;
use std::time::Duration;

use tmempool::{Context, CtxVec};

/// Who has what a large one has left, and how much is resident, is known of one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Resident bytes of this process.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// A vector that has grown by doubling to `len` bytes.
fn grown(ctx: &Context, len: usize) -> CtxVec<'_, u8> {
    let mut vec = CtxVec::new_in(ctx);
    let mut to = 1024;
    while to < len {
        vec.resize(to, 1);
        to *= 2;
    }
    vec.resize(len, 1);
    vec
}

#[test]
#[cfg_attr(miri, ignore = "Miri knows no resident memory")]
fn small_ones_that_follow_large_ones_keep_none_of_their_room() {
    const SMALL: usize = 100_000;
    const LARGE: usize = 4 << 20;
    const ROUNDS: usize = 100;
    let _alone = ALONE.lock();
    let ctx = Context::new("growth");
    let before = resident();
    let kept: Vec<_> = (0..ROUNDS)
        .map(|_| {
            drop(grown(&ctx, LARGE));
            grown(&ctx, SMALL)
        })
        .collect();
    // What the budget of free memory has learned meanwhile, it has forgotten then.
    std::thread::sleep(Duration::from_millis(1100));
    drop(grown(&ctx, LARGE));
    let more = resident() - before;
    assert!(kept.iter().all(|vec| vec.len() == SMALL && vec.iter().all(|&byte| byte == 1)));
    // Slices of 64 KiB, and what the budget lets stay (8 MiB, more for what is fetched again and again).
    let most = ROUNDS * 2 * (64 << 10) + (20 << 20);
    assert!(more < most, "{} MiB more are resident", more >> 20);
}

/// How often `vec` is elsewhere after it was given one of `lens` after the other, and room for no more.
fn moves(vec: &mut CtxVec<'_, u8>, lens: impl IntoIterator<Item = usize>) -> usize {
    let mut moves = 0;
    for len in lens {
        let at = vec.as_ptr();
        vec.truncate(len);
        vec.shrink_to_fit();
        vec.reserve_exact(len - vec.len());
        vec.resize(len, 1);
        moves += usize::from(vec.as_ptr() != at);
    }
    moves
}

#[test]
fn who_grows_after_a_large_one_moves_once() {
    let _alone = ALONE.lock();
    let ctx = Context::new("growth");
    drop(grown(&ctx, 4 << 20));
    let mut next = grown(&ctx, 16_000);
    assert_eq!(moves(&mut next, [20_000, 40_000, 80_000, 160_000, 1 << 20, 3 << 20]), 0);
    // It leaves its place when it becomes small, ...
    assert_eq!(moves(&mut next, [20_000, 12_000]), 1);
    drop(next);
    // ... but not when it becomes a little smaller, nor each time that it does.
    let mut next = grown(&ctx, 16_000);
    assert_eq!(moves(&mut next, [10_000, 16_000].into_iter().cycle().take(100)), 0);
    assert_eq!(moves(&mut next, [3_000]), 1);
}
