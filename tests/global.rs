//! tmempool as the allocator of a whole Rust program: this one, with its test harness and its threads.
//!
//! Attacks: allocations that outlive their scope or their context, frees by other threads, alignment, sizes at
//! the limit, scopes that end by a panic, and reports of a tree that the report itself grows.

use std::panic::catch_unwind;
use std::sync::mpsc;

use tmempool::{Context, GlobalContext, global_report, with_context};

#[global_allocator]
static GLOBAL: GlobalContext = GlobalContext;

/// Bytes and blocks that are counted for `name`, if there is such a shadow.
fn held_by(name: &str) -> Option<(usize, usize)> {
    let report = global_report(8);
    report.iter().find(|node| node.name() == name).map(|node| (node.total_size(), node.total_blocks()))
}

#[test]
fn what_a_scope_allocates_is_its_context_s_and_outlives_it() {
    let ctx = Context::new("first");
    let words: Vec<String> = with_context(&ctx, || (0..100).map(|i| format!("word number {i}")).collect());
    let (bytes, blocks) = held_by("first").unwrap();
    assert!(bytes > 1200 && blocks == 102, "{bytes} bytes in {blocks} blocks");
    drop(ctx);
    assert_eq!(held_by("first").unwrap().1, 102);
    assert_eq!(words[99], "word number 99");
    std::thread::spawn(move || drop(words)).join().unwrap();
    assert_eq!(held_by("first"), None);
}

#[test]
fn scopes_nest_and_end_with_a_panic() {
    let outer = Context::new("outer");
    let inner = outer.child("inner");
    let (a, b, c) = with_context(&outer, || {
        let a = vec![1_u8; 1000];
        let b = with_context(&inner, || vec![2_u8; 2000]);
        let panicked = catch_unwind(|| {
            let panics = Context::new("panics");
            with_context(&panics, || panic!("in a scope"))
        });
        assert!(panicked.is_err());
        (a, b, vec![3_u8; 3000])
    });
    let report = global_report(8);
    let shadow = report.iter().find(|node| node.name() == "outer").unwrap();
    let below = shadow.children().find(|node| node.name() == "inner").unwrap();
    assert!(below.total_size() >= 2000 && below.total_size() < 3000);
    assert!(shadow.total_size() - below.total_size() >= 4000);
    drop(inner);
    drop(outer);
    assert_eq!((a[999], b[1999], c[2999]), (1, 2, 3));
    drop((a, b, c));
    assert_eq!((held_by("outer"), held_by("inner")), (None, None));
}

#[test]
fn threads_pass_what_they_allocate() {
    let (send, receive) = mpsc::channel::<Vec<u64>>();
    let makers: Vec<_> = (0..4)
        .map(|maker| {
            let send = send.clone();
            std::thread::spawn(move || {
                let ctx = Context::new("maker");
                for i in 0..500 {
                    let numbers = with_context(&ctx, || (0..i).map(|n| n * maker).collect());
                    send.send(numbers).unwrap();
                }
            })
        })
        .collect();
    drop(send);
    let mut received = 0;
    for (i, mut numbers) in receive.iter().enumerate() {
        numbers.extend([7; 100]);
        if i % 3 > 0 {
            numbers.shrink_to(50);
        }
        assert!(numbers.iter().rev().take(100).all(|&number| number == 7));
        received += 1;
    }
    makers.into_iter().for_each(|maker| maker.join().unwrap());
    assert_eq!(received, 2000);
    assert_eq!(held_by("maker"), None);
}

#[test]
fn any_alignment_and_any_size() {
    #[repr(align(512))]
    struct Aligned([u8; 1000]);
    let boxes: Vec<_> = (0..50).map(|i| Box::new(Aligned([i; 1000]))).collect();
    for (i, aligned) in boxes.iter().enumerate() {
        assert!((&raw const **aligned).addr().is_multiple_of(512) && aligned.0 == [i as u8; 1000]);
    }
    // Across the limit of a chunk, up and down. The pages are never touched.
    let mut bytes: Vec<u8> = Vec::with_capacity((256 << 20) - 100);
    bytes.push(7);
    bytes.reserve_exact(300 << 20);
    bytes.shrink_to(100);
    assert_eq!((bytes.capacity(), bytes[0]), (100, 7));
}

#[test]
fn a_report_of_the_tree_that_it_lies_in() {
    let ctx = Context::new("reporter");
    let report = with_context(&ctx, || global_report(3));
    assert!(report.iter().count() > 1);
    assert!(report.to_string().contains("reporter"));
    drop(report);
    assert_eq!(held_by("reporter").map(|(_, blocks)| blocks), Some(1));
}
