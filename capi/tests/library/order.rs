//! What lies where in the shared libraries: that `capi/exports/order.ld` still names what there is, but for a few that a
//! compiler may put into their callers.

use crate::dist::{ROOT, file, run};
use std::path::Path;
use std::process::Command;

const LIBRARIES: [&str; 2] = ["lib/tmempool/libtalloc.so.2", "lib/libtmempool.so.0"];

/// The names of a library's functions and tables, with their addresses.
fn symbols(library: &str) -> Vec<(u64, String)> {
    run(Command::new("nm").arg("--defined-only").arg(file(library)))
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let address = u64::from_str_radix(words.next()?, 16).ok()?;
            Some((address, words.nth(1)?.into()))
        })
        .collect()
}

/// Whether `name` is of `pattern`, in which `*` stands for anything and `?` for one character.
fn is_like(name: &[u8], pattern: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => is_like(name, rest) || (!name.is_empty() && is_like(&name[1..], pattern)),
        ([b'?', rest @ ..], [_, name @ ..]) => is_like(name, rest),
        ([first, rest @ ..], [same, name @ ..]) if first == same => is_like(name, rest),
        _ => false,
    }
}

/// The names that the script lists: `*(.text*.NAME)`, or `*(.bss.NAME)`.
fn listed() -> Vec<String> {
    let script = std::fs::read_to_string(Path::new(ROOT).join("capi/exports/order.ld")).unwrap();
    let sections = script.lines().filter_map(|line| line.trim().strip_prefix("*(.")?.strip_suffix(')'));
    let names = sections.filter_map(|section| section.split_once('.')).map(|(_, name)| name);
    names.filter(|name| !name.contains(".*")).map(String::from).collect()
}

#[test]
fn nearly_all_that_is_listed_is_there() {
    let listed = listed();
    assert!(listed.len() > 100, "{listed:?}");
    for library in LIBRARIES {
        let symbols = symbols(library);
        let is_there =
            |pattern: &String| symbols.iter().any(|(_, name)| is_like(name.as_bytes(), pattern.as_bytes()));
        let missing: Vec<_> = listed.iter().filter(|pattern| !is_there(pattern)).collect();
        assert!(missing.len() <= listed.len() / 10, "{library} has none of {missing:#?}");
    }
}

#[test]
fn what_is_used_begins_with_a_window_of_the_file_and_fills_little_more() {
    for library in LIBRARIES {
        let symbols = symbols(library);
        let at = |wanted: &str| symbols.iter().find(|(_, name)| name == wanted).map(|&(address, _)| address);
        let (first, last) = (at("_init").unwrap(), at("vnamed").unwrap());
        assert_eq!(first % (64 << 10), 0, "{library}");
        assert!((first..first + (80 << 10)).contains(&last), "{library}: {first:#x} to {last:#x}");
    }
}
