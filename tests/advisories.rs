//! The bugs that arena and pool crates have had, one test for each: the same program, or its like, must be
//! harmless here. Those that the type system stops are programs in `tests/rules`, named at their test.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::rc::Rc;

use allocator_api2::alloc::{Allocator, Layout};
use tmempool::{Cache, CacheBox, Context, CtxBox, CtxRef, CtxString, CtxVec, Handle, Local, Sendable};
use tmempool::{Mempool, MempoolBox, SharedContext, SharedGuard, Verdict};

/// Whether a type implements a trait, as a value.
macro_rules! implements {
    ($type:ty: $bound:path) => {{
        #[allow(dead_code, reason = "found only where the bound does not hold")]
        trait Otherwise {
            const IT_DOES: bool = false;
        }
        impl<T: ?Sized> Otherwise for T {}
        struct Asked<T: ?Sized>(PhantomData<T>);
        #[allow(dead_code, reason = "found only where the bound holds")]
        impl<T: ?Sized + $bound> Asked<T> {
            const IT_DOES: bool = true;
        }
        <Asked<$type>>::IT_DOES
    }};
}

/// bumpalo: a realloc copied as many bytes as the new block has, from behind the old one.
#[test]
fn rustsec_2020_0006_growing_copies_only_what_there_was() {
    let ctx = Context::new("ctx");
    let secret = ctx.boxed([0x5e_u8; 64]);
    let mut bytes = CtxVec::new_in(&ctx);
    for round in 0..if cfg!(miri) { 12 } else { 200_usize } {
        let wanted = round * 37 % 3000;
        let fill = round as u8;
        bytes.resize(wanted, fill);
        bytes.shrink_to_fit();
        assert!(bytes.iter().all(|&byte| usize::from(byte) <= round));
    }
    // The allocator itself, through every pair of sizes and alignments.
    let sizes: &[usize] = if cfg!(miri) { &[0, 15, 100] } else { &[0, 1, 15, 16, 100, 5000] };
    for &old in sizes {
        for &new in sizes {
            for (old_align, new_align) in [(1, 1), (16, 16), (64, 64), (8, 64), (64, 8)] {
                let before = Layout::from_size_align(old, old_align).unwrap();
                let after = Layout::from_size_align(new, new_align).unwrap();
                let allocator = &ctx;
                // SAFETY: each block is written before it is read, resized with its layout, and freed once.
                unsafe {
                    let at = allocator.allocate(before).unwrap().cast::<u8>();
                    at.write_bytes(0xab, old);
                    let at = if new >= old {
                        allocator.grow_zeroed(at, before, after)
                    } else {
                        allocator.shrink(at, before, after)
                    };
                    let at = at.unwrap().cast::<u8>();
                    assert_eq!(at.addr().get() % new_align, 0);
                    for i in 0..new {
                        assert_eq!(at.add(i).read(), if i < old { 0xab } else { 0 }, "{old} to {new}");
                    }
                    allocator.deallocate(at, after);
                }
            }
        }
    }
    assert_eq!(*secret, [0x5e; 64]);
}

/// bumpalo: the iterator of a vector outlived the arena. See `rules/iterator_outlives_its_context.rs`.
#[test]
fn rustsec_2022_0078_an_iterator_keeps_its_memory() {
    let ctx = Context::new("ctx");
    let mut bytes = CtxVec::new_in(&ctx);
    bytes.extend([1_u8; 32]);
    let mut rest = bytes.into_iter();
    rest.next();
    for _ in 0..100 {
        let other = ctx.child("other");
        other.alloc([0x41_u8; 10]);
        drop(ctx.boxed([0x41_u8; 32]));
    }
    assert!(rest.all(|byte| byte == 1));
}

