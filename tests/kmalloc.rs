//! General sizes against a model, and against pointers that are none of theirs.
//!
//! Attacks: overlapping memory, lost alignment, memory that is given twice, frees that are believed.

mod random;

use std::ptr::NonNull;

use random::Rng;
use tmempool::ops;
use tmempool::pools::cache::{self, Misuse};
use tmempool::pools::kmalloc;

fn free(at: NonNull<u8>) -> Result<(), Misuse> {
    // SAFETY: the tests do not use what they have freed.
    unsafe { kmalloc::free(at) }
}

#[test]
fn random_sizes_agree_with_the_model() {
    let mut rng = Rng(0x5eed);
    let mut in_use: Vec<(NonNull<u8>, usize, u8)> = Vec::new();
    for step in 0..60_000 {
        if rng.below(100) < 52 && in_use.len() < 2000 {
            let size = match rng.below(20) {
                0 => 1 << rng.below(18),
                1 => rng.below(300_000),
                2..5 => rng.below(5000),
                _ => rng.below(300),
            };
            let at = kmalloc::alloc(size).unwrap();
            let align = match size {
                0..=8 => 8,
                _ if size.is_power_of_two() => size.min(65536),
                _ => 16,
            };
            assert_eq!(at.addr().get() % align, 0, "{size} bytes");
            let usable = kmalloc::usable_size(at).unwrap();
            // An eighth of waste at most, or the step of the small classes.
            let waste = (size / 8).max(32) + if size > 65536 { 65536 } else { 0 };
            assert!(usable >= size.max(1) && usable <= size + waste, "{usable} for {size}");
            // SAFETY: all that is usable may be used.
            unsafe { at.write_bytes(step as u8, usable) };
            in_use.push((at, usable, step as u8));
        } else if !in_use.is_empty() {
            let (at, usable, stamp) = in_use.swap_remove(rng.below(in_use.len()));
            // SAFETY: in use.
            assert!((0..usable).all(|i| unsafe { at.add(i).read() } == stamp));
            assert_eq!(free(at), Ok(()));
            assert!(free(at).is_err());
            assert_eq!(kmalloc::usable_size(at), Err(Misuse::Foreign));
        }
    }
    in_use.into_iter().for_each(|(at, ..)| free(at).unwrap());
}

#[test]
fn what_is_not_its_own_is_refused() {
    let local = 0u64;
    // SAFETY: trees of this test's.
    unsafe {
        let chunk = ops::alloc(None, 100).unwrap();
        let large = ops::alloc(None, 1 << 20).unwrap();
        let named = cache::create(None, c"named", &cache::Config { size: 64, ..Default::default() }).unwrap();
        let object = named.alloc().unwrap();
        let own = kmalloc::alloc(100).unwrap();
        let huge = kmalloc::alloc(1 << 20).unwrap();
        let wrong = [
            NonNull::from_ref(&local).cast(),
            NonNull::new(chunk.ptr().cast()).unwrap(),
            NonNull::new(large.ptr().cast()).unwrap(),
            NonNull::new(large.ptr().cast::<u8>().sub(48)).unwrap(),
            object,
            NonNull::new(16 as *mut u8).unwrap(),
            huge.add(4096),
            huge.add(65536),
        ];
        for at in wrong {
            assert_eq!(free(at), Err(Misuse::Foreign));
            assert_eq!(kmalloc::usable_size(at), Err(Misuse::Foreign));
        }
        assert_eq!(free(own.add(16)), Err(Misuse::Inside));
        assert_eq!((free(own), free(own)), (Ok(()), Err(Misuse::Free)));
        assert_eq!((free(huge), free(huge)), (Ok(()), Err(Misuse::Foreign)));
        named.free(object).unwrap();
        cache::destroy(named, c"here".as_ptr()).unwrap();
        ops::free(chunk, std::ptr::null()).unwrap();
        ops::free(large, std::ptr::null()).unwrap();
    }
}

#[test]
fn too_much_is_refused() {
    for size in [usize::MAX, usize::MAX - 65536, isize::MAX as usize, 1 << 47] {
        assert_eq!(kmalloc::alloc(size), None);
    }
}

#[test]
fn no_bytes_have_an_address_of_their_own() {
    let (one, other) = (kmalloc::alloc(0).unwrap(), kmalloc::alloc(0).unwrap());
    assert_ne!(one, other);
    assert_eq!((free(one), free(other)), (Ok(()), Ok(())));
}

#[test]
fn all_threads_at_once_make_one_cache_a_class() {
    let barrier = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let barrier = &barrier;
            scope.spawn(move || {
                for size in (1..1000).step_by(16).chain((1001..60_000).step_by(1001)) {
                    barrier.wait();
                    let at = kmalloc::alloc(size).unwrap();
                    // SAFETY: in use.
                    unsafe { at.write_bytes(thread, size) };
                    barrier.wait();
                    // SAFETY: in use.
                    assert!((0..size).all(|i| unsafe { at.add(i).read() } == thread));
                    free(at).unwrap();
                }
            });
        }
    });
    let rows = cache::rows().unwrap();
    let names: Vec<_> = rows
        .iter()
        .map(|row| row.name().to_owned())
        .filter(|n| n.to_bytes().starts_with(b"kmalloc-"))
        .collect();
    let distinct: std::collections::HashSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
    assert!(names.len() > 40);
}
