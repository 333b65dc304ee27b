//! `make install` puts a prefix together from which programs are built with pkg-config.

use crate::dist::{ROOT, run, succeeds};
use std::path::Path;
use std::process::Command;

#[test]
fn a_program_is_built_from_an_installed_prefix() {
    if !succeeds(Command::new("pkg-config").arg("--version")) {
        println!("skipped: pkg-config is not installed");
        return;
    }
    let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join("prefix");
    let _ = std::fs::remove_dir_all(&prefix);
    run(Command::new("make")
        .args(["-C", ROOT, "install", &format!("PREFIX={}", prefix.display())])
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL"));
    let ask = |what: &str| {
        let mut command = Command::new("pkg-config");
        run(command.args([what, "tmempool"]).env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")))
    };
    assert_eq!(ask("--modversion").trim(), env!("CARGO_PKG_VERSION"));
    assert!(Path::new(ask("--variable=dropindir").trim()).join("libtalloc.so.2").exists());
    let program = prefix.join("pool");
    run(Command::new("cc")
        .args(ask("--cflags").split_whitespace())
        .arg(format!("{ROOT}/examples/pool.c"))
        .arg("-o")
        .arg(&program)
        .args(ask("--libs").split_whitespace()));
    let report = run(Command::new(&program).env("LD_LIBRARY_PATH", prefix.join("lib")));
    assert!(report.contains("full talloc report on 'pool' (total   1736 bytes in   4 blocks)"), "{report}");
    assert!(run(Command::new(prefix.join("bin/tmempool")).arg("--version")).contains("tmempool"));
}
