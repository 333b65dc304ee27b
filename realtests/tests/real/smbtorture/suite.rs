//! A suite of smbtorture: each of its parts must get the verdict that it gets with Debian's library.
//!
//! A suite that judges nothing there, or needs more than a minute, is ignored and says so.

use std::process::Command;
use std::time::Duration;

use libtest_mimic::{Completion, Trial};
use tmempool_realtests::lab::{Lab, Step, Trouble};
use tmempool_realtests::library::Library;
use tmempool_realtests::{costs, dist};

const LIMIT: Duration = Duration::from_secs(60);

/// What a suite said of its parts.
#[derive(Debug, PartialEq)]
pub struct Account {
    pub ending: String,
    /// `success NAME`, `failure NAME` and the like, in the order of the parts' ends.
    pub verdicts: Vec<String>,
}

/// The names of all suites of the kind.
pub fn names() -> Vec<String> {
    let program = dist::program("smbtorture").expect("it was found before");
    let list = Command::new(program).arg("--list-suites").output().expect("it can be run");
    let mut names: Vec<String> = String::from_utf8_lossy(&list.stdout)
        .lines()
        .filter(|name| name.starts_with("local."))
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The test that a suite judges alike on both libraries.
pub fn trial(suite: String) -> Trial {
    let name = format!("smbtorture {suite}");
    Trial::ignorable_test(name.clone(), move || {
        let base = tempfile::Builder::new().prefix("tmempool-real-").tempdir()?;
        let mut debian = Lab::new(Library::Debian, base.path())?;
        let expected = run(&mut debian, &suite).map_err(|trouble| said(&trouble, &debian))?;
        if expected.verdicts.is_empty() || expected.ending == "time over" {
            return Ok(Completion::ignored_with(format!(
                "no verdict here with Debian's libtalloc either: {}",
                expected.ending
            )));
        }
        let mut ours = Lab::new(Library::DropIn, base.path())?;
        let found = run(&mut ours, &suite).map_err(|trouble| said(&trouble, &ours))?;
        costs::note(&name, debian.cost(), ours.cost());
        if found == expected {
            return Ok(Completion::Completed);
        }
        let end = end_of(&ours);
        Err(format!("Debian's libtalloc: {expected:?}\ntmempool: {found:?}\n{end}").into())
    })
}

/// Runs a suite, with all of Samba's state in the lab.
pub fn run(lab: &mut Lab, suite: &str) -> Step<Account> {
    lab.allow(LIMIT);
    lab.write("state/keep", "")?;
    let folder = lab.folder().display();
    let mut words = vec!["smbtorture".to_owned(), format!("--basedir={folder}")];
    for kind in ["private dir", "lock directory", "state directory", "cache directory"] {
        words.push(format!("--option={kind}={folder}/state"));
    }
    words.push("ncalrpc:localhost".to_owned());
    words.push(suite.to_owned());
    let run = lab.try_run(&words)?;
    Ok(Account { ending: run.ending(), verdicts: verdicts(&run.stdout) })
}

/// The verdicts in a suite's output, whose lines begin `success: NAME` and the like; a verdict with
/// a reason ends in ` [`.
fn verdicts(output: &str) -> Vec<String> {
    const WORDS: [&str; 6] = ["success", "failure", "error", "skip", "xfail", "uxsuccess"];
    output
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(word, _)| WORDS.contains(word))
        .map(|(word, name)| format!("{word} {}", name.trim_end_matches(" [")))
        .collect()
}

/// What went wrong, and the end of the transcript.
pub fn said(trouble: &Trouble, lab: &Lab) -> String {
    format!("{trouble:?}\n{}", end_of(lab))
}

/// The last lines of the transcript.
pub fn end_of(lab: &Lab) -> String {
    let lines: Vec<&str> = lab.transcript().lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
