//! Random programs over contexts, by proptest, against what must hold of any: values keep their bytes until
//! they are dropped, each is dropped exactly once, and never before its context ends, and nothing is left.
//!
//! Attacks: memory given out twice, room of boxes that is used while it is in use, resets and moves that lose or
//! double what lies below, contexts that are leaked at any depth.

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;

use proptest::prelude::*;
use tmempool::{Context, CtxBox, CtxRef, CtxVec};

#[derive(Clone, Debug)]
enum Step {
    /// A value that is dropped with the context.
    Owned,
    /// So many of them side by side.
    OwnedSlice(usize),
    /// Bytes that nobody drops.
    Bytes(usize),
    /// A small box.
    Box,
    /// A box with a chunk of its own.
    LargeBox,
    /// Drops one of the boxes.
    DropBox(usize),
    /// Moves one of them to the root, for good.
    MoveBox(usize),
    /// Gives one of them to the context.
    AdoptBox(usize),
    /// Leaks one.
    LeakBox(usize),
    /// A vector that grows to so many values.
    Grow(usize),
    /// A value shared with the root.
    Share,
    /// A value with a handle, which is freed early or not.
    Handle(bool),
    /// A context below, a pool if it has a size, and what happens in it.
    Child(Option<usize>, Vec<Step>, End),
}

/// What becomes of a context at the end of its steps.
#[derive(Clone, Copy, Debug)]
enum End {
    Drop,
    Leak,
    /// Reset, used once more, and dropped.
    Reset,
    /// Moved to the root, and left there.
    Move,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let leaf = prop_oneof![
        4 => Just(Step::Owned),
        1 => (0..6_usize).prop_map(Step::OwnedSlice),
        4 => prop_oneof![0..60_usize, 0..12_000_usize].prop_map(Step::Bytes),
        4 => Just(Step::Box),
        1 => Just(Step::LargeBox),
        3 => any::<usize>().prop_map(Step::DropBox),
        1 => any::<usize>().prop_map(Step::MoveBox),
        1 => any::<usize>().prop_map(Step::AdoptBox),
        1 => any::<usize>().prop_map(Step::LeakBox),
        1 => (0..200_usize).prop_map(Step::Grow),
        1 => Just(Step::Share),
        1 => any::<bool>().prop_map(Step::Handle),
    ];
    let end = prop_oneof![Just(End::Drop), Just(End::Leak), Just(End::Reset), Just(End::Move)];
    let step = leaf.prop_recursive(4, if cfg!(miri) { 24 } else { 120 }, 12, move |inner| {
        let pool = prop_oneof![2 => Just(None), 1 => (0..20_000_usize).prop_map(Some)];
        (pool, prop::collection::vec(inner, 0..12), end.clone())
            .prop_map(|(pool, steps, end)| Step::Child(pool, steps, end))
    });
    prop::collection::vec(step, 0..if cfg!(miri) { 8 } else { 40 })
}

/// How often each value was dropped, by number.
type Drops = Rc<RefCell<Vec<u32>>>;

/// A value that knows what it should hold.
struct Value<const N: usize> {
    number: usize,
    fill: [u8; N],
    drops: Drops,
}

impl<const N: usize> Value<N> {
    fn new(drops: &Drops) -> Value<N> {
        let number = drops.borrow().len();
        drops.borrow_mut().push(0);
        Value { number, fill: [number as u8; N], drops: drops.clone() }
    }

    fn check(&self) {
        assert!(
            self.fill.iter().all(|&byte| byte == self.number as u8),
            "value {} is overwritten",
            self.number
        );
        assert_eq!(self.drops.borrow()[self.number], 0, "value {} was dropped", self.number);
    }
}

impl<const N: usize> Drop for Value<N> {
    fn drop(&mut self) {
        self.check();
        self.drops.borrow_mut()[self.number] += 1;
    }
}

/// What lives to the end of the program.
struct Program<'r> {
    root: &'r Context,
    drops: Drops,
    boxes: RefCell<Vec<CtxBox<'r, Value<40>>>>,
    shared: RefCell<Vec<CtxRef<'r, Value<20>>>>,
    leaked: RefCell<Vec<usize>>,
}

