//! A graph whose nodes come and go.

use std::hint::black_box;

use tmempool::{Cache, CacheBox, Context, CtxBox};

use super::Way;

/// A graph of a thousand nodes in which one after the other is replaced.
pub(super) fn ways(steps: usize) -> Vec<Way> {
    const NODES: usize = 1000;
    type Edges = [u64; 6];
    /// Replaces `steps` nodes at random, by what `replace` does with a place and a new node.
    fn churn(steps: usize, mut replace: impl FnMut(usize, Edges)) -> usize {
        let mut random = 1_u64;
        for _ in 0..steps {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            replace((random >> 33) as usize % NODES, [random; 6]);
        }
        steps
    }
    vec![
        (
            "CtxBox",
            Box::new(move || {
                let ctx = Context::new("graph");
                let mut nodes: Vec<CtxBox<'_, Edges>> = (0..NODES).map(|_| ctx.boxed([0; 6])).collect();
                black_box(churn(steps, |at, node| nodes[at] = ctx.boxed(node)))
            }),
        ),
        (
            "Cache",
            Box::new(move || {
                let ctx = Context::new("graph");
                let cache: Cache<'_, Edges> = ctx.cache("nodes");
                let mut nodes: Vec<CacheBox<'_, Edges>> = (0..NODES).map(|_| cache.alloc([0; 6])).collect();
                black_box(churn(steps, |at, node| nodes[at] = cache.alloc(node)))
            }),
        ),
        (
            "Box",
            Box::new(move || {
                let mut nodes: Vec<Box<Edges>> = (0..NODES).map(|_| Box::new([0; 6])).collect();
                black_box(churn(steps, |at, node| drop(std::mem::replace(&mut nodes[at], Box::new(node)))))
            }),
        ),
        (
            "slab",
            Box::new(move || {
                let mut slab = slab::Slab::new();
                let mut nodes: Vec<usize> = (0..NODES).map(|_| slab.insert([0; 6])).collect();
                black_box(churn(steps, |at, node| {
                    let new = slab.insert(node);
                    slab.remove(std::mem::replace(&mut nodes[at], new));
                }))
            }),
        ),
        (
            "slotmap",
            Box::new(move || {
                let mut map = slotmap::SlotMap::new();
                let mut nodes: Vec<slotmap::DefaultKey> = (0..NODES).map(|_| map.insert([0; 6])).collect();
                black_box(churn(steps, |at, node| {
                    let new = map.insert(node);
                    map.remove(std::mem::replace(&mut nodes[at], new));
                }))
            }),
        ),
    ]
}