/// arenavec: a safe trait gave out pointers; reserving did not reserve; splitting doubled ownership. The traits here that
/// lead to memory are unsafe to implement, or closed: see `rules/strangers_make_no_kinds.rs`.
#[test]
fn rustsec_2025_0053_capacity_is_memory_and_halves_share_nothing() {
    let notes = Rc::new(Cell::new(0));
    struct Counts(Rc<Cell<u32>>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let ctx = Context::new("ctx");
    for at in [0, 1, 7, 10] {
        notes.set(0);
        let mut all = CtxVec::new_in(&ctx);
        all.extend((0..10).map(|_| Counts(notes.clone())));
        let rest = all.split_off(at);
        assert_eq!((all.len(), rest.len()), (at, 10 - at));
        drop(all);
        assert_eq!(notes.get() as usize, at);
        drop(rest);
        assert_eq!(notes.get(), 10);
    }
    let mut bytes = CtxVec::new_in(&ctx);
    for capacity in [1, 100, 1000, 10_000] {
        bytes.reserve(capacity);
        let room = bytes.capacity();
        bytes.resize(room, 7_u8);
        let neighbour = ctx.boxed([1_u8; 200]);
        assert!(bytes.iter().all(|&byte| byte == 7));
        assert_eq!(*neighbour, [1; 200]);
    }
}

/// arenavec: a panic in `default` dropped what was not made, a panic in `drop` dropped twice.
#[test]
fn rustsec_2021_0040_panics_neither_drop_twice_nor_what_is_not_there() {
    thread_local!(static ALIVE: RefCell<HashMap<u32, u32>> = RefCell::default());
    struct Fragile(u32);
    impl Fragile {
        fn new(number: u32) -> Fragile {
            assert_ne!(number % 100, 7, "not made");
            ALIVE.with_borrow_mut(|alive| *alive.entry(number).or_default() += 1);
            Fragile(number)
        }
    }
    impl Drop for Fragile {
        fn drop(&mut self) {
            ALIVE.with_borrow_mut(|alive| {
                let left = alive.get_mut(&self.0).expect("it was made");
                *left = left.checked_sub(1).expect("dropped once");
            });
            assert_ne!(self.0 % 100, 3, "dropped");
        }
    }
    let quiet = |f: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(f)).is_err();
    let mut ctx = Context::new("ctx");
    assert!(quiet(&mut || _ = ctx.alloc_slice_with(10, |i| Fragile::new(4 + i as u32))));
    assert!(quiet(&mut || _ = ctx.alloc_with(|| Fragile::new(107))));
    let slice = ctx.alloc_slice_with(5, |i| Fragile::new(200 + i as u32));
    assert_eq!(slice[4].0, 204);
    for number in 300..305 {
        ctx.alloc(Fragile::new(number));
    }
    assert!(quiet(&mut || ctx.reset()));
    let mut vec = CtxVec::new_in(&ctx);
    vec.extend((400..405).map(Fragile::new));
    assert!(quiet(&mut || vec.truncate(1)));
    drop(vec);
    let mut vec = CtxVec::new_in(&ctx);
    vec.extend((700..705).map(Fragile::new));
    assert!(quiet(&mut || vec.resize_with(2, || unreachable!("it shrinks"))));
    assert!(quiet(&mut || vec.resize_with(9, || Fragile::new(807))));
    drop(vec);
    let shared = ctx.share(Fragile::new(503));
    let handle = ctx.handle(Fragile::new(603));
    assert!(quiet(&mut || _ = handle.free()));
    {
        let mut shared = Some(shared);
        assert!(quiet(&mut || drop(shared.take())));
    }
    drop(ctx);
    ALIVE.with_borrow(|alive| assert!(alive.values().all(|&left| left == 0), "{alive:?}"));
}

/// nano_arena: a key was asked twice what it is, and said two things.
#[test]
fn rustsec_2021_0031_a_key_is_what_it_is() {
    let ctx = Context::new("ctx");
    let (a, b) = (ctx.handle(Cell::new(1)), ctx.handle(Cell::new(2)));
    let (first, again, other) = (a.get().unwrap(), a.get().unwrap(), b.get().unwrap());
    first.set(10);
    assert_eq!((again.get(), other.get()), (10, 2));
    // What is borrowed from a string or a box is equal to it, and hashes as it does.
    let mut map = HashMap::new();
    map.insert(CtxString::from_str_in("mill", &ctx), 1);
    assert_eq!(map.get("mill"), Some(&1));
    let mut map = HashMap::new();
    map.insert(ctx.boxed(7), 1);
    assert_eq!(map.get(&7), Some(&1));
}