impl<'r> Program<'r> {
    fn run(&self, ctx: &Context, steps: &[Step]) {
        let mut owned: Vec<&mut Value<10>> = Vec::new();
        let mut bytes: Vec<(u8, &mut [u8])> = Vec::new();
        let mut boxes: Vec<CtxBox<'_, Value<40>>> = Vec::new();
        let mut large: Vec<CtxBox<'_, Value<300>>> = Vec::new();
        let mut adopted: Vec<&mut Value<40>> = Vec::new();
        let mut vectors: Vec<CtxVec<'_, usize>> = Vec::new();
        for (i, step) in steps.iter().enumerate() {
            let pick = |at: usize, of: usize| if of == 0 { None } else { Some(at % of) };
            match step {
                Step::Owned => owned.push(ctx.alloc(Value::new(&self.drops))),
                Step::OwnedSlice(len) => {
                    owned.extend(ctx.alloc_slice_with(*len, |_| Value::new(&self.drops)))
                }
                Step::Bytes(len) => bytes.push((i as u8, ctx.alloc_slice_copy(&vec![i as u8; *len]))),
                Step::Box => boxes.push(ctx.boxed(Value::new(&self.drops))),
                Step::LargeBox => large.push(ctx.boxed(Value::new(&self.drops))),
                Step::DropBox(at) => {
                    if let Some(at) = pick(*at, boxes.len()) {
                        drop(boxes.swap_remove(at));
                    }
                    if let Some(at) = pick(*at, large.len()) {
                        drop(large.swap_remove(at).into_inner());
                    }
                }
                Step::MoveBox(at) => {
                    if let Some(at) = pick(*at, boxes.len()) {
                        self.boxes.borrow_mut().push(boxes.swap_remove(at).move_to(self.root));
                    }
                }
                Step::AdoptBox(at) => {
                    if let Some(at) = pick(*at, boxes.len()) {
                        adopted.push(ctx.adopt(boxes.swap_remove(at)));
                    }
                }
                Step::LeakBox(at) => {
                    if let Some(at) = pick(*at, boxes.len()) {
                        let leaked = boxes.swap_remove(at).leak();
                        self.leaked.borrow_mut().push(leaked.number);
                        leaked.check();
                    }
                }
                Step::Grow(len) => {
                    let mut vector = CtxVec::new_in(ctx);
                    vector.extend(0..*len);
                    vectors.push(vector);
                }
                Step::Share => {
                    let ours = self.root.share(Value::new(&self.drops));
                    mem::forget(ctx.reference(&ours));
                    self.shared.borrow_mut().push(ours);
                }
                Step::Handle(early) => {
                    let handle = ctx.handle(Value::<20>::new(&self.drops));
                    handle.get().expect("just made").check();
                    if *early {
                        assert!(handle.free());
                    }
                }
                Step::Child(pool, steps, end) => self.child(ctx, *pool, steps, *end),
            }
        }
        owned.iter().for_each(|value| value.check());
        boxes.iter().for_each(|value| value.check());
        large.iter().for_each(|value| value.check());
        adopted.iter().for_each(|value| value.check());
        assert!(bytes.iter().all(|(fill, bytes)| bytes.iter().all(|byte| byte == fill)));
        assert!(vectors.iter().all(|vector| vector.iter().copied().eq(0..vector.len())));
    }

    fn child(&self, ctx: &Context, pool: Option<usize>, steps: &[Step], end: End) {
        let mut child = match pool {
            None => ctx.child("child"),
            Some(size) => ctx.pool(size),
        };
        self.run(&child, steps);
        match end {
            End::Drop => drop(child),
            End::Leak => mem::forget(child),
            End::Reset => {
                child.reset();
                assert_eq!(child.owned_values(), 0);
                self.run(&child, steps);
            }
            End::Move => mem::forget(child.move_to(self.root)),
        }
    }
}

fn check(steps: &[Step]) {
    let drops = Drops::default();
    let leaked = {
        let root = Context::new("root");
        let program = Program {
            root: &root,
            drops: drops.clone(),
            boxes: RefCell::default(),
            shared: RefCell::default(),
            leaked: RefCell::default(),
        };
        program.run(&root, steps);
        program.boxes.borrow().iter().for_each(|value| value.check());
        program.shared.borrow().iter().for_each(|value| value.check());
        let report = root.report();
        assert_eq!(report.iter().count(), root.total_blocks());
        program.leaked.into_inner()
    };
    for (number, &drops) in drops.borrow().iter().enumerate() {
        let expected = u32::from(!leaked.contains(&number));
        assert_eq!(drops, expected, "value {number}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 300 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_program_keeps_its_values_and_drops_each_once(steps in steps()) {
        check(&steps);
    }
}
