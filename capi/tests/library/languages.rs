//! What the headers promise, in C and in C++: every macro and the C++ face, by gcc and by clang, linked
//! with the shared and with the static library, and run.

use crate::dist::{Link, compile, run, succeeds};
use std::process::Command;

/// A compiler that is not installed is skipped, and said.
fn compile_and_run(compiler: &str, flags: &[&str], source: &str, link: Link) {
    if succeeds(Command::new(compiler).arg("--version")) {
        run(&mut Command::new(compile(compiler, flags, source, link, &[])));
    } else {
        println!("skipped: {compiler} is not installed");
    }
}

#[test]
fn every_macro_in_c() {
    for compiler in ["gcc", "clang"] {
        compile_and_run(compiler, &["-std=c99"], "macros.c", Link::Shared);
        compile_and_run(compiler, &["-std=c99"], "macros.c", Link::Static);
    }
}

#[test]
fn every_macro_in_cpp() {
    for compiler in ["g++", "clang++"] {
        compile_and_run(compiler, &["-x", "c++", "-std=c++98"], "macros.c", Link::Shared);
    }
}

#[test]
fn cpp_face() {
    for compiler in ["g++", "clang++"] {
        compile_and_run(compiler, &["-std=c++17"], "face.cpp", Link::Static);
        for standard in ["-std=c++17", "-std=c++20"] {
            compile_and_run(compiler, &[standard], "face.cpp", Link::Shared);
        }
    }
}

#[test]
fn cpp_pools() {
    for compiler in ["g++", "clang++"] {
        for standard in ["-std=c++17", "-std=c++20"] {
            compile_and_run(compiler, &[standard, "-pthread"], "pools.cpp", Link::Shared);
        }
    }
}
