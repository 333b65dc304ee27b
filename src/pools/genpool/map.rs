//! The map of a range: a bit for each granule, set while it is taken, and above them summaries of ever
//! longer stretches, so that a place is found in a time that grows with the logarithm of the range.
//!
//! Level `h` is cut into nodes of `64 << h` granules, each at a multiple of its length *from address 0*,
//! not from the start of the range: so a block of the map is a block of the address space. The lowest
//! levels are worked out from the words; from level [`STORED`] on, nodes are stored, up to the level at
//! which two are enough. Before the first granule and behind the last one nothing is free.
//!
//! ```text
//! level 3    ├──────────── node ────────────┼─ …
//! level 2    ├──── node ────┼──── node ─────┼─ …      stored from here on
//! words      ├─┼─┼─┼─┼─┼─┼─┼─┼─┼─┼─┼─┼─┼─┼─┼─ …      64 granules each
//! ```
//!
//! A map may have a set of lengths (`lengths`) for each stored node, which best fit finds its place by.
//!
//! Invariant: each stored node is the join of the two below it, and so is its set. Called by `fit`, and by `range`.

use core::ops::Range;

use super::bits::{self, WORD};
use super::lengths;
use super::summary::Summary;

/// The lowest level whose nodes are stored.
const STORED: u32 = 2;
/// Levels that a map can have.
const LEVELS: usize = 26;
/// The most granules of a range: 2^31.
pub(super) const MAX_GRANULES: usize = 1 << 31;

/// How a map is laid out: where its words lie in the address space, and its nodes in the store.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// Which word of the address space the first word is, counted from address 0.
    first_word: usize,
    /// How many words there are.
    words: usize,
    /// The bits of the range itself, in the first word and up to the last one.
    bits: Range<usize>,
    /// The level at which there are one or two nodes.
    top: u32,
    /// Where in the store each level starts.
    starts: [u32; LEVELS],
    /// How many nodes are stored.
    nodes: usize,
}

impl Shape {
    /// Of a map of `granules` granules, at most [`MAX_GRANULES`], the first of which is number `first`
    /// of the address space.
    pub(super) fn new(first: usize, granules: usize) -> Shape {
        let first_word = first / WORD;
        let words = (first + (granules - 1)) / WORD + 1 - first_word;
        let bits = first % WORD..first % WORD + granules;
        let mut shape = Shape { first_word, words, bits, top: STORED, starts: [0; LEVELS], nodes: 0 };
        loop {
            let count = shape.count(shape.top);
            shape.starts[shape.top as usize] = shape.nodes as u32;
            shape.nodes += count;
            if count <= 2 {
                return shape;
            }
            shape.top += 1;
        }
    }

    /// Words of the bit map.
    pub(super) fn words(&self) -> usize {
        self.words
    }

    /// Nodes that are stored.
    pub(super) fn nodes(&self) -> usize {
        self.nodes
    }

    /// The bits that stand for granules of the range.
    pub(super) fn bits(&self) -> Range<usize> {
        self.bits.clone()
    }

    /// How many nodes level `h` has.
    fn count(&self, h: u32) -> usize {
        ((self.first_word + (self.words - 1)) >> h) - (self.first_word >> h) + 1
    }

    /// The node of level `h` that `word` lies in.
    fn node_of(&self, h: u32, word: usize) -> usize {
        ((self.first_word + word) >> h) - (self.first_word >> h)
    }

    /// The nodes below node `i` of level `h`; the left one may be missing.
    fn below(&self, h: u32, i: usize) -> (Option<usize>, usize) {
        let left = 2 * ((self.first_word >> h) + i);
        let first = self.first_word >> (h - 1);
        (left.checked_sub(first), left + 1 - first)
    }

    /// The first bit of node `i` of level `h`, which may lie before the map; a multiple of 64.
    fn start_of(&self, h: u32, i: usize) -> isize {
        let word = ((self.first_word >> h) + i) << h;
        (word as isize - self.first_word as isize) * WORD as isize
    }

