//! The layer rule of `src/README.md`, as a test: a file uses only what lies below it.

use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom up. A layer may use itself and those before it.
const LAYERS: [&[&str]; 8] = [
    &["compare", "error", "hint", "offsets"],
    &["process"],
    &["mem"],
    &["tree"],
    &["ops"],
    &["pools"],
    &["report"],
    &["face"],
];
/// The one exception: what the process shares is drawn and locked by means of `mem`.
const ALLOWED: [(&str, &str); 2] = [("process", "mem::os"), ("process", "mem::lock")];

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .collect()
}

fn height(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The paths behind `crate::` in the source, outside comments.
fn uses(source: &str) -> Vec<String> {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split("crate::").skip(1).map(str::to_owned).collect::<Vec<_>>())
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || "_:{".contains(*c)).collect())
        .collect()
}

#[test]
fn no_layer_uses_one_above_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut climbs = Vec::new();
    let mut seen = 0;
    for file in files(&root) {
        let inner = file.strip_prefix(&root).unwrap();
        let module = inner.components().next().unwrap().as_os_str().to_str().unwrap();
        let module = module.trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let own = height(module).unwrap_or_else(|| panic!("{module} is in no layer"));
        for path in uses(&fs::read_to_string(&file).unwrap()) {
            let used = path.split("::").next().unwrap();
            seen += 1;
            let allowed = ALLOWED.iter().any(|(who, what)| *who == module && path.starts_with(what));
            if height(used).unwrap_or_else(|| panic!("crate::{path} is in no layer")) > own && !allowed {
                climbs.push(format!("{}: crate::{path}", inner.display()));
            }
        }
    }
    assert!(seen > 50, "the test has lost sight of the code: {seen} uses");
    assert!(climbs.is_empty(), "uses that climb:\n{}", climbs.join("\n"));
}
