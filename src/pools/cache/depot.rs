//! The depot of a cache: full stacks that threads have left there, for those who find their magazines empty.
//!
//! ```text
//!          oldest                newest
//! │   │   │ stack │ stack │ … │ stack │   │   │      a ring
//! ```
//! It is short, and keeps what was left last: where it is full, the oldest stack goes into slabs. It knows of each stack who
//! left it, so that a thread can take back its own: by a *mark*, which few threads share, for what it is worth is time and
//! nothing else. How many there are of each mark is counted, so that who left none need not search. All of it is guarded by the
//! lock of the cache.

use super::stack::Stack;

/// The most stacks of a depot.
const STACKS: usize = 256;
/// How many marks there are.
const MARKS: usize = 64;

/// The mark of the thread with this thread pointer.
fn mark_of(owner: usize) -> u8 {
    (owner.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (usize::BITS - MARKS.ilog2())) as u8
}

/// See the module.
#[derive(Debug)]
pub(super) struct Depot {
    stacks: [Option<Stack>; STACKS],
    /// The mark of who left each.
    marks: [u8; STACKS],
    /// How many there are with each mark.
    counts: [u16; MARKS],
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
            marks: [0; STACKS],
            counts: [0; MARKS],
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
        let (place, mark) = (self.place(self.len), mark_of(owner));
        self.stacks[place] = Some(stack);
        self.marks[place] = mark;
        self.counts[usize::from(mark)] += 1;
        self.len += 1;
    }

    fn take(&mut self, place: usize) -> Option<Stack> {
        self.counts[usize::from(self.marks[place])] -= 1;
        self.stacks[place].take()
    }

    /// Takes the newest stack out.
    pub(super) fn take_newest(&mut self) -> Option<Stack> {
        self.len = self.len.checked_sub(1)?;
        self.take(self.place(self.len))
    }

    /// Takes the oldest stack out.
    pub(super) fn take_oldest(&mut self) -> Option<Stack> {
        self.len = self.len.checked_sub(1)?;
        let place = self.oldest;
        self.oldest = self.place(1);
        self.take(place)
    }

    /// Takes the newest stack out that a thread with the mark of `owner` has left.
    pub(super) fn take_newest_of(&mut self, owner: usize) -> Option<Stack> {
        let mark = mark_of(owner);
        if self.counts[usize::from(mark)] == 0 {
            return None;
        }
        let i = (0..self.len).rfind(|&i| self.marks[self.place(i)] == mark)?;
        // Those above it come down.
        for above in i + 1..self.len {
            let (from, to) = (self.place(above), self.place(above - 1));
            self.stacks.swap(from, to);
            self.marks.swap(from, to);
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
