//! One allocator in a process: a program linked with tmempool, each way it can be, shares its memory
//! with Debian's libtevent and libldb, which were linked against libtalloc.so.2 and bring it along.

use crate::dist::{Link, compile, file, run, succeeds};
use std::path::Path;
use std::process::Command;

const LIBRARIES: [&str; 2] = ["-ltevent", "-lldb"];

/// Compiles the program, with what pkg-config says of where the headers are; None, with the reason
/// printed, where the libraries are not installed.
fn program(compiler: &str, flags: &[&str], link: Link, libraries: &[&str]) -> Option<Command> {
    let mut ask = Command::new("pkg-config");
    if !succeeds(ask.args(["--cflags", "tevent", "ldb"])) {
        println!("skipped: libtevent-dev and libldb-dev are not installed");
        return None;
    }
    let found = run(&mut ask);
    // Headers of the system, in which warnings are not ours to mend.
    let includes = found.split_whitespace().flat_map(|flag| match flag.strip_prefix("-I") {
        Some(directory) => vec!["-isystem", directory],
        None => vec![flag],
    });
    let flags: Vec<_> = flags.iter().copied().chain(includes).collect();
    Some(Command::new(compile(compiler, &flags, "neighbours.c", link, libraries)))
}

fn has(compiler: &str) -> bool {
    succeeds(Command::new(compiler).arg("--version"))
}

#[test]
fn shared() {
    for libraries in [&["-ltevent", "-lldb"][..], &["-ltevent", "-lldb", "-ltalloc"]] {
        if let Some(mut program) = program("cc", &[], Link::Shared, libraries) {
            run(&mut program);
        }
    }
}

#[test]
fn shared_with_the_drop_in_beside() {
    if let Some(mut program) = program("cc", &["-O1"], Link::Shared, &LIBRARIES) {
        run(program.env("LD_LIBRARY_PATH", file("lib/tmempool")));
    }
}

#[test]
fn statically_linked() {
    for compiler in ["gcc", "clang"].into_iter().filter(|compiler| has(compiler)) {
        for flags in [&["-rdynamic"][..], &["-rdynamic", "-no-pie"], &["-rdynamic", "-fuse-ld=gold"]] {
            if flags.contains(&"-fuse-ld=gold") && !Path::new("/usr/bin/ld.gold").exists() {
                println!("skipped: ld.gold is not installed");
            } else if let Some(mut program) = program(compiler, flags, Link::Static, &LIBRARIES) {
                run(&mut program);
            }
        }
    }
}

/// The program does tell two allocators from one: a static library that is kept from the others.
#[test]
fn two_allocators_are_noticed() {
    if let Some(mut program) = program("cc", &["-Wl,--exclude-libs,ALL"], Link::Static, &LIBRARIES) {
        assert!(!succeeds(&mut program));
    }
}
