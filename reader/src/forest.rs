//! The trees, rebuilt from the links of the chunks that a scan has found.
//!
//! Each chunk knows its parent, and its next older sibling; each parent its newest child. The lists are followed
//! for their order, and what is in a list and says that the list's owner is its parent has its place. What is on its
//! way out is in no list; below a parent that is on its way out, too, it keeps its place. In a process that changes
//! meanwhile some chunks fit nowhere: they are counted, not guessed at. Every chunk is placed once at most, so that
//! nothing here goes round in circles, and nothing recurses.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::scan::Raw;

/// No chunk.
pub const NONE: u32 = u32::MAX;

/// Where a chunk stands among the others, by index.
#[derive(Clone, Copy, Debug)]
pub struct Links {
    /// Its parent, or [`NONE`].
    pub parent: u32,
    /// Its next older sibling, or [`NONE`].
    pub next: u32,
    /// Its newest child, or [`NONE`].
    pub child: u32,
    /// Bytes of payload in its tree.
    pub total_size: u64,
    /// Chunks in its tree.
    pub total_blocks: u32,
    /// It has its place in a list.
    placed: bool,
}

/// All trees.
#[derive(Debug)]
pub struct Forest {
    /// In the order of the chunks.
    pub links: Vec<Links>,
    /// The chunks without a parent, and those whose free is in progress; the largest tree first.
    pub roots: Vec<u32>,
    /// Chunks that have no place in any tree, and lists that could not be followed to their ends.
    pub changed: u64,
    index: Index,
}

type Index = HashMap<u64, u32, BuildHasherDefault<AddressHasher>>;

impl Forest {
    /// Rebuilds the trees of `chunks`. `is_reference` says which count for no bytes; what is at `no_root` is not
    /// shown.
    pub fn build(chunks: &[Raw], is_reference: impl Fn(&Raw) -> bool, no_root: &[u64]) -> Forest {
        let none =
            Links { parent: NONE, next: NONE, child: NONE, total_size: 0, total_blocks: 0, placed: false };
        let mut index = Index::with_capacity_and_hasher(chunks.len(), BuildHasherDefault::default());
        for (number, raw) in chunks.iter().enumerate() {
            index.insert(raw.header, number as u32);
        }
        let mut forest = Forest { links: vec![none; chunks.len()], roots: Vec::new(), changed: 0, index };
        for number in 0..chunks.len() {
            forest.follow_children(chunks, number as u32);
        }
        let mut retired = 0;
        for (number, raw) in chunks.iter().enumerate() {
            if forest.links[number].placed {
                continue;
            }
            let leaving_parent = forest.at(raw.parent).filter(|&parent| chunks[parent as usize].leaving);
            if no_root.contains(&raw.header) {
                retired += 1;
            } else if raw.leaving
                && let Some(parent) = leaving_parent
            {
                forest.links[number].parent = parent;
                forest.links[number].next = forest.links[parent as usize].child;
                forest.links[parent as usize].child = number as u32;
            } else if raw.leaving || raw.parent == 0 {
                forest.roots.push(number as u32);
            }
        }
        forest.count(chunks, is_reference);
        let in_trees = forest.roots.iter().map(|&root| u64::from(forest.links[root as usize].total_blocks));
        forest.changed += chunks.len() as u64 - retired - in_trees.sum::<u64>();
        forest
    }

    /// The chunk whose header lies at `address`.
    pub fn at(&self, address: u64) -> Option<u32> {
        self.index.get(&address).copied()
    }

    /// Puts the children of `parent` into their places.
    fn follow_children(&mut self, chunks: &[Raw], parent: u32) {
        let owner = &chunks[parent as usize];
        let mut at = owner.child;
        let mut last = NONE;
        while at != 0 {
            let child = self.at(at).filter(|&child| {
                let raw = &chunks[child as usize];
                raw.parent == owner.header && !raw.leaving && !self.links[child as usize].placed
            });
            let Some(child) = child else {
                self.changed += 1;
                break;
            };
            self.links[child as usize].placed = true;
            self.links[child as usize].parent = parent;
            match last {
                NONE => self.links[parent as usize].child = child,
                _ => self.links[last as usize].next = child,
            }
            last = child;
            at = chunks[child as usize].next;
        }
    }

    /// Totals, and the order of the roots.
    fn count(&mut self, chunks: &[Raw], is_reference: impl Fn(&Raw) -> bool) {
        for root in 0..self.roots.len() {
            let root = self.roots[root];
            // A parent is complete when the walk goes up from it: each chunk adds itself to its parent then.
            let mut at = root;
            let mut down = true;
            loop {
                if down {
                    let raw = &chunks[at as usize];
                    self.links[at as usize].total_size = if is_reference(raw) { 0 } else { raw.size.into() };
                    self.links[at as usize].total_blocks = 1;
                    if self.links[at as usize].child != NONE {
                        at = self.links[at as usize].child;
                        continue;
                    }
                }
                if at == root {
                    break;
                }
                let Links { parent, next, total_size, total_blocks, .. } = self.links[at as usize];
                self.links[parent as usize].total_size += total_size;
                self.links[parent as usize].total_blocks += total_blocks;
                down = next != NONE;
                at = if down { next } else { parent };
            }
        }
        let links = &self.links;
        self.roots.sort_by_key(|&root| {
            let Links { total_size, total_blocks, .. } = links[root as usize];
            (std::cmp::Reverse((total_size, total_blocks)), chunks[root as usize].header)
        });
    }

