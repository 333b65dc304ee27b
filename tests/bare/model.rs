//! Random programs against a naive model.

use std::ptr::NonNull;

use tmempool::ops;
use tmempool::tree::Chunk;
use tmempool::tree::chunk::MEMBER;
use tmempool::tree::pool::{PoolRef, Stats};

use super::random::Rng;
use super::{ALONE, Written, bare, free, is_chunk, reset, root};

struct World {
    /// The pool's parent, which counts in some programs: then nothing goes the short way.
    top: Chunk,
    pool: Chunk,
    elsewhere: Chunk,
    bare: Vec<Written>,
    /// Members of the pool, and where they lie in the tree.
    members: Vec<(Chunk, Written)>,
    counted: Stats,
    /// How often it was emptied the short way.
    quick_resets: usize,
}

impl World {
    fn count(&mut self, size: usize) {
        self.counted.total += size;
        self.counted.current += size;
        self.counted.peak = self.counted.peak.max(self.counted.current);
        self.counted.allocations += 1;
    }

    fn uncount(&mut self, size: usize) {
        self.counted.current -= size;
        self.counted.frees += 1;
    }

    fn bare(&mut self, size: usize, byte: u8) {
        let at = bare(self.pool, size);
        self.count(size);
        if size > 0 {
            assert!(!is_chunk(at));
            self.bare.push(Written::over(at, size, byte));
        } else {
            self.bare.push(Written { at: NonNull::dangling(), size: 0, byte });
        }
    }

    fn member(&mut self, size: usize, byte: u8) {
        // SAFETY: one thread, a live parent.
        let chunk = unsafe { ops::alloc(Some(self.pool), size).unwrap() };
        let payload = NonNull::new(chunk.ptr()).unwrap().cast();
        self.members.push((chunk, Written::over(payload, size, byte)));
        if chunk.has(MEMBER) {
            self.count(size);
        }
    }

    fn free_member(&mut self, i: usize) {
        let (chunk, written) = self.members.swap_remove(i);
        written.check();
        if chunk.has(MEMBER) {
            self.uncount(written.size);
        }
        free(chunk);
    }

    fn resize_member(&mut self, i: usize, size: usize, byte: u8) {
        let (chunk, written) = self.members[i];
        written.check();
        // SAFETY: one thread, a live chunk.
        if chunk.has(MEMBER) && unsafe { ops::resize_in_place(chunk, size) } {
            self.counted.total += size.saturating_sub(written.size);
            self.counted.current = self.counted.current + size - written.size;
            self.counted.peak = self.counted.peak.max(self.counted.current);
            self.members[i].1 = Written::over(written.at, size, byte);
        }
    }

    fn move_member(&mut self, i: usize, to: Chunk) {
        // SAFETY: one thread, live chunks.
        unsafe { ops::steal(Some(to), self.members[i].0).unwrap() };
    }

    /// All that lies below the pool goes.
    fn empty(&mut self, resets: bool) {
        let pool = self.pool;
        let (gone, stay) = self.members.iter().partition::<Vec<_>, _>(|(c, _)| c.parent() == Some(pool));
        self.members = stay;
        for (chunk, written) in gone {
            if chunk.has(MEMBER) {
                self.uncount(written.size);
            }
        }
        for written in std::mem::take(&mut self.bare) {
            written.check();
            self.uncount(written.size);
        }
        if resets {
            self.quick_resets += usize::from(reset(pool));
        } else {
            // SAFETY: one thread, a live chunk.
            unsafe { ops::free_children(pool, c"free".as_ptr()).unwrap() };
        }
    }

