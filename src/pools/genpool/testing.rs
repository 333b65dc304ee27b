//! What the tests of this folder share: a generator of random numbers, the same sequence for the same seed.

pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        ((self.next() >> 33) as usize) % n
    }

    /// A word of runs: dense, sparse, of few long ones, or with nothing clear or set.
    pub(super) fn pattern(&mut self) -> u64 {
        match self.below(6) {
            0 => self.next(),
            1 => self.next() & self.next() & self.next(),
            2 => self.next() | self.next() | self.next(),
            3 => u64::MAX << self.below(64),
            4 => (u64::MAX >> self.below(64)).rotate_left(self.below(64) as u32),
            _ => [0, u64::MAX, 1, 1 << 63][self.below(4)],
        }
    }
}
