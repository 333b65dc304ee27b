//! Every public item of the Rust API has an example, which `cargo test --doc` runs.
//!
//! The sources are read, not the compiler's account of them: what is public in the face, and the types that the root of
//! the crate takes from further below.

use std::fs;
use std::path::{Path, PathBuf};

const ITEMS: [&str; 8] = [
    "pub fn ",
    "pub unsafe fn ",
    "pub struct ",
    "pub enum ",
    "pub trait ",
    "pub unsafe trait ",
    "pub type ",
    "macro_rules! ",
];

/// Files below the face, and the types in them that the root of the crate shows.
const BELOW: [(&str, &[&str]); 5] = [
    ("src/error.rs", &["AllocError", "Fault"]),
    ("src/tree/side.rs", &["Limit"]),
    ("src/tree/pool/tally.rs", &["Stats"]),
    ("src/pools/cache/stats.rs", &["Stats"]),
    ("src/pools/genpool/mod.rs", &["Algo", "AddError", "PlaceError", "ReleaseError", "RangeInfo"]),
];

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The public items of a source, with the lines of their documentation.
fn items(source: &str) -> Vec<(&str, Vec<&str>)> {
    let (mut found, mut docs, mut exported, mut in_trait) = (Vec::new(), Vec::new(), false, false);
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let code = line.trim_start();
        if let Some(doc) = code.strip_prefix("///") {
            docs.push(doc.trim_start());
        } else if code.starts_with("#[") {
            exported |= code == "#[macro_export]";
            if !code.ends_with(']') {
                lines.by_ref().find(|line| line.ends_with(")]"));
            }
        } else {
            let method = in_trait && code.starts_with("fn ");
            // What is declared further in lies in a private module.
            let outer = ITEMS.iter().any(|item| line.starts_with(item));
            let public = outer || ["pub fn ", "pub unsafe fn "].iter().any(|item| code.starts_with(item));
            if method || public && (exported || !code.starts_with("macro_rules!")) {
                found.push((code, std::mem::take(&mut docs)));
            }
            in_trait = line.starts_with("pub trait ") || in_trait && line != "}";
            docs.clear();
            exported = false;
        }
    }
    found
}

/// Whether the documentation has a program that is compiled and run, and must end well.
fn has_example(docs: &[&str]) -> bool {
    let mut fences = docs.iter().filter(|line| line.starts_with("```")).step_by(2);
    fences.any(|fence| *fence == "```")
}

/// The name that an item declares.
fn name_of(item: &str) -> &str {
    let name = item.split(['(', '<', ' ', ':', '{', ';', '=']).find(|word| {
        !["pub", "unsafe", "fn", "struct", "enum", "trait", "type", "macro_rules!", ""].contains(word)
    });
    name.unwrap_or(item)
}

#[test]
fn every_public_item_has_an_example_that_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut seen, mut without) = (0, Vec::new());
    let mut look = |path: &Path, only: Option<&[&str]>| {
        let source = fs::read_to_string(path).unwrap();
        for (item, docs) in items(&source) {
            if only.is_some_and(|only| !only.contains(&name_of(item)) || item.starts_with("pub fn")) {
                continue;
            }
            seen += 1;
            if !has_example(&docs) {
                without.push(format!("{}: {item}", path.strip_prefix(root).unwrap().display()));
            }
        }
    };
    for path in files(&root.join("src/face")) {
        look(&path, None);
    }
    for (path, types) in BELOW {
        look(&root.join(path), Some(types));
    }
    assert!(seen > 170, "the test has lost sight of the code: {seen} items");
    assert!(without.is_empty(), "public items without an example:\n{}", without.join("\n"));
}
