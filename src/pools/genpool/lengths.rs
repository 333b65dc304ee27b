//! Which lengths of free runs there are in a stretch of granules, as a set of bits: with one for each node of the map, the
//! first of the shortest runs that are long enough is found in a time that grows with the logarithm of the range.
//! Best fit alone has a use for them. Called by `map`.
//!
//! A run is in the set of a stretch if it lies between two taken granules of it. Those at its ends are its summary's
//! prefix and suffix: how long they are, the stretches beside it decide.

use super::summary::Summary;

/// Runs shorter than this are told apart by their lengths; the last bit stands for all others.
pub(super) const LONG: usize = 63;

/// The set with `length` alone; with nothing for 0.
pub(super) fn only(length: u32) -> u64 {
    1 << (length as usize).min(LONG) & !1
}

/// The shortest length in `lengths` that is `n` or more. `None` if there is none but that of long runs.
pub(super) fn shortest(lengths: u64, n: usize) -> Option<usize> {
    let long_enough = lengths & !(1 << LONG) & u64::MAX.checked_shl(n as u32)?;
    (long_enough != 0).then(|| long_enough.trailing_zeros() as usize)
}

/// Of a stretch that has these free granules, a word each 64, as set bits.
pub(super) fn of_words(words: impl Iterator<Item = u64>) -> u64 {
    let (mut lengths, mut run, mut has_taken) = (0, 0, false);
    for free in words {
        let (mut rest, mut left) = (free, u64::BITS);
        loop {
            let ones = rest.trailing_ones().min(left);
            run += ones;
            if ones == left {
                break;
            }
            if has_taken {
                lengths |= only(run);
            }
            (run, has_taken) = (0, true);
            rest >>= ones;
            left -= ones;
            let zeros = rest.trailing_zeros().min(left);
            if zeros == left {
                break;
            }
            rest >>= zeros;
            left -= zeros;
        }
    }
    lengths
}

/// Of two stretches of `length` granules side by side, from their summaries and sets.
pub(super) fn join(left: (Summary, u64), right: (Summary, u64), length: u32) -> u64 {
    let between = if left.0.prefix == length || right.0.prefix == length {
        0
    } else {
        only(left.0.suffix + right.0.prefix)
    };
    left.1 | right.1 | between
}

#[cfg(test)]
mod tests {
    use super::super::testing::Rng;
    use super::*;
    use std::vec::Vec;

    /// The set of a vector's runs of `true` between two that are `false`.
    fn model(free: &[bool]) -> u64 {
        let runs: Vec<usize> = free.split(|&free| !free).map(<[bool]>::len).collect();
        let inner = if runs.len() > 2 { &runs[1..runs.len() - 1] } else { &[] };
        inner.iter().fold(0, |set, &run| set | only(run as u32))
    }

    fn bools(words: &[u64]) -> Vec<bool> {
        words.iter().flat_map(|word| (0..64).map(move |bit| word >> bit & 1 != 0)).collect()
    }

    #[test]
    fn sets_are_those_of_a_vector_however_they_are_put_together() {
        let mut rng = Rng::new(4);
        for _ in 0..3000 {
            let words = [rng.pattern(), rng.pattern(), rng.pattern(), rng.pattern()];
            let whole = of_words(words.into_iter());
            assert_eq!(whole, model(&bools(&words)), "{words:x?}");
            let half = |words: &[u64]| {
                let both = Summary::join(Summary::of_word(words[0]), Summary::of_word(words[1]), 64);
                (both, of_words(words.iter().copied()))
            };
            assert_eq!(join(half(&words[..2]), half(&words[2..]), 128), whole, "{words:x?}");
        }
    }

    #[test]
    fn the_shortest_is_none_of_the_long_ones() {
        let lengths = only(3) | only(62) | only(400);
        assert_eq!(only(0), 0);
        for (n, found) in [(1, Some(3)), (4, Some(62)), (62, Some(62)), (63, None), (64, None), (900, None)] {
            assert_eq!(shortest(lengths, n), found, "{n}");
        }
    }
}
