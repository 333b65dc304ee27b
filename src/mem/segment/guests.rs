//! Guests: blocks of no more than a slice that have grown so far and will go on, it is thought, in a mapping that a larger
//! block has left. They are copied no more then.
//!
//! What stays small is better off in a slot: a guest holds a mapping and a slice of 64 KiB, whatever it needs of that, and comes
//! and goes behind the lock of all segments. So there are [`MOST`] at a time, and none where the last ones stayed small, or
//! nothing has grown past a slice yet.

/// So many at a time.
const MOST: usize = 4;
/// The most credit there is.
const FULL: u8 = 3;
/// What one costs that stayed small.
const PRICE: u8 = 2;

/// See the module.
pub(super) struct Guests {
    /// How many there are.
    here: usize,
    /// What speaks for one more.
    credit: u8,
}

impl Guests {
    pub(super) const fn new() -> Guests {
        Guests { here: 0, credit: 0 }
    }

    /// Whether one more may come.
    pub(super) fn may_come(&self) -> bool {
        self.here < MOST && self.credit > 0
    }

    /// A block with a mapping of its own had so many slices, and has so many now; of none at all 0.
    pub(super) fn see(&mut self, had: usize, has: usize) {
        self.here = self.here + usize::from(has == 1) - usize::from(had == 1);
        match (had, has) {
            (1, 0) => self.credit = self.credit.saturating_sub(PRICE),
            (1, 2..) => self.see_growth(),
            _ => {}
        }
    }

    /// A block has grown past a slice.
    pub(super) fn see_growth(&mut self) {
        self.credit = (self.credit + 1).min(FULL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_a_few_at_a_time() {
        let mut guests = Guests::new();
        assert!(!guests.may_come(), "nothing has grown yet");
        guests.see_growth();
        for _ in 0..MOST {
            assert!(guests.may_come());
            guests.see(0, 1);
        }
        assert!(!guests.may_come());
        guests.see(1, 5);
        assert!(guests.may_come(), "it is a guest no more");
    }

    #[test]
    fn those_that_stay_small_are_not_asked_again() {
        let mut guests = Guests::new();
        (0..10).for_each(|_| guests.see_growth());
        let mut came = 0;
        while guests.may_come() {
            guests.see(0, 1);
            guests.see(1, 0);
            came += 1;
        }
        assert!(came <= 2, "{came} came");
        // Of those that grow, each may come.
        guests.see_growth();
        for _ in 0..10 {
            assert!(guests.may_come());
            guests.see(0, 1);
            guests.see(1, 2);
            guests.see(2, 70);
            guests.see(70, 0);
        }
        assert_eq!(guests.here, 0);
    }
}
