//! The headers in C and in C++: every macro and the C++ face, compiled by gcc and by clang with no
//! warning in the oldest and newest standards they know, linked with the shared and with the static
//! library, and run.

mod dist;

use dist::{ROOT, file, run};
use std::path::PathBuf;
use std::process::Command;

#[derive(Clone, Copy)]
enum Link {
    Shared,
    Static,
}

/// Compiles a program of `tests/c` with all warnings as errors, and runs it. A compiler that is not
/// installed is skipped, and said.
fn compile_and_run(compiler: &str, flags: &[&str], source: &str, link: Link) {
    if Command::new(compiler).arg("--version").output().is_err() {
        println!("skipped: {compiler} is not installed");
        return;
    }
    let library = file("lib");
    let program = scratch(&format!("{compiler}{}{source}", flags.concat()), link);
    let mut command = Command::new(compiler);
    command
        .args(["-Wall", "-Wextra", "-pedantic", "-Werror", "-g"])
        .args(flags)
        .arg("-I")
        .arg(file("include/tmempool"))
        .arg("-o")
        .arg(&program)
        .arg(format!("{ROOT}/capi/tests/c/{source}"))
        // What comes behind is a library, whatever language -x has set for the source.
        .args(["-x", "none"]);
    match link {
        Link::Shared => {
            command.arg("-L").arg(&library).arg("-ltmempool").arg(format!("-Wl,-rpath,{}", library.display()))
        }
        Link::Static => command.arg(library.join("libtmempool.a")),
    };
    run(&mut command);
    run(&mut Command::new(&program));
}

/// A place of its own for each program, so that tests may run at once.
fn scratch(key: &str, link: Link) -> PathBuf {
    let kind = match link {
        Link::Shared => "shared",
        Link::Static => "static",
    };
    let name: String = key.chars().filter(|c| c.is_alphanumeric()).collect();
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{kind}-{name}"))
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
