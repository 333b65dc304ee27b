//! What is free in a stretch of granules, in 16 bytes: enough to know whether a run or a block can be
//! found in it, and to put two stretches together. Called by `map`.

use super::bits;

/// What is free in a stretch of 64 times a power of two granules, at a multiple of its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// Free granules at its start.
    pub(super) prefix: u32,
    /// Free granules at its end.
    pub(super) suffix: u32,
    /// The length of its longest free run.
    pub(super) longest: u32,
    /// A bit for each order of which it has a free block that is not half of a larger free one. A block
    /// of order `k` is 2^k granules at a multiple of its size.
    pub(super) orders: u32,
}

impl Summary {
    /// Nothing is free.
    pub(super) const USED: Summary = Summary { prefix: 0, suffix: 0, longest: 0, orders: 0 };

    /// Of 64 granules, whose free ones are the set bits.
    pub(super) fn of_word(free: u64) -> Summary {
        if free == 0 {
            return Summary::USED;
        }
        if free == u64::MAX {
            return Summary { prefix: 64, suffix: 64, longest: 64, orders: 1 << 6 };
        }
        let mut orders = 0;
        for (order, blocks) in bits::blocks_in(free).into_iter().enumerate() {
            orders |= u32::from(blocks != 0) << order;
        }
        Summary {
            prefix: free.trailing_ones(),
            suffix: free.leading_ones(),
            longest: bits::longest_run_in(free),
            orders,
        }
    }

    /// Of `left` and `right` behind it, each of `length` granules.
    #[inline]
    pub(super) fn join(left: Summary, right: Summary, length: u32) -> Summary {
        let (left_is_free, right_is_free) = (left.prefix == length, right.prefix == length);
        Summary {
            prefix: if left_is_free { length + right.prefix } else { left.prefix },
            suffix: if right_is_free { length + left.suffix } else { right.suffix },
            longest: left.longest.max(right.longest).max(left.suffix + right.prefix),
            orders: if left_is_free && right_is_free { 2 * length } else { left.orders | right.orders },
        }
    }

    /// The smallest order, `order` or more, of which there is a free block.
    pub(super) fn order_for(self, order: u32) -> Option<u32> {
        let larger = self.orders.checked_shr(order)?;
        (larger != 0).then(|| order + larger.trailing_zeros())
    }
}