/// toolshed: a cell in an arena was `Send` whatever was in it.
/// See `rules/copied_reference_goes_to_another_thread.rs`.
#[test]
fn rustsec_2020_0136_what_holds_a_value_is_no_more_send_than_it() {
    assert!(implements!(Context<Sendable>: Send));
    assert!(!implements!(Context<Sendable>: Sync));
    assert!(!implements!(Context<Local>: Send));
    assert!(!implements!(tmempool::Child<'static, Sendable>: Send));
    assert!(!implements!(tmempool::Child<'static>: Sync));
    assert!(!implements!(&Context: Send));
    assert!(!implements!(CtxBox<'static, u8>: Send) && !implements!(CtxBox<'static, u8>: Sync));
    assert!(!implements!(CtxRef<'static, u8>: Send) && !implements!(CtxRef<'static, u8>: Sync));
    assert!(!implements!(Handle<u8>: Send) && !implements!(Handle<u8>: Sync));
    assert!(!implements!(tmempool::HandleRef<u8>: Send) && !implements!(tmempool::HandleRef<u8>: Sync));
    assert!(!implements!(CtxVec<'static, u8>: Send) && !implements!(CtxString<'static>: Send));
    assert!(implements!(SharedContext: Send) && implements!(SharedContext: Sync));
    assert!(!implements!(SharedGuard<'static>: Send));
    assert!(!implements!(SharedGuard<'static>: Sync));
    assert!(implements!(SharedContext: UnwindSafe) && implements!(SharedContext: RefUnwindSafe));
    assert!(
        implements!(SharedGuard<'static>: UnwindSafe) && implements!(SharedGuard<'static>: RefUnwindSafe)
    );
}

/// syncpool: a bucket of a pool was `Send` whatever was in it. See `rules/cached_value_may_not_go.rs`.
#[test]
fn rustsec_2020_0142_pooled_values_are_no_more_send_than_themselves() {
    assert!(implements!(CacheBox<'static, u8>: Send) && implements!(MempoolBox<'static, u8>: Send));
    assert!(!implements!(CacheBox<'static, Rc<u8>>: Send) && !implements!(MempoolBox<'static, Rc<u8>>: Send));
    assert!(
        !implements!(CacheBox<'static, Cell<u8>>: Sync) && !implements!(MempoolBox<'static, Cell<u8>>: Sync)
    );
    assert!(!implements!(Cache<'static, u8>: Send) && !implements!(Mempool<'static, u8>: Send));
    assert!(implements!(Cache<'static, u8>: Sync) && implements!(Mempool<'static, u8>: Sync));
}

/// obstack: references to types of large alignment were not aligned.
#[test]
fn rustsec_2020_0040_every_reference_is_aligned() {
    fn check<T: Default + 'static>(ctx: &Context) {
        let aligned = |at: *const T| at.addr().is_multiple_of(align_of::<T>());
        for odd in 0..4 {
            ctx.alloc_slice_copy(&vec![1_u8; odd]);
            assert!(aligned(ctx.alloc(T::default())));
            assert!(aligned(ctx.alloc_no_drop(T::default())));
            assert!(aligned(ctx.alloc_slice_with(3, |_| T::default()).as_ptr()));
            assert!(aligned(&*ctx.boxed(T::default())));
            assert!(aligned(&*ctx.share(T::default())));
            assert!(aligned(&*ctx.handle(T::default()).get().unwrap()));
            let mut vec = CtxVec::new_in(ctx);
            for _ in 0..9 {
                vec.push(T::default());
                assert!(aligned(vec.as_ptr()));
            }
        }
    }
    #[derive(Default)]
    #[repr(align(32))]
    struct A32(#[allow(dead_code, reason = "dropped")] Vec<u8>);
    #[derive(Default)]
    #[repr(align(1024))]
    struct A1024(#[allow(dead_code, reason = "bytes")] u8);
    #[derive(Default)]
    #[repr(align(65536))]
    struct A64K(#[allow(dead_code, reason = "bytes")] u8);
    let root = Context::new("root");
    for ctx in [root.child("child"), root.pool(4096)] {
        check::<u8>(&ctx);
        check::<u128>(&ctx);
        check::<String>(&ctx);
        check::<A32>(&ctx);
        if !cfg!(miri) {
            check::<A1024>(&ctx);
            check::<A64K>(&ctx);
        }
    }
}

/// linked_list_allocator: wrote out of bounds in heaps of no size, or of an odd one.
#[test]
fn rustsec_2022_0063_pools_of_any_size_hold_what_they_give_out() {
    let root = Context::new("root");
    for size in (0..if cfg!(miri) { 20 } else { 200 }).chain([1000, 4095, 4097]) {
        let fixed = root.pool_named("fixed", size);
        let growing = root.growing_pool_named("growing", size, size / 2);
        for pool in [&fixed, &growing] {
            let words: Vec<&mut [u8]> =
                (0..10).map(|i| pool.alloc_slice_copy(&vec![i as u8; size / 3 + i])).collect();
            let child = pool.child("child");
            let boxed = child.boxed([0xff_u8; 24]);
            for (i, word) in words.iter().enumerate() {
                assert!(word.len() == size / 3 + i && word.iter().all(|&byte| byte == i as u8));
            }
            assert_eq!(*boxed, [0xff; 24]);
        }
    }
    if !cfg!(miri) {
        let ranges = root.genpool("ranges", 12);
        for (start, size) in
            [(0, 0), (1, 1), (4096, 1), (8, 4096), (usize::MAX - 100, 4096), (4096, usize::MAX)]
        {
            if ranges.add(start, size).is_ok() {
                assert!(ranges.alloc(1).is_err() || start % 4096 == 0);
            }
        }
    }
}

/// slab: an index was compared with the capacity, not with what there was.
#[test]
fn rustsec_2025_0047_a_stale_or_foreign_key_leads_to_nothing() {
    let ctx = Context::new("ctx");
    let handles: Vec<_> = (0..50).map(|i| ctx.handle(i)).collect();
    for handle in &handles[10..] {
        assert!(handle.free());
    }
    // The places of the freed ones are used again, for other types, too.
    let texts: Vec<_> = (0..30).map(|i| ctx.handle(i.to_string())).collect();
    assert!(handles[10..].iter().all(|handle| handle.get().is_none()));
    assert!(handles[..10].iter().enumerate().all(|(i, handle)| *handle.get().unwrap() == i as i32));
    assert!(texts.iter().enumerate().all(|(i, text)| *text.get().unwrap() == i.to_string()));
    let key = ctx.on_free(|| Verdict::Free).unwrap();
    assert!(!Context::new("other").cancel(key));
    assert!(ctx.cancel(key) && !ctx.cancel(key));
}

/// wasmtime: what one instance had written was to be seen by the next that got its memory.
#[test]
fn rustsec_2022_0098_zeroed_memory_is_zero_whatever_was_there() {
    let mut ctx = Context::new("ctx");
    let layout = Layout::from_size_align(700, 16).unwrap();
    for _ in 0..20 {
        let allocator = &ctx;
        // SAFETY: written within its bounds, and freed once.
        unsafe {
            let at = allocator.allocate_zeroed(layout).unwrap().cast::<u8>();
            let bytes = std::slice::from_raw_parts_mut(at.as_ptr(), 700);
            assert!(bytes.iter().all(|&byte| byte == 0));
            bytes.fill(0x5e);
            allocator.deallocate(at, layout);
        }
        ctx.alloc([0x5e_u8; 3000]);
        ctx.reset();
    }
}

/// wasmtime: the same, by a pool that did not clear what it had lent.
#[test]
fn rustsec_2026_0088_a_recycled_place_shows_nothing_of_its_last_user() {
    let root = Context::new("root");
    for _ in 0..20 {
        let pool = root.pool_named("instance", 8 << 10);
        let text = CtxString::from_str_in("secret", &pool).into_str().to_owned();
        let boxed = pool.boxed([0x5e_u8; 200]);
        drop(boxed);
        // What was shrunk and grows again shows nothing of what lay there.
        let (small, large) =
            (Layout::from_size_align(40, 8).unwrap(), Layout::from_size_align(900, 8).unwrap());
        // SAFETY: written before it is read, resized with its layout, and freed once.
        unsafe {
            let at = (&pool).allocate(large).unwrap().cast::<u8>();
            at.write_bytes(0x5e, 900);
            let at = (&pool).shrink(at, large, small).unwrap().cast::<u8>();
            let at = (&pool).grow_zeroed(at, small, large).unwrap().cast::<u8>();
            let bytes = std::slice::from_raw_parts(at.as_ptr(), 900);
            assert!(
                bytes[..40].iter().all(|&byte| byte == 0x5e) && bytes[40..].iter().all(|&byte| byte == 0)
            );
            (&pool).deallocate(at, large);
        }
        // The same room, with a value of its own: all of it is that value.
        let next = pool.boxed([1_u8; 193]);
        assert!(next.iter().all(|&byte| byte == 1));
        assert_eq!(text, "secret");
        // SAFETY: read within its bounds, and freed with the pool.
        let zeroed = unsafe {
            let at = (&pool).allocate_zeroed(Layout::from_size_align(200, 8).unwrap()).unwrap();
            std::slice::from_raw_parts(at.cast::<u8>().as_ptr(), 200).to_vec()
        };
        assert!(zeroed.iter().all(|&byte| byte == 0));
    }
    if !cfg!(miri) {
        let cache = root.cache::<[u8; 64]>("cache");
        drop(cache.alloc([0x5e; 64]));
        assert_eq!(*cache.alloc([0; 64]), [0; 64]);
    }
}
