//! `tmempool info`, `--version` and `--help`.

use crate::fixture::{Fixture, err, out};

#[test]
fn info_shows_where_things_lie() {
    let fixture = Fixture::new();
    let output = fixture.tmempool(&["info"]).output().unwrap();
    assert!(output.status.success(), "{}", err(&output));
    assert!(out(&output).contains(&format!("tmempool: {}", env!("CARGO_PKG_VERSION"))));
    assert!(out(&output).contains("lib/tmempool/libtalloc.so.2"), "{}", out(&output));
}

#[test]
fn info_fails_without_the_drop_in() {
    let fixture = Fixture::new();
    std::fs::remove_dir_all(fixture.path("lib")).unwrap();
    let output = fixture.tmempool(&["info"]).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(err(&output).contains("no drop-in at"), "{}", err(&output));
}

#[test]
fn version_and_help_are_there() {
    let fixture = Fixture::new();
    let version = fixture.tmempool(&["--version"]).output().unwrap();
    assert_eq!(out(&version), format!("tmempool {}\n", env!("CARGO_PKG_VERSION")));
    let help = fixture.tmempool(&["run", "--help"]).output().unwrap();
    assert!(out(&help).contains("LD_LIBRARY_PATH"), "{}", out(&help));
    assert!(out(&help).contains("Examples:"), "{}", out(&help));
    assert!(version.status.success() && help.status.success());
}

#[test]
fn a_wrong_command_line_is_a_failure_of_the_commands_own() {
    let fixture = Fixture::new();
    let wrong = [
        &[][..],
        &["no-such-word"],
        &["run"],
        &["tree"],
        &["tree", "0"],
        &["tree", "1", "--no-such"],
        &["info", "x"],
    ];
    for arguments in wrong {
        let output = fixture.tmempool::<&str>(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{arguments:?}");
        assert!(err(&output).contains("--help"), "{arguments:?}: {}", err(&output));
        assert_eq!(out(&output), "");
    }
}
