//! The tree of a compiler: an expression is built, looked at and freed.

use std::hint::black_box;

use tmempool::Context;

use super::Way;

/// An expression whose nodes refer to each other.
enum Node<'a> {
    Number(u64),
    Sum(&'a Node<'a>, &'a Node<'a>),
}

impl Node<'_> {
    fn value(&self) -> u64 {
        match self {
            Node::Number(number) => *number,
            Node::Sum(a, b) => a.value() + b.value(),
        }
    }
}

/// The same with owners.
enum Boxed {
    Number(u64),
    Sum(Box<Boxed>, Box<Boxed>),
}

impl Boxed {
    fn build(depth: u32) -> Box<Boxed> {
        Box::new(match depth {
            0 => Boxed::Number(1),
            _ => Boxed::Sum(Boxed::build(depth - 1), Boxed::build(depth - 1)),
        })
    }

    fn value(&self) -> u64 {
        match self {
            Boxed::Number(number) => *number,
            Boxed::Sum(a, b) => a.value() + b.value(),
        }
    }
}

/// A full tree of expressions, its nodes made by `alloc`.
fn build<'a>(alloc: &impl Fn(Node<'a>) -> &'a Node<'a>, depth: u32) -> &'a Node<'a> {
    match depth {
        0 => alloc(Node::Number(1)),
        _ => {
            let (a, b) = (build(alloc, depth - 1), build(alloc, depth - 1));
            alloc(Node::Sum(a, b))
        }
    }
}

/// Builds a tree, adds it up, and frees it, so many `times`.
pub(super) fn ways(depth: u32, times: usize) -> Vec<Way> {
    let operations = times << (depth + 1);
    vec![
        (
            "Context",
            Box::new(move || {
                for _ in 0..times {
                    let ctx = Context::new("ast");
                    black_box(build(&|node| ctx.alloc_no_drop(node), depth).value());
                }
                operations
            }),
        ),
        (
            "bumpalo",
            Box::new(move || {
                for _ in 0..times {
                    let bump = bumpalo::Bump::new();
                    black_box(build(&|node| bump.alloc(node), depth).value());
                }
                operations
            }),
        ),
        (
            "typed-arena",
            Box::new(move || {
                for _ in 0..times {
                    let arena = typed_arena::Arena::new();
                    black_box(build(&|node| arena.alloc(node), depth).value());
                }
                operations
            }),
        ),
        (
            "Box",
            Box::new(move || {
                for _ in 0..times {
                    black_box(Boxed::build(depth).value());
                }
                operations
            }),
        ),
    ]
}