    /// The highest level on which a node starts at `word`.
    fn highest_at(&self, word: usize) -> u32 {
        (self.first_word + word).trailing_zeros().min(self.top)
    }

    /// `bit`, or the next one behind it that is a multiple of `align` granules in the address space.
    pub(super) fn align_up(&self, bit: usize, align: usize) -> Option<usize> {
        let first = self.first_word * WORD;
        (first + bit).checked_next_multiple_of(align).map(|granule| granule - first)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Map<'a> {
    shape: &'a Shape,
    taken: &'a mut [u64],
    nodes: &'a mut [Summary],
    /// As many as nodes, or none.
    lengths: &'a mut [u64],
}

impl<'a> Map<'a> {
    /// The map that `taken` and `nodes` hold, which are as long as `shape` says; `lengths` has a word for each node, or
    /// none.
    pub(super) fn new(
        shape: &'a Shape,
        taken: &'a mut [u64],
        nodes: &'a mut [Summary],
        lengths: &'a mut [u64],
    ) -> Map<'a> {
        Map { shape, taken, nodes, lengths }
    }

    /// Makes all granules of the range free.
    pub(super) fn start(&mut self) {
        self.taken.fill(u64::MAX);
        bits::clear(self.taken, self.shape.bits());
        for h in STORED..=self.shape.top {
            for i in 0..self.shape.count(h) {
                self.nodes[self.shape.starts[h as usize] as usize + i] = self.joined(h, i);
            }
        }
    }

    /// Fills in the sets of lengths.
    pub(super) fn start_lengths(&mut self) {
        for h in STORED..=self.shape.top {
            for i in 0..self.shape.count(h) {
                self.lengths[self.shape.starts[h as usize] as usize + i] = self.joined_lengths(h, i);
            }
        }
    }

    /// Whether the map has sets of lengths.
    pub(super) fn has_lengths(&self) -> bool {
        !self.lengths.is_empty()
    }