    fn check(&self) {
        self.bare.iter().for_each(|written| written.check());
        self.members.iter().for_each(|(_, written)| written.check());
        assert_eq!(PoolRef::of_chunk(self.pool).unwrap().stats(), self.counted);
        // SAFETY: one thread, a live chunk.
        if let Some(stats) = unsafe { ops::stats(self.top) } {
            let below = self.members.iter().filter(|(c, _)| c.parent() == Some(self.pool));
            let sizes = || self.bare.iter().chain(below.clone().map(|(_, written)| written)).map(|w| w.size);
            assert_eq!(stats.current, sizes().sum::<usize>());
            // The pool itself is one more.
            assert_eq!(stats.allocations - stats.frees, sizes().count() + 1);
        }
    }

    /// A step of a program that makes a chunk in front of the pool's room, or one that goes to it, now and then.
    fn step_of_bytes(&mut self, rng: &mut Rng) {
        let byte = rng.next() as u8;
        let size = rng.below(200);
        match rng.below(128) {
            0 => self.bare(1 << 16, byte),
            1 => self.member(if byte < 128 { size } else { 1 << 20 }, byte),
            2 if !self.members.is_empty() => self.free_member(0),
            3 if !self.members.is_empty() => {
                self.move_member(0, if byte < 128 { self.pool } else { self.elsewhere })
            }
            4..=13 => self.empty(byte < 240),
            _ => self.bare(size, byte),
        }
    }

    fn step(&mut self, rng: &mut Rng, largest: usize) {
        let byte = rng.next() as u8;
        let most = if rng.below(50) == 0 { largest } else { 200 };
        let size = rng.below(most);
        let some = if self.members.is_empty() { None } else { Some(rng.below(self.members.len())) };
        match (rng.below(16), some) {
            (0..=5, _) => self.bare(size, byte),
            (6..=9, _) => self.member(size, byte),
            (10..=11, Some(i)) => self.free_member(i),
            (12, Some(i)) => self.resize_member(i, size, byte),
            (13, Some(i)) => self.move_member(i, if byte < 200 { self.pool } else { self.elsewhere }),
            (14, _) if byte < 20 => self.empty(byte.is_multiple_of(2)),
            _ => {}
        }
    }
}

#[test]
fn bare_bytes_stay_as_they_were_written() {
    let _alone = ALONE.lock();
    let (seeds, steps) = if cfg!(miri) { (2, 300) } else { (60, 3000) };
    let mut quick_resets = 0;
    for seed in 1..=seeds {
        let mut rng = Rng(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15) | 1);
        let (top, room) = (root(), rng.below(8000));
        // SAFETY: one thread.
        let pool = unsafe {
            match seed % 3 {
                0 => ops::pool(Some(top), room),
                1 => ops::growable_pool(Some(top), room, 0),
                _ => ops::growable_pool(Some(top), room, 4 * room),
            }
            .unwrap()
        };
        let none = Stats::default();
        let mut world = World {
            top,
            pool,
            elsewhere: root(),
            bare: vec![],
            members: vec![],
            counted: none,
            quick_resets: 0,
        };
        let of_bytes = seed % 4 == 1;
        for step in 0..steps {
            if step == steps / 3 && seed % 5 < 2 {
                // SAFETY: one thread, a live chunk.
                unsafe { ops::enable_stats(top).unwrap() };
            }
            if of_bytes {
                world.step_of_bytes(&mut rng);
            } else {
                world.step(&mut rng, if seed % 4 == 0 { 300_000 } else { 3000 });
            }
            if step % 16 == 0 {
                world.check();
            }
        }
        world.check();
        quick_resets += world.quick_resets;
        // The pool goes while members are elsewhere; bare bytes go with it.
        let elsewhere = world.elsewhere;
        world.members.retain(|(c, _)| c.parent() == Some(elsewhere));
        free(pool);
        world.members.iter().for_each(|(_, written)| written.check());
        // SAFETY: one thread, a live chunk.
        let counted = unsafe { ops::stats(top) }.unwrap_or_default();
        assert_eq!((counted.current, counted.allocations), (0, counted.frees));
        free(elsewhere);
        free(top);
    }
    assert!(quick_resets > seeds as usize, "{quick_resets} resets went the short way");
}
