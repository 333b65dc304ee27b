//! `tmempool tree` on what is none of its business. What it shows of processes and dumps is in `c-tests/tests/inside/`.

use crate::fixture::{Fixture, err, out};

#[test]
fn a_folder_is_no_core_dump() {
    let fixture = Fixture::new();
    let output = fixture
        .tmempool(&["tree".as_ref(), "--core".as_ref(), fixture.path("lib").as_os_str()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(
        err(&output),
        format!("tmempool: {}: not a core dump: it is a folder\n", fixture.path("lib").display())
    );
    assert_eq!(out(&output), "");
}
