//! The standard library's own collections in a context, by its allocator trait, which is not stable yet.
//!
//! Attacks: growth and shrinking across what lies in blocks and what has a chunk of its own; alignment; a box whose
//! context must outlive it.
#![feature(allocator_api, btreemap_alloc)]

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use tmempool::Context;

#[test]
fn collections_grow_and_shrink_in_a_context() {
    let ctx = Context::new("ctx");
    let mut numbers = Vec::new_in(&ctx);
    let mut queue = VecDeque::new_in(&ctx);
    let mut map = BTreeMap::new_in(&ctx);
    for i in 0..2000_u64 {
        numbers.push(i);
        queue.push_front(i);
        map.insert(i, Box::new_in(i, &ctx));
    }
    numbers.truncate(3);
    numbers.shrink_to_fit();
    assert_eq!((numbers.as_slice(), queue[0], *map[&1999]), (&[0, 1, 2][..], 1999, 1999));
    assert!(ctx.report().iter().any(|node| node.name() == "collection"));
    drop((numbers, queue, map));
    assert!(ctx.report().iter().all(|node| node.name() != "collection"));
}

#[test]
fn boxes_of_any_alignment_and_of_no_size() {
    #[repr(align(4096))]
    struct Page([u8; 4096]);
    let ctx = Context::new("ctx");
    let child = ctx.child("child");
    let page = Box::new_in(Page([7; 4096]), &*child);
    assert_eq!(((&raw const *page).addr() % 4096, page.0[4095]), (0, 7));
    let text: Rc<dyn Fn() -> usize, _> = Rc::new_in(|| 7, &ctx);
    let unsized_slice: Box<[u16], _> = Box::<[u16; 3], _>::new_in([1, 2, 3], &child);
    let nothing = Box::new_in((), &ctx);
    assert_eq!((text(), unsized_slice.len(), *nothing), (7, 3, ()));
}