    /// How the map is laid out.
    pub(super) fn shape(&self) -> &'a Shape {
        self.shape
    }

    /// Marks free bits as taken.
    pub(super) fn take(&mut self, range: Range<usize>) {
        bits::set(self.taken, range.clone());
        self.update(range);
    }

    /// Marks taken bits as free.
    pub(super) fn give(&mut self, range: Range<usize>) {
        bits::clear(self.taken, range.clone());
        self.update(range);
    }

    /// Whether all bits of `range`, which lies in the map, are free.
    pub(super) fn is_free(&self, range: Range<usize>) -> bool {
        range.is_empty() || self.is_free_at(range.start) && self.run_end(range.start) >= range.end
    }

    /// Whether the bit is free.
    pub(super) fn is_free_at(&self, bit: usize) -> bool {
        !bits::has(self.taken, bit)
    }

    /// The length of the longest free run.
    pub(super) fn longest(&self) -> usize {
        let nodes = self.tops();
        let over = nodes[0].suffix as usize + nodes[1].prefix as usize;
        over.max(nodes[0].longest as usize).max(nodes[1].longest as usize)
    }

    /// Where the first `n` free bits in a row at or behind `from` start.
    pub(super) fn first_run(&self, from: usize, n: usize) -> Option<usize> {
        let mut word = from.div_ceil(WORD);
        // Free bits right before the word that is looked at.
        let mut before = 0;
        if !from.is_multiple_of(WORD) {
            let free = self.free_bits(word - 1) & u64::MAX << (from % WORD);
            if let Some(at) = bits::run_in(free, n) {
                return Some((word - 1) * WORD + at);
            }
            before = free.leading_ones() as usize;
        }
        while word < self.shape.words {
            let mut h = self.shape.highest_at(word);
            let node = loop {
                let node = self.node(h, self.shape.node_of(h, word));
                if before + node.prefix as usize >= n {
                    return Some(word * WORD - before);
                }
                if (node.longest as usize) < n {
                    break node;
                }
                if h == 0 {
                    return bits::run_in(self.free_bits(word), n).map(|at| word * WORD + at);
                }
                h -= 1;
            };
            let length = WORD << h;
            before = if node.prefix as usize == length { before + length } else { node.suffix as usize };
            word += 1 << h;
        }
        None
    }

    /// The first taken bit behind the free one at `bit`; the end of the map if there is none.
    pub(super) fn run_end(&self, bit: usize) -> usize {
        let taken = self.taken[bit / WORD] & u64::MAX << (bit % WORD);
        if taken != 0 {
            return bit / WORD * WORD + taken.trailing_zeros() as usize;
        }
        let mut word = bit / WORD + 1;
        while word < self.shape.words {
            let h = self.shape.highest_at(word);
            let node = self.node(h, self.shape.node_of(h, word));
            if node.prefix as usize != WORD << h {
                return word * WORD + node.prefix as usize;
            }
            word += 1 << h;
        }
        self.shape.words * WORD
    }

    /// The first of the shortest free runs of `n` bits or more: where it starts, and its length; `None` if that is
    /// [`LONG`](lengths::LONG), or there is none. The map has sets of lengths.
    pub(super) fn shortest_run(&self, n: usize) -> Option<(usize, usize)> {
        let (top, [left, right]) = (self.shape.top, self.tops());
        let [in_left, in_right] = [self.lengths(top, 0), self.lengths(top, 1)];
        let between = left.suffix + right.prefix;
        let at_ends = lengths::only(left.prefix) | lengths::only(between) | lengths::only(right.suffix);
        let length = lengths::shortest(in_left | in_right | at_ends, n)?;
        // A node is longer than what is not long: what is at one of its ends is not at both.
        let [first, middle] = [self.shape.start_of(top, 0), self.shape.start_of(top, 1)];
        let at = if left.prefix as usize == length {
            first as usize
        } else if in_left >> length & 1 != 0 {
            self.run_in(top, 0, length)?
        } else if between as usize == length {
            middle as usize - left.suffix as usize
        } else if in_right >> length & 1 != 0 {
            self.run_in(top, 1, length)?
        } else {
            middle as usize + (WORD << top) - length
        };
        Some((at, length))
    }

    /// Where the first run of just `length` bits starts in node `i` of level `h`, whose set has it.
    fn run_in(&self, mut h: u32, mut i: usize, length: usize) -> Option<usize> {
        while h > STORED {
            let (left, right) = self.shape.below(h, i);
            h -= 1;
            i = right;
            if let Some(left) = left {
                let suffix = self.node(h, left).suffix as usize;
                if self.lengths(h, left) >> length & 1 != 0 {
                    i = left;
                } else if suffix + self.node(h, right).prefix as usize == length {
                    return Some(self.shape.start_of(h, right) as usize - suffix);
                }
            }
        }
        // What begins before the node is not in its set.
        let mut from = (self.shape.start_of(h, i) + self.node(h, i).prefix as isize).max(0) as usize;
        loop {
            let at = self.first_run(from, length)?;
            from = self.run_end(at);
            if from - at == length {
                return Some(at);
            }
        }
    }

    /// The first of the smallest free blocks of order `order` or more: its order, and where it starts.
    pub(super) fn smallest_block(&self, order: u32) -> Option<(u32, usize)> {
        let tops = self.tops();
        let found = [tops[0].order_for(order), tops[1].order_for(order)];
        let order = found.into_iter().flatten().min()?;
        let i = usize::from(found[0] != Some(order));
        Some((order, self.block_in(self.shape.top, i, order)))
    }

    /// Where the first free block of `order` starts in node `i` of level `h`, which has one.
    fn block_in(&self, mut h: u32, mut i: usize, order: u32) -> usize {
        loop {
            // A free block of the length of the node is the node.
            if order == WORD.trailing_zeros() + h {
                return self.shape.start_of(h, i) as usize;
            }
            if h == 0 {
                let blocks = bits::blocks_in(self.free_bits(i))[order as usize];
                return i * WORD + blocks.trailing_zeros() as usize;
            }
            let (left, right) = self.shape.below(h, i);
            h -= 1;
            i = match left {
                Some(left) if self.node(h, left).orders >> order & 1 != 0 => left,
                _ => right,
            };
        }
    }

    /// The two nodes of the highest level; the second one may be of nothing.
    fn tops(&self) -> [Summary; 2] {
        let top = self.shape.top;
        [self.node(top, 0), self.node(top, 1)]
    }

    fn free_bits(&self, word: usize) -> u64 {
        !self.taken[word]
    }

    /// Node `i` of level `h`; one behind the last is of nothing.
    #[inline]
    fn node(&self, h: u32, i: usize) -> Summary {
        if h < STORED {
            return self.joined(h, i);
        }
        let at = self.shape.starts[h as usize] as usize + i;
        if i < self.shape.count(h) { self.nodes[at] } else { Summary::USED }
    }

    /// Node `i` of level `h`, from those below it.
    #[inline]
    fn joined(&self, h: u32, i: usize) -> Summary {
        if h == 0 {
            return if i < self.shape.words { Summary::of_word(self.free_bits(i)) } else { Summary::USED };
        }
        let (left, right) = self.shape.below(h, i);
        let left = left.map_or(Summary::USED, |left| self.node(h - 1, left));
        Summary::join(left, self.node(h - 1, right), (WORD as u32) << (h - 1))
    }

    /// The set of node `i` of level `h`, at which they are stored; one behind the last has none.
    fn lengths(&self, h: u32, i: usize) -> u64 {
        let at = self.shape.starts[h as usize] as usize + i;
        if i < self.shape.count(h) { self.lengths[at] } else { 0 }
    }

    /// The set of node `i` of level `h`, from what is below it.
    fn joined_lengths(&self, h: u32, i: usize) -> u64 {
        if h == STORED {
            let first = self.shape.start_of(h, i) / WORD as isize;
            let free = |word| usize::try_from(word).ok().filter(|&word| word < self.shape.words);
            return lengths::of_words(
                (first..first + (1 << h)).map(|word| free(word).map_or(0, |word| self.free_bits(word))),
            );
        }
        let (left, right) = self.shape.below(h, i);
        let with_set = |i| (self.node(h - 1, i), self.lengths(h - 1, i));
        lengths::join(left.map_or((Summary::USED, 0), with_set), with_set(right), (WORD as u32) << (h - 1))
    }

    /// Makes node `i` of level `h` true again. Says whether it was not.
    #[inline]
    fn renew(&mut self, h: u32, i: usize) -> bool {
        let at = self.shape.starts[h as usize] as usize + i;
        let now = self.joined(h, i);
        let mut changed = self.nodes[at] != now;
        self.nodes[at] = now;
        if self.has_lengths() {
            let now = self.joined_lengths(h, i);
            changed |= self.lengths[at] != now;
            self.lengths[at] = now;
        }
        changed
    }

    /// Makes the nodes above `range` true again. A level on which nothing has changed is the last.
    fn update(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let (first, last) = (range.start / WORD, (range.end - 1) / WORD);
        for h in STORED..=self.shape.top {
            let mut changed = false;
            for i in self.shape.node_of(h, first)..=self.shape.node_of(h, last) {
                changed |= self.renew(h, i);
            }
            if !changed {
                return;
            }
        }
    }

    #[cfg(test)]
    pub(super) fn assert_consistent(&self) {
        for h in STORED..=self.shape.top {
            for i in 0..self.shape.count(h) {
                assert_eq!(self.node(h, i), self.joined(h, i), "level {h} node {i}");
                if self.has_lengths() {
                    assert_eq!(self.lengths(h, i), self.joined_lengths(h, i), "level {h} node {i}");
                }
            }
        }
    }
}
