//! Values that live as long as their arena.

use std::hint::black_box;

use tmempool::Context;

use super::Way;

/// A thousand objects in room that is taken ahead and used again and again.
pub(super) fn pool_ways(times: usize) -> Vec<Way> {
    const OBJECTS: usize = 1000;
    type Object = [usize; 5];
    const ROOM: usize = OBJECTS * size_of::<Object>() * 2;
    let server: &'static Context = Box::leak(Box::new(Context::new("server")));
    vec![
        (
            "Pool",
            Box::new(move || {
                let mut pool = server.pool(ROOM);
                for _ in 0..times {
                    for i in 0..OBJECTS {
                        black_box(pool.alloc::<Object>([i; 5]));
                    }
                    pool.reset();
                }
                times * OBJECTS
            }),
        ),
        (
            "bumpalo",
            Box::new(move || {
                let mut bump = bumpalo::Bump::with_capacity(ROOM);
                for _ in 0..times {
                    for i in 0..OBJECTS {
                        black_box(bump.alloc::<Object>([i; 5]));
                    }
                    bump.reset();
                }
                times * OBJECTS
            }),
        ),
        (
            "Box",
            Box::new(move || {
                let mut kept = Vec::with_capacity(OBJECTS);
                for _ in 0..times {
                    for i in 0..OBJECTS {
                        kept.push(black_box(Box::<Object>::new([i; 5])));
                    }
                    kept.clear();
                }
                times * OBJECTS
            }),
        ),
    ]
}

/// A thousand values that have a `drop` to be run.
pub(super) fn owned_ways(times: usize) -> Vec<Way> {
    const VALUES: usize = 1000;
    thread_local!(static DROPPED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });
    struct Value(#[allow(dead_code, reason = "weight")] [usize; 3]);
    impl Drop for Value {
        fn drop(&mut self) {
            DROPPED.set(DROPPED.get() + 1);
        }
    }
    vec![
        (
            "Context",
            Box::new(move || {
                for _ in 0..times {
                    let ctx = Context::new("values");
                    for i in 0..VALUES {
                        black_box(ctx.alloc(Value([i; 3])));
                    }
                }
                times * VALUES
            }),
        ),
        (
            "typed-arena",
            Box::new(move || {
                for _ in 0..times {
                    let arena = typed_arena::Arena::new();
                    for i in 0..VALUES {
                        black_box(arena.alloc(Value([i; 3])));
                    }
                }
                times * VALUES
            }),
        ),
        (
            "Box",
            Box::new(move || {
                for _ in 0..times {
                    let mut kept = Vec::new();
                    for i in 0..VALUES {
                        kept.push(black_box(Box::new(Value([i; 3]))));
                    }
                }
                times * VALUES
            }),
        ),
    ]
}
