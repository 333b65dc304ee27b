//! What must not compile, each rule a program in `tests/rules`, with what the compiler says to it.
//!
//! The wording is the compiler's, and changes with it: `TRYBUILD=overwrite cargo test --test rules` writes it
//! anew. What a change must never do is let one of the programs compile.

#[test]
fn what_would_be_unsound_does_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/rules/*.rs");
}
