//! The library's beginning and end in a process.

use crate::dist::{Link, compile, file, run};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file for a test to have written, which is not there yet.
fn fresh(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_file(&path);
    path
}

/// Runs `leaver` with TMEMPOOL_OPTIONS, and gives its process id, which it writes.
fn run_leaver(options: &str, trees: usize) -> u32 {
    let program = compile("cc", &["-pthread"], "leaver.c", Link::Shared, &[]);
    let output = run(Command::new(program).arg(trees.to_string()).env("TMEMPOOL_OPTIONS", options));
    output.trim().parse().expect("a process id")
}

#[test]
fn unloading_leaves_nothing_behind() {
    let program = compile("cc", &["-pthread"], "unload.c", Link::Nothing, &["-ldl"]);
    for library in ["lib/libtmempool.so.0", "lib/tmempool/libtalloc.so.2"] {
        run(Command::new(&program).arg(file(library)).arg("300"));
    }
}

#[test]
fn a_process_says_which_library_it_has_loaded() {
    let notes = fresh("notify");
    let options = format!("unknown,notify={}", notes.display());
    let id = run_leaver(&options, 0);
    let library = file("lib/libtmempool.so.0");
    assert_eq!(std::fs::read_to_string(&notes).unwrap(), format!("{id} {}\n", library.display()));
}

#[test]
fn a_process_reports_what_it_has_left() {
    let pattern = fresh("report.%p");
    let id = run_leaver(&format!("report={}", pattern.display()), 3);
    let report = std::fs::read_to_string(written_by(&pattern, id)).unwrap();
    let lines: Vec<_> = report.lines().collect();
    let (name, rest) = lines[0].split_once(&format!("[{id}]: ")).unwrap();
    assert!(name.starts_with("tmempool report of "), "{report}");
    assert_eq!(rest, "606 bytes in 6 blocks under 3 top-level contexts");
    // The largest first, each as talloc_report_full() shows it; the empty line ends the report.
    assert_eq!(lines[1], "full talloc report on 'tree 3' (total    303 bytes in   2 blocks)");
    assert!(lines[2].starts_with("    leaf                           contains    300 bytes"), "{report}");
    assert_eq!(lines[3], "full talloc report on 'tree 2' (total    202 bytes in   2 blocks)");
    assert_eq!(lines.len(), 8);
    assert_eq!(lines[7], "");
}

#[test]
fn a_report_shows_the_largest_trees() {
    let pattern = fresh("many.%p");
    let id = run_leaver(&format!("report={}", pattern.display()), 300);
    let report = std::fs::read_to_string(written_by(&pattern, id)).unwrap();
    assert!(report.contains("under 300 top-level contexts\n"), "{report}");
    assert!(report.contains("full talloc report on 'tree 300'"), "{report}");
    assert!(!report.contains("full talloc report on 'tree 44'"), "{report}");
    // Tree n has 101 n bytes in 2 blocks.
    let rest = 101 * (1..=44).sum::<usize>();
    assert!(
        report.ends_with(&format!("and 44 more top-level contexts: {rest} bytes in 88 blocks\n\n")),
        "{report}"
    );
}

#[test]
fn a_clean_process_says_so() {
    let pattern = fresh("clean.%p");
    let id = run_leaver(&format!("report={}", pattern.display()), 0);
    let report = std::fs::read_to_string(written_by(&pattern, id)).unwrap();
    assert!(report.ends_with("0 bytes in 0 blocks under 0 top-level contexts\n\n"), "{report}");
}

/// The file that `%p` in a name stands for.
fn written_by(pattern: &Path, id: u32) -> String {
    pattern.display().to_string().replace("%p", &id.to_string())
}
