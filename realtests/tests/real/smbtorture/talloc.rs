//! talloc's own suite: run once on each library, then one test for each of its parts.

use std::sync::OnceLock;

use libtest_mimic::{Completion, Failed, Trial};
use tmempool_realtests::costs;
use tmempool_realtests::lab::Lab;
use tmempool_realtests::library::Library;

use super::suite::{self, Account};

pub const NAME: &str = "local.talloc";

/// The suite's parts, in their order. The suite as a whole is judged last, as `talloc`.
const PARTS: [&str; 26] = [
    "ref1",
    "ref2",
    "ref3",
    "ref4",
    "unlink",
    "misc",
    "realloc",
    "REALLOC WITH CHILD",
    "steal",
    "move",
    "unref_reparent",
    "realloc_fn",
    "type",
    "lifeless",
    "loop",
    "free_parent_deny_child",
    "free_for_exit",
    "free_parent_reparent_child",
    "free_parent_reparent_child_in_pool",
    "ptrtype",
    "free_in_destructor",
    "memlimit",
    "pthread_talloc_passing",
    "speed",
    "magic_protection",
    "magic_free_protection",
];

/// A test that the suite has the parts known here, all successful, and one for each part.
pub fn trials() -> Vec<Trial> {
    let whole = Trial::ignorable_test("smbtorture local.talloc", || {
        let runs = runs()?;
        let expected: Vec<String> =
            PARTS.into_iter().chain(["talloc"]).map(|part| format!("success {part}")).collect();
        if runs.debian.verdicts == expected && runs.ours == runs.debian {
            return Ok(Completion::Completed);
        }
        let Runs { debian, ours, end } = runs;
        Err(format!("Debian's libtalloc: {debian:?}\ntmempool: {ours:?}\n{end}").into())
    });
    let parts = PARTS.map(|part| {
        Trial::ignorable_test(format!("smbtorture local.talloc {part}"), move || {
            if runs()?.ours.verdicts.contains(&format!("success {part}")) {
                return Ok(Completion::Completed);
            }
            Err(Failed::from("no success on tmempool: see the suite as a whole"))
        })
    });
    std::iter::once(whole).chain(parts).collect()
}

/// One run on each library.
struct Runs {
    debian: Account,
    ours: Account,
    /// The end of our run's transcript.
    end: String,
}

/// The runs, which the first caller makes.
fn runs() -> Result<&'static Runs, Failed> {
    static RUNS: OnceLock<Result<Runs, String>> = OnceLock::new();
    RUNS.get_or_init(run_both).as_ref().map_err(Failed::from)
}

/// Runs the suite on both libraries at once: nearly all of it is a measurement of set length.
fn run_both() -> Result<Runs, String> {
    let one = |library| {
        let base = tempfile::Builder::new().prefix("tmempool-real-").tempdir();
        let base = base.map_err(|error| error.to_string())?;
        let mut lab = Lab::new(library, base.path()).map_err(|error| error.to_string())?;
        match suite::run(&mut lab, NAME) {
            Ok(account) => Ok((account, lab.cost(), suite::end_of(&lab))),
            Err(trouble) => Err(suite::said(&trouble, &lab)),
        }
    };
    let (debian, ours) = std::thread::scope(|scope| {
        let debian = scope.spawn(|| one(Library::Debian));
        let ours = one(Library::DropIn);
        (debian.join().expect("no panic in the thread"), ours)
    });
    let ((debian, debian_cost, _), (ours, our_cost, end)) = (debian?, ours?);
    costs::note("smbtorture local.talloc", debian_cost, our_cost);
    Ok(Runs { debian, ours, end })
}
