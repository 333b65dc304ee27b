//! The headers in C and in C++: every macro and the C++ face, compiled by gcc and by clang with no
//! warning in the oldest and newest standards they know, linked with the shared and with the static
//! library, and run.

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
fn c() {
    for compiler in ["gcc", "clang"] {
        for standard in ["-std=c99", "-std=c17", "-std=gnu17"] {
            compile_and_run(compiler, &[standard], "macros.c", Link::Shared);
        }
    }
}

#[test]
fn c_linked_with_the_static_library() {
    for compiler in ["gcc", "clang"] {
        compile_and_run(compiler, &["-std=c99"], "macros.c", Link::Static);
    }
}

#[test]
fn c_as_cpp() {
    for compiler in ["g++", "clang++"] {
        for standard in ["-std=c++98", "-std=c++20"] {
            compile_and_run(compiler, &["-x", "c++", standard], "macros.c", Link::Shared);
        }
    }
}

#[test]
fn cpp_face() {
    for compiler in ["g++", "clang++"] {
        for standard in ["-std=c++17", "-std=c++20"] {
            compile_and_run(compiler, &[standard], "face.cpp", Link::Shared);
        }
    }
}

#[test]
fn cpp_face_linked_with_the_static_library() {
    for compiler in ["g++", "clang++"] {
        compile_and_run(compiler, &["-std=c++17"], "face.cpp", Link::Static);
    }
}
