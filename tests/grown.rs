//! What has grown in room that a larger one has left holds on to no more memory than it has use for.

use std::time::Duration;

use tmempool::{Context, CtxVec};

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
    // Slices of 64 KiB, and what the budget lets stay.
    let most = ROUNDS * 2 * (64 << 10) + (12 << 20);
    assert!(more < most, "{} MiB more are resident", more >> 20);
}
