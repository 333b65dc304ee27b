//! Bits in words: ranges set, cleared and looked at, 64 at a time. Plain arithmetic on slices; bit `i`
//! is bit `i % 64` of word `i / 64`. Called by `map` and `ledger`.

use core::ops::Range;

/// Bits of a word.
pub(super) const WORD: usize = 64;

/// The words that `range` touches, each with the bits that belong to it.
fn parts(range: Range<usize>) -> impl Iterator<Item = (usize, u64)> {
    let words = if range.is_empty() { 0..0 } else { range.start / WORD..(range.end - 1) / WORD + 1 };
    words.map(move |word| {
        let from = range.start.saturating_sub(word * WORD);
        let to = (range.end - word * WORD).min(WORD);
        (word, (u64::MAX >> (WORD - (to - from))) << from)
    })
}

/// Sets all bits of `range`.
pub(super) fn set(words: &mut [u64], range: Range<usize>) {
    parts(range).for_each(|(word, mask)| words[word] |= mask);
}

/// Clears all bits of `range`.
pub(super) fn clear(words: &mut [u64], range: Range<usize>) {
    parts(range).for_each(|(word, mask)| words[word] &= !mask);
}

/// Whether the bit is set.
pub(super) fn has(words: &[u64], bit: usize) -> bool {
    words[bit / WORD] >> (bit % WORD) & 1 != 0
}

/// The first set bit in `range`.
pub(super) fn next_set(words: &[u64], range: Range<usize>) -> Option<usize> {
    parts(range)
        .map(|(word, mask)| (word, words[word] & mask))
        .find(|&(_, bits)| bits != 0)
        .map(|(word, bits)| word * WORD + bits.trailing_zeros() as usize)
}

/// Where the first run of `n` set bits in a word starts.
pub(super) fn run_in(bits: u64, n: usize) -> Option<usize> {
    if n > WORD {
        return None;
    }
    // A bit stays set as long as a run of the length reached so far starts there.
    let (mut starts, mut length) = (bits, 1);
    while length < n {
        let more = length.min(n - length);
        starts &= starts >> more;
        length += more;
    }
    (starts != 0).then(|| starts.trailing_zeros() as usize)
}

/// The length of the longest run of set bits in a word.
pub(super) fn longest_run_in(bits: u64) -> u32 {
    if bits == 0 {
        return 0;
    }
    // doubled[k]: where runs of 2^k start. Up while there are any, and down again by halves.
    let mut doubled = [bits; 7];
    let mut k = 0;
    while k < 6 {
        let next = doubled[k] & doubled[k] >> (1 << k);
        if next == 0 {
            break;
        }
        k += 1;
        doubled[k] = next;
    }
    let (mut starts, mut length) = (doubled[k], 1u32 << k);
    while k > 0 {
        k -= 1;
        if length < 64 {
            let longer = starts & doubled[k] >> length;
            if longer != 0 {
                starts = longer;
                length += 1 << k;
            }
        }
    }
    length
}

/// The bits at multiples of 2^`order`, below 64.
const fn multiples_of(order: u32) -> u64 {
    u64::MAX / (u64::MAX >> (64 - (1 << order)))
}

/// For each order below 6, the blocks of 2^order set bits at a multiple of their size in `bits`, not all
/// set, that belong to no larger such block: where they start.
pub(super) fn blocks_in(bits: u64) -> [u64; 6] {
    let mut blocks = [0; 6];
    let mut whole = bits;
    for (order, blocks) in blocks.iter_mut().enumerate() {
        let size = 1 << order;
        let pairs = whole & whole >> size & multiples_of(order as u32 + 1);
        *blocks = whole & !(pairs | pairs << size);
        whole = pairs;
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::super::testing::Rng;
    use super::*;
    use std::vec::Vec;

    fn bools(words: &[u64]) -> Vec<bool> {
        (0..words.len() * WORD).map(|bit| has(words, bit)).collect()
    }

    #[test]
    fn ranges_are_those_of_a_vector() {
        let mut rng = Rng::new(1);
        let (mut words, mut model) = ([0u64; 5], std::vec![false; 5 * WORD]);
        for _ in 0..5000 {
            let a = rng.below(5 * WORD + 1);
            let b = rng.below(5 * WORD + 1);
            let range = a.min(b)..a.max(b);
            let next = model[range.clone()].iter().position(|&bit| bit).map(|at| range.start + at);
            assert_eq!(next_set(&words, range.clone()), next);
            if rng.below(2) == 0 {
                set(&mut words, range.clone());
                model[range].fill(true);
            } else {
                clear(&mut words, range.clone());
                model[range].fill(false);
            }
            assert_eq!(bools(&words), model);
        }
    }

    #[test]
    fn runs_in_a_word_are_those_of_a_vector() {
        let mut rng = Rng::new(2);
        for _ in 0..2000 {
            let bits = rng.pattern();
            let model = bools(&[bits]);
            let longest = model.split(|&bit| !bit).map(<[bool]>::len).max().unwrap();
            assert_eq!(longest_run_in(bits) as usize, longest, "{bits:#x}");
            for n in 1..=66 {
                let first = model.windows(n).position(|run| run.iter().all(|&bit| bit));
                assert_eq!(run_in(bits, n), first, "{bits:#x} {n}");
            }
        }
    }

    #[test]
    fn blocks_in_a_word_are_those_of_a_vector() {
        let mut rng = Rng::new(3);
        for _ in 0..2000 {
            let bits = rng.pattern() & !(1 << rng.below(64));
            let model = bools(&[bits]);
            for (order, blocks) in blocks_in(bits).into_iter().enumerate() {
                let size = 1 << order;
                let is_free = |at: usize, size: usize| model[at..at + size].iter().all(|&bit| bit);
                for at in 0..WORD {
                    let parent = at & !(2 * size - 1);
                    let wanted = at % size == 0 && is_free(at, size) && !is_free(parent, 2 * size);
                    assert_eq!(has(&[blocks], at), wanted, "{bits:#x} {order} {at}");
                }
            }
        }
    }
}
