//! Samba's own tests: talloc's suite, and all others of the kind `local.*`, which live on talloc.

mod suite;
mod talloc;

use libtest_mimic::{Completion, Trial};
use tmempool_realtests::comparison::missing;

/// One test for each suite, and one for each part of talloc's.
pub fn trials() -> Vec<Trial> {
    if let Some(reason) = missing(&["smbtorture"]) {
        let ignored = move || Ok(Completion::ignored_with(reason));
        return vec![Trial::ignorable_test("smbtorture", ignored)];
    }
    let mut trials = talloc::trials();
    trials.extend(suite::names().into_iter().filter(|name| name != talloc::NAME).map(suite::trial));
    trials
}
