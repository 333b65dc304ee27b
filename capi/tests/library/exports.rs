//! What the libraries show to the linker and to the loader: names with their version nodes, the
//! soname, what they need. A change here changes what programs can run on the library.

use crate::dist::{file, run};
use insta::assert_snapshot;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// What a tool says of a file.
fn ask(tool: &str, arguments: &[&str], file: impl AsRef<OsStr>) -> String {
    run(Command::new(tool).args(arguments).arg(file).env("LC_ALL", "C"))
}

/// The functions and version nodes that a shared library offers, as `name@@NODE`.
fn offered(library: &Path) -> BTreeSet<String> {
    ask("nm", &["-D", "--defined-only", "--with-symbol-versions"], library)
        .lines()
        .filter_map(|line| line.split(' ').next_back().map(String::from))
        .collect()
}

/// What the dynamic section says on identity and needs, and whether the stack is executable.
fn identity(library: &Path) -> String {
    let dynamic = ask("readelf", &["-dW"], library);
    let program = ask("readelf", &["-lW"], library);
    let tags = dynamic
        .lines()
        .filter(|line| ["(NEEDED)", "(SONAME)", "(FLAGS_1)"].iter().any(|tag| line.contains(tag)))
        .map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" "));
    let segments = program
        .lines()
        .filter_map(|line| line.trim().strip_prefix("GNU_STACK"))
        .map(|line| format!("stack {}", line.split_whitespace().nth(5).unwrap_or("?")));
    tags.chain(segments).collect::<Vec<_>>().join("\n")
}

/// All of it, a line each.
fn face(library: &Path) -> String {
    let names: Vec<_> = offered(library).into_iter().collect();
    format!("{}\n\n{}", identity(library), names.join("\n"))
}

#[test]
fn libtmempool_so() {
    assert_snapshot!(face(&file("lib/libtmempool.so.0")));
}

#[test]
fn libtalloc_so() {
    assert_snapshot!(face(&file("lib/tmempool/libtalloc.so.2")));
}

#[test]
fn libtmempool_a() {
    let archive = file("lib/libtmempool.a");
    let mut names: Vec<_> = ask("nm", &["-g", "--defined-only"], archive)
        .lines()
        .filter_map(|line| line.splitn(3, ' ').nth(2).map(String::from))
        .collect();
    names.sort();
    assert_snapshot!(names.join("\n"));
}

#[test]
fn all_that_debian_s_libtalloc_offers_is_there() {
    let Some(original) = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"]
        .iter()
        .map(|directory| Path::new(directory).join("libtalloc.so.2"))
        .find(|library| library.exists())
    else {
        println!("skipped: no libtalloc.so.2 on this system to compare with");
        return;
    };
    for ours in ["lib/tmempool/libtalloc.so.2", "lib/libtmempool.so.0"] {
        let missing: Vec<_> = offered(&original).difference(&offered(&file(ours))).cloned().collect();
        assert!(missing.is_empty(), "{ours} lacks {missing:?}");
    }
}
