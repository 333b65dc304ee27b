//! `tmempool tree` sees from outside what the library reports from inside: `inside/trees.c` makes trees, writes
//! its own reports to a file, and waits.

mod bench;
mod dumps;
mod live;
mod refusals;
mod trees;

use std::path::PathBuf;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use tmempool_c_tests::compiler;
use tmempool_c_tests::library::Dist;

use bench::Bench;

/// The body of a test.
type Body = Box<dyn FnOnce(&Bench) -> Result<(), String> + Send>;
/// One that needs nothing but its bench.
type Plain = fn(&Bench) -> Result<(), String>;

const TESTS: [(&str, Plain); 18] = [
    ("random trees", trees::random_trees),
    ("deep chain", trees::deep_chain),
    ("many chunks", trees::many_chunks),
    ("the largest trees only", trees::the_largest_trees_only),
    ("residents", trees::residents),
    ("free in progress", trees::free_in_progress),
    ("busy process", |bench| live::busy_process(bench, false)),
    ("busy process, stopped", |bench| live::busy_process(bench, true)),
    ("signals and stops", live::signals_and_stops),
    ("core dump", dumps::core_dump),
    ("debugger's dump", dumps::debuggers_dump),
    ("damaged heap", dumps::damaged_heap),
    ("deleted library", trees::deleted_library),
    ("other version", refusals::other_version),
    ("wrong processes", refusals::wrong_processes),
    ("malloc backend", refusals::malloc_backend),
    ("no permission", refusals::no_permission),
    ("32-bit program", refusals::narrow_program),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let dist = Dist::find_or_exit();
    let Some(compiler) = compiler::installed().into_iter().next() else {
        eprintln!("error: no C compiler is installed");
        return ExitCode::FAILURE;
    };
    let mut trials = Vec::new();
    let mut add = |test: String, body: Body| {
        let dist = dist.clone();
        trials.push(Trial::test(test.clone(), move || {
            let bench = Bench::new(&dist, compiler, &format!("inside {test}"))?;
            body(&bench)?;
            Ok(bench.done()?)
        }));
    };
    for (name, body) in TESTS {
        add(name.to_owned(), Box::new(body));
    }
    let ways: [(&str, Vec<PathBuf>, Option<PathBuf>); 5] = [
        ("the drop-in", vec![dist.drop_in()], Some(dist.drop_in())),
        ("libtmempool.so", vec![dist.shared()], Some(dist.shared())),
        ("libtmempool.a", vec![dist.archive()], None),
        ("libtmempool.a, unused sections dropped", vec![dist.archive(), "-Wl,--gc-sections".into()], None),
        ("a static program", vec![dist.archive(), "-static".into()], None),
    ];
    for (name, link, library) in ways {
        for strip in [false, true] {
            let (link, library) = (link.clone(), library.clone());
            let test = format!("{name}{}", if strip { ", stripped" } else { "" });
            add(
                test,
                Box::new(move |bench| trees::seen_as_reported(&link, library.as_deref(), strip, bench)),
            );
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
