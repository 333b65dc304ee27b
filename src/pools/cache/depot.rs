//! The depot of a cache: full stacks that threads have left there, for those who find their magazines empty.
//!
//! ```text
//!          oldest                newest
//! │   │   │ stack │ stack │ … │ stack │   │   │      a ring
//! ```
//! It is short, and keeps what was left last: where it is full, the oldest stack goes into slabs. Each stack remembers who
//! left it, so that a thread can take back its own. All of it is guarded by the lock of the cache.

use super::stack::Stack;

/// The most stacks of a depot.
const STACKS: usize = 256;

/// See the module.
#[derive(Debug)]
pub(super) struct Depot {
    stacks: [Option<Stack>; STACKS],
    /// The thread pointer of who left each.
    owners: [usize; STACKS],
    /// The place of the oldest one.
    oldest: usize,
    len: usize,
    /// How many there may be.
    limit: usize,
}

impl Depot {
    /// One that keeps up to `most` bytes of objects, in stacks of `bytes` each; but one stack in any case.
    pub(super) fn new(most: usize, bytes: usize) -> Depot {
        Depot {
            stacks: [None; STACKS],
            owners: [0; STACKS],
            oldest: 0,
            len: 0,
            limit: (most / bytes).clamp(1, STACKS),
        }
    }

    /// How many stacks are in it.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many stacks it has room for.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// The place of number `i`, counted from the oldest one.
    fn place(&self, i: usize) -> usize {
        (self.oldest + i) % STACKS
    }

    /// Puts a full stack in that the thread `owner` leaves. There is room.
    pub(super) fn put(&mut self, stack: Stack, owner: usize) {
        debug_assert!(self.len < self.limit, "there is room");
        let place = self.place(self.len);
        self.stacks[place] = Some(stack);
        self.owners[place] = owner;
        self.len += 1;
    }

    /// Takes the newest stack out.
    pub(super) fn take_newest(&mut self) -> Option<Stack> {
        self.len = self.len.checked_sub(1)?;
        self.stacks[self.place(self.len)].take()
    }

    /// Takes the oldest stack out.
    pub(super) fn take_oldest(&mut self) -> Option<Stack> {
        self.len = self.len.checked_sub(1)?;
        let place = self.oldest;
        self.oldest = self.place(1);
        self.stacks[place].take()
    }

    /// Takes the newest stack out that `owner` has left.
    pub(super) fn take_newest_of(&mut self, owner: usize) -> Option<Stack> {
        let i = (0..self.len).rfind(|&i| self.owners[self.place(i)] == owner)?;
        // Those above it come down.
        for above in i + 1..self.len {
            let (from, to) = (self.place(above), self.place(above - 1));
            self.stacks.swap(from, to);
            self.owners[to] = self.owners[from];
        }
        self.take_newest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// Whatever is put in and taken out in whatever way: what a list of stacks and owners does, the ring does.
    #[test]
    fn it_is_a_list_of_which_the_newest_the_oldest_or_a_threads_newest_is_taken() {
        let mut depot = Depot::new(5, 1);
        let mut list: Vec<(Stack, usize)> = Vec::new();
        let mut state = 1_u32;
        let mut random = |n: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % n
        };
        for _ in 0..10_000 {
            let owner = 2 + random(3) as usize;
            let (took, expected) = match random(6) {
                0 => (depot.take_newest(), list.pop()),
                1 => (depot.take_oldest(), if list.is_empty() { None } else { Some(list.remove(0)) }),
                2 => {
                    let newest = list.iter().rposition(|&(_, other)| other == owner);
                    (depot.take_newest_of(owner), newest.map(|i| list.remove(i)))
                }
                _ if list.len() == depot.limit() => (None, None),
                _ => {
                    let stack = Stack::create(1).unwrap();
                    depot.put(stack, owner);
                    list.push((stack, owner));
                    (None, None)
                }
            };
            assert_eq!(took, expected.map(|(stack, _)| stack));
            assert_eq!(depot.len(), list.len());
            // SAFETY: made above, and nobody's any more.
            took.into_iter().for_each(|stack| unsafe { stack.end() });
        }
        // SAFETY: as above.
        list.into_iter().for_each(|(stack, _)| unsafe { stack.end() });
    }
}
