//! Generates the C headers from the sources of the C interface, with cbindgen.
//!
//! A crate of its own, because the C shim is compiled against the very header that is made here:
//! it must be possible to make it while the interface does not compile.

use cbindgen::{Builder, Config};
use std::path::{Path, PathBuf};

/// A generated header: where it is kept, and what it says.
pub struct Header {
    /// The committed file.
    pub path: PathBuf,
    /// What cbindgen makes of the sources now.
    pub text: String,
}

/// The sources of talloc.h, in the order in which it presents them.
const TALLOC: [&str; 16] = [
    "alloc",
    "array",
    "pool",
    "free",
    "reference",
    "steal",
    "names",
    "types",
    "family",
    "size",
    "string",
    "report",
    "roots",
    "hooks",
    "limits",
    "version",
];

/// The sources of tmempool.h.
const TMEMPOOL: &[&str] =
    &["own", "cache", "genpool", "handle", "kmalloc", "mempool", "growable", "bare", "stats", "shared"];

/// All headers that are generated.
pub fn headers() -> Vec<Header> {
    vec![generate("talloc", &TALLOC), generate("tmempool", TMEMPOOL)]
}

fn generate(name: &str, sources: &[&str]) -> Header {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = Config::from_file(here.join(format!("{name}.toml"))).expect("the configuration is valid");
    let builder = sources.iter().fold(Builder::new().with_config(config), |builder, source| {
        builder.with_src(here.join(format!("../src/{source}.rs")))
    });
    let mut text = Vec::new();
    builder.generate().expect("cbindgen reads the sources").write(&mut text);
    Header {
        path: here.join(format!("../../include/tmempool/{name}.h")),
        text: String::from_utf8(text).expect("a header is text"),
    }
}
