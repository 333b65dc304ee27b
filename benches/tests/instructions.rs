//! No change slows the hottest calls silently: instructions counted by callgrind
//! against the committed snapshot. Times are never asserted, counts can be.

use std::process::ExitCode;
use tmempool_bench::instructions::{self, Counts, TOLERANCE, Verdict};
use tmempool_bench::place;
use tmempool_bench::program::Program;
use tmempool_bench::subject::Subject;

const ACCEPT: &str = "cargo run --release -p tmempool-bench -- instructions --accept";

fn main() -> ExitCode {
    if let Some(why) = instructions::obstacle() {
        println!("instruction counts: skipped, {why}");
        return ExitCode::SUCCESS;
    }
    let Some(library) = place::drop_in() else {
        println!("instruction counts: skipped, the drop-in is not built (run `make`)");
        return ExitCode::SUCCESS;
    };
    match compare(&Subject::tmempool(&library)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(worse) => {
            println!(
                "\n{worse} of the hottest calls take over {:.0} % more instructions than accepted, \
                 or are not in the snapshot. Find out why; if it is meant, accept it with\n    {ACCEPT}\n\
                 and say in the commit what it buys.",
                TOLERANCE * 100.0
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("instruction counts: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Counts every call; returns how many are worse than the snapshot.
fn compare(ours: &Subject) -> anyhow::Result<usize> {
    let program = Program::build(&ours.talloc)?;
    let snapshot = Counts::snapshot()?;
    let mut worse = 0;
    for call in instructions::calls(&program, ours)? {
        let count = instructions::count(&program, ours, &call)?;
        let accepted = snapshot.calls.get(&call).copied().unwrap_or_default();
        let verdict = snapshot.judge(&call, count);
        println!("{call:<24} {count:>8} instructions, accepted {accepted:>8}: {verdict:?}");
        worse += usize::from(matches!(verdict, Verdict::Worse | Verdict::New));
    }
    Ok(worse)
}
