//! How much free memory stays resident, so that what is soon used again costs no page faults.
//!
//! A base, an eighth of what is in use, and an extra that is learned: memory that was given back and had
//! to be fetched again within moments was given back too early, and next time that much more is kept.
//! What was learned is forgotten after a second without use for it: without a time when all that is kept beyond the
//! rest was in use. As the budget shrinks with what
//! is in use, nobody needs to come by later to clean up after a peak.
//!
//! All counts are in slices.

use super::geometry::SLICE;
use super::os;

/// What may stay, whatever is in use: 8 MiB.
const BASE: usize = (8 << 20) / SLICE;
/// The most that is learned: 256 MiB.
const EXTRA_MAX: usize = (256 << 20) / SLICE;
/// Fetched again within this time, in milliseconds, memory was given back too early.
const TOO_EARLY: u64 = 100;
/// What was learned is forgotten after this time without use, in milliseconds.
const MEMORY: u64 = 1000;

/// See the module.
pub(super) struct Budget {
    /// In use by spans.
    in_use: usize,
    /// Free and resident.
    resident: usize,
    extra: usize,
    /// When the extra was last of use.
    useful_at: u64,
    /// Given back of late, and when that was.
    given: usize,
    given_at: u64,
}

impl Budget {
    pub(super) const fn new() -> Budget {
        Budget { in_use: 0, resident: 0, extra: 0, useful_at: 0, given: 0, given_at: 0 }
    }

    fn ordinary(&self) -> usize {
        BASE + self.in_use / 8
    }

    /// Whether more stays resident than would without what was learned.
    pub(super) fn uses_extra(&self) -> bool {
        self.resident > self.ordinary()
    }

    /// `slices` are put to use, of which `resident` were.
    pub(super) fn claim(&mut self, slices: usize, resident: usize) {
        let fetched = (slices - resident).min(self.given);
        if fetched > 0 {
            self.given -= fetched;
            let now = os::milliseconds();
            if now - self.given_at < TOO_EARLY {
                self.extra = (self.extra + fetched).min(EXTRA_MAX);
                self.useful_at = now;
            }
        }
        let had_extra = self.resident > self.ordinary();
        self.in_use += slices;
        self.resident -= resident;
        if self.extra > 0 && had_extra && self.resident <= self.ordinary() {
            self.useful_at = os::milliseconds();
        }
    }

    /// `slices` are resident that nobody has asked for.
    pub(super) fn find(&mut self, slices: usize) {
        self.resident += slices;
    }

    /// `slices` in use become free, and stay resident for now.
    pub(super) fn free(&mut self, slices: usize) {
        self.in_use -= slices;
        self.resident += slices;
    }

    /// Whether something resident must be given back.
    pub(super) fn is_exceeded(&mut self) -> bool {
        if !self.uses_extra() {
            return false;
        }
        if self.extra > 0 && os::milliseconds() - self.useful_at > MEMORY {
            self.extra = 0;
        }
        self.resident > self.ordinary() + self.extra
    }

    /// `slices` that were resident have been given back, of what only one block could have used again: nothing is learned from
    /// what others fetch after that.
    pub(super) fn give_back_tail(&mut self, slices: usize) {
        self.resident -= slices;
    }

    /// `slices` that were resident have been given back.
    pub(super) fn give_back(&mut self, slices: usize) {
        self.give_back_tail(slices);
        let now = os::milliseconds();
        if now - self.given_at > TOO_EARLY {
            self.given = 0;
        }
        self.given += slices;
        self.given_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_leaves_no_more_than_the_base() {
        let mut budget = Budget::new();
        budget.claim(10_000, 0);
        for _ in 0..10_000 {
            budget.free(1);
            while budget.is_exceeded() {
                budget.give_back(1);
            }
        }
        assert!(budget.resident <= BASE);
    }

    #[test]
    fn what_is_fetched_again_at_once_is_kept_the_next_time() {
        let mut budget = Budget::new();
        let mut given = [0; 2];
        for given in &mut given {
            budget.claim(1000, budget.resident.min(1000));
            for _ in 0..1000 {
                budget.free(1);
                while budget.is_exceeded() {
                    budget.give_back(1);
                    *given += 1;
                }
            }
        }
        assert!(given[0] > 800 && given[1] == 0, "{given:?}");
    }

    #[test]
    fn what_only_one_block_could_have_used_teaches_nothing() {
        let mut budget = Budget::new();
        for _ in 0..10 {
            budget.claim(1000, budget.resident.min(1000));
            budget.free(1000);
            budget.give_back_tail(1000);
        }
        assert_eq!((budget.extra, budget.resident), (0, 0));
    }

    #[test]
    fn what_is_never_in_use_is_not_kept_because_something_else_is() {
        let mut budget = Budget::new();
        budget.claim(3000, 0);
        budget.extra = 2000;
        budget.useful_at = os::milliseconds();
        budget.free(2000);
        assert!(!budget.is_exceeded());
        budget.useful_at -= 2 * MEMORY;
        for _ in 0..10 {
            budget.claim(100, 100);
            budget.free(100);
        }
        assert!(budget.is_exceeded());
        assert_eq!(budget.extra, 0);
    }

    #[test]
    fn what_is_all_in_use_now_and_then_is_kept() {
        let mut budget = Budget::new();
        budget.claim(3000, 0);
        budget.extra = 2000;
        budget.free(2000);
        budget.useful_at = os::milliseconds().saturating_sub(2 * MEMORY);
        for _ in 0..20 {
            budget.claim(100, 100);
        }
        budget.free(2000);
        assert!(!budget.is_exceeded());
    }
}