    /// What comes after `at` in the tree of `root`, parents before their children: the chunk, and how much deeper
    /// it lies. Children are left out unless `into` them.
    pub fn following(&self, at: u32, root: u32, into: bool) -> Option<(u32, i64)> {
        let child = self.links[at as usize].child;
        if into && child != NONE {
            return Some((child, 1));
        }
        let (mut at, mut deeper) = (at, 0);
        while at != root {
            let Links { next, parent, .. } = self.links[at as usize];
            if next != NONE {
                return Some((next, deeper));
            }
            at = parent;
            deeper -= 1;
        }
        None
    }
}

/// Addresses of chunks are multiples of 16, and near each other: a multiplication spreads them.
#[derive(Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, address: u64) {
        let mixed = (address >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(header: u64, parent: u64, next: u64, child: u64) -> Raw {
        Raw { header, parent, next, child, name: 0, size: 10, flags: 0, leaving: false }
    }

    fn build(chunks: &[Raw]) -> Forest {
        Forest::build(chunks, |_| false, &[])
    }

    /// The addresses in the tree of the first root, with their depths.
    fn walk(forest: &Forest, chunks: &[Raw]) -> Vec<(u64, i64)> {
        let root = forest.roots[0];
        let mut depth = 0;
        let mut at = root;
        let mut all = vec![(chunks[root as usize].header, 0)];
        while let Some((next, deeper)) = forest.following(at, root, true) {
            (at, depth) = (next, depth + deeper);
            all.push((chunks[at as usize].header, depth));
        }
        all
    }

    #[test]
    fn a_tree_comes_in_its_own_order_with_its_totals() {
        let chunks = [raw(1, 0, 0, 3), raw(2, 1, 0, 0), raw(3, 1, 2, 4), raw(4, 3, 0, 0)];
        let forest = build(&chunks);
        assert_eq!(walk(&forest, &chunks), [(1, 0), (3, 1), (4, 2), (2, 1)]);
        assert_eq!((forest.links[0].total_size, forest.links[0].total_blocks), (40, 4));
        assert_eq!((forest.links[2].total_size, forest.links[2].total_blocks), (20, 2));
        assert_eq!(forest.changed, 0);
    }

    #[test]
    fn the_largest_tree_comes_first() {
        let forest = build(&[raw(1, 0, 0, 0), raw(2, 0, 0, 3), raw(3, 2, 0, 0), raw(4, 0, 0, 0)]);
        assert_eq!(forest.roots, [1, 0, 3]);
    }

    #[test]
    fn rings_of_all_kinds_end_and_are_counted() {
        // A chunk that is its own parent; two that are each other's; a list that bites its tail; one that goes
        // over into another's; a child that is not there.
        for (chunks, in_trees, changed) in [
            (vec![raw(1, 1, 0, 1)], 0, 1),
            (vec![raw(1, 2, 0, 2), raw(2, 1, 0, 1)], 0, 2),
            (vec![raw(1, 0, 0, 2), raw(2, 1, 3, 0), raw(3, 1, 2, 0)], 3, 1),
            (vec![raw(1, 0, 0, 3), raw(2, 0, 0, 4), raw(3, 1, 4, 0), raw(4, 2, 0, 0)], 4, 1),
            (vec![raw(1, 0, 0, 99)], 1, 1),
            (vec![raw(1, 99, 0, 0), raw(2, 1, 0, 0)], 0, 2),
            (vec![leaving(raw(1, 2, 0, 0)), leaving(raw(2, 1, 0, 0))], 0, 2),
        ] {
            let forest = build(&chunks);
            let mut seen = 0;
            for &root in &forest.roots {
                let mut at = root;
                seen += 1;
                while let Some((next, _)) = forest.following(at, root, true) {
                    (at, seen) = (next, seen + 1);
                    assert!(seen < 10, "{chunks:?}");
                }
            }
            assert_eq!((seen, forest.changed), (in_trees, changed), "{chunks:?}");
        }
    }

    fn leaving(raw: Raw) -> Raw {
        Raw { leaving: true, ..raw }
    }

    #[test]
    fn a_free_in_progress_is_a_tree_of_its_own() {
        // 2 is being freed, with 3 and 4 below it, of which 3 is on its way.
        let chunks = [raw(1, 0, 0, 0), leaving(raw(2, 1, 0, 4)), leaving(raw(3, 2, 2, 0)), raw(4, 2, 0, 0)];
        let forest = build(&chunks);
        assert_eq!((&forest.roots[..], forest.changed), (&[1, 0][..], 0));
        assert_eq!(walk(&forest, &chunks), [(2, 0), (3, 1), (4, 1)]);
        // The root is not in the list of the parent that it had.
        assert_eq!(build(&[raw(1, 0, 0, 2), leaving(raw(2, 1, 0, 0))]).changed, 1);
    }
}
