//! A request of a server, and what it keeps until it is answered.

use std::hint::black_box;

use tmempool::{Context, CtxString};

use super::Way;

/// What a request brings.
fn headers() -> Vec<String> {
    (0..20).map(|i| format!("header-{i}: the value of header {i}")).collect()
}

/// A request: twenty headers are kept, an answer is put together, and all is freed.
pub(super) fn ways(times: usize) -> Vec<Way> {
    let server: &'static Context = Box::leak(Box::new(Context::new("server")));
    vec![
        (
            "Context",
            Box::new(move || {
                let headers = headers();
                for _ in 0..times {
                    let request = server.child("request");
                    let mut answer = CtxString::new_in(&request);
                    for header in &headers {
                        answer.push_str(black_box(request.alloc_str(header)));
                    }
                    black_box(&answer);
                }
                times
            }),
        ),
        (
            "bumpalo",
            Box::new(move || {
                let headers = headers();
                for _ in 0..times {
                    let request = bumpalo::Bump::new();
                    let mut answer = bumpalo::collections::String::new_in(&request);
                    for header in &headers {
                        answer.push_str(black_box(request.alloc_str(header)));
                    }
                    black_box(&answer);
                }
                times
            }),
        ),
        (
            "Box",
            Box::new(move || {
                let headers = headers();
                for _ in 0..times {
                    let mut answer = String::new();
                    let mut kept: Vec<Box<str>> = Vec::new();
                    for header in &headers {
                        kept.push(black_box(header.as_str().into()));
                        answer.push_str(&kept[kept.len() - 1]);
                    }
                    black_box((&answer, &kept));
                }
                times
            }),
        ),
    ]
}

/// The same in room that is taken once and used again for each.
pub(super) fn reset_ways(times: usize) -> Vec<Way> {
    const ROOM: usize = 16 << 10;
    let server: &'static Context = Box::leak(Box::new(Context::new("server")));
    vec![
        (
            "Pool",
            Box::new(move || {
                let headers = headers();
                let mut request = server.pool(ROOM);
                for _ in 0..times {
                    let mut answer = CtxString::new_in(&request);
                    for header in &headers {
                        answer.push_str(black_box(request.alloc_str(header)));
                    }
                    black_box(&answer);
                    drop(answer);
                    request.reset();
                }
                times
            }),
        ),
        (
            "bumpalo",
            Box::new(move || {
                let headers = headers();
                let mut request = bumpalo::Bump::with_capacity(ROOM);
                for _ in 0..times {
                    let mut answer = bumpalo::collections::String::new_in(&request);
                    for header in &headers {
                        answer.push_str(black_box(request.alloc_str(header)));
                    }
                    black_box(&answer);
                    drop(answer);
                    request.reset();
                }
                times
            }),
        ),
        (
            "Box",
            Box::new(move || {
                let headers = headers();
                let mut answer = String::new();
                let mut kept: Vec<Box<str>> = Vec::new();
                for _ in 0..times {
                    for header in &headers {
                        kept.push(black_box(header.as_str().into()));
                        answer.push_str(&kept[kept.len() - 1]);
                    }
                    black_box((&answer, &kept));
                    answer.clear();
                    kept.clear();
                }
                times
            }),
        ),
    ]
}
