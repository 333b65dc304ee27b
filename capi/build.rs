//! Compiles the C shim, what stable Rust cannot define, into the crate.

fn main() {
    for source in ["shim", "../include/tmempool/talloc.h"] {
        println!("cargo:rerun-if-changed={source}");
    }
    // Hidden by default: shim.h makes visible what talloc.h declares. The optimisation is the same
    // in every profile, for the shim holds no checks that a debug build would want.
    cc::Build::new()
        .file("shim/variadic.c")
        .file("shim/drop_in.c")
        .include("../include/tmempool")
        .std("c11")
        .opt_level(2)
        .flag("-fvisibility=hidden")
        .flag("-Wmissing-prototypes")
        .extra_warnings(true)
        .link_lib_modifier("+whole-archive")
        .compile("tmempool_shim");
}
