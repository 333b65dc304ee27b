//! `tmempool run` on programs of each kind: what they load, what is said, how they end.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use crate::fixture::{Fixture, err, out};

#[test]
fn a_program_runs_on_the_drop_in_and_nothing_is_said() {
    let fixture = Fixture::new();
    let program = fixture.program(&[]);
    let output = fixture.run(&program, &[]);
    assert_eq!(out(&output), format!("talloc 2 as {}\n", program.display()));
    assert_eq!(err(&output), "");
    assert!(output.status.success());
}

#[test]
fn a_runpath_gives_way_to_the_drop_in() {
    let fixture = Fixture::new();
    let runpath = format!("-Wl,--enable-new-dtags,-rpath,{}", fixture.path("rival").display());
    let output = fixture.run(&fixture.program(&[&runpath]), &[]);
    assert!(out(&output).starts_with("talloc 2 "), "{}", out(&output));
    assert_eq!(err(&output), "");
}

#[test]
fn an_rpath_gives_way_to_the_drop_in() {
    let fixture = Fixture::new();
    let rpath = format!("-Wl,--disable-new-dtags,-rpath,{}", fixture.path("rival").display());
    let output = fixture.run(&fixture.program(&[&rpath]), &[]);
    assert!(out(&output).starts_with("talloc 2 "), "{}", out(&output));
    assert_eq!(err(&output), "");
}

#[test]
fn a_moved_installation_and_a_link_to_the_command_work() {
    let fixture = Fixture::new();
    let program = fixture.program(&[]);
    std::fs::rename(fixture.path("lib"), fixture.path("gone")).unwrap();
    std::fs::create_dir(fixture.path("else where")).unwrap();
    std::fs::rename(fixture.path("bin"), fixture.path("else where/bin")).unwrap();
    std::fs::rename(fixture.path("gone"), fixture.path("else where/lib")).unwrap();
    let link = fixture.path("link");
    std::os::unix::fs::symlink(fixture.path("else where/bin/tmempool"), &link).unwrap();
    let output = std::process::Command::new(link)
        .args(["run", "--"])
        .arg(program)
        .env("LD_LIBRARY_PATH", fixture.path("rival"))
        .output()
        .unwrap();
    assert!(out(&output).starts_with("talloc 2 "), "{}{}", out(&output), err(&output));
}

#[test]
fn a_static_program_is_named_as_such() {
    let fixture = Fixture::new();
    let output = fixture.run(&fixture.program_without_talloc(&["-static"]), &["exit", "3"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(err(&output).contains("linked statically"), "{}", err(&output));
    assert_eq!(err(&output).lines().count(), 1);
}

#[test]
fn a_program_without_talloc_is_named_as_such() {
    let fixture = Fixture::new();
    let output = fixture.run(&fixture.program_without_talloc(&[]), &[]);
    assert!(err(&output).contains("program does not use"), "{}", err(&output));
    assert_eq!(err(&output).lines().count(), 1);
}

#[test]
fn a_setuid_program_is_named_as_such() {
    // SAFETY: reads the process's id only.
    let root = unsafe { libc::getuid() } == 0;
    let fixture = Fixture::new();
    let program = if root {
        let program = fixture.program_without_talloc(&[]);
        // Any user but root: a set-user bit that changes nothing is no privilege.
        std::os::unix::fs::chown(&program, Some(65534), None).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o4755)).unwrap();
        program
    } else {
        "/usr/bin/passwd".into()
    };
    let output = fixture.run(&program, &["--help"]);
    assert!(err(&output).contains("runs without the drop-in: it is setuid"), "{}", err(&output));
}

#[test]
fn a_cleared_environment_is_suspected() {
    let fixture = Fixture::new();
    let program = fixture.program_without_talloc(&[]);
    let output = fixture.tmempool(&["run", "--", "env", "-i"]).arg(program).output().unwrap();
    assert!(out(&output).starts_with("talloc 0 "));
    assert!(err(&output).contains("env gave way to program"), "{}", err(&output));
    assert!(err(&output).contains("environment cleared"), "{}", err(&output));
}

#[test]
fn what_a_script_starts_counts() {
    let fixture = Fixture::new();
    let program = fixture.program(&[]);
    let script = format!("{}; {} exit 5", program.display(), program.display());
    let output = fixture.tmempool(&["run", "sh", "-c", &script]).output().unwrap();
    assert_eq!(out(&output).matches("talloc 2 ").count(), 2);
    assert_eq!(err(&output), "");
    assert_eq!(output.status.code(), Some(5));
}

#[test]
fn statuses_and_signals_pass_through() {
    let fixture = Fixture::new();
    let program = fixture.program(&[]);
    assert_eq!(fixture.run(&program, &["exit", "42"]).status.code(), Some(42));
    for signal in [libc::SIGABRT, libc::SIGSEGV, libc::SIGTERM, libc::SIGKILL] {
        let output = fixture.run(&program, &["raise", &signal.to_string()]);
        assert_eq!(output.status.signal(), Some(signal));
    }
}

#[test]
fn a_signal_sent_to_the_command_reaches_the_program() {
    let fixture = Fixture::new();
    let program = fixture.program(&[]);
    let mut command = fixture.tmempool(&["run", "--"]);
    let mut child = command.arg(program).arg("catch").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    while lines.next().unwrap() != "ready" {}
    // SAFETY: takes no pointers; the child is ours and not yet waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    assert_eq!(lines.next().unwrap(), format!("caught {}", libc::SIGTERM));
    assert!(child.wait().unwrap().success());
}

#[test]
fn reports_of_all_processes_go_to_stderr() {
    let fixture = Fixture::new();
    let program = fixture.program(&[]);
    let script = format!("{}; {}", program.display(), program.display());
    let output = fixture.tmempool(&["run", "--report", "--", "sh", "-c", &script]).output().unwrap();
    assert_eq!(err(&output).matches("tmempool report of fixture[").count(), 2, "{}", err(&output));
}

#[test]
fn reports_go_to_a_file() {
    let fixture = Fixture::new();
    let program = fixture.program(&[]);
    let file = fixture.path("report, with a comma");
    std::fs::write(&file, "old text").unwrap();
    let option = format!("--report={}", file.display());
    let output = fixture.tmempool(&["run", &option, "--"]).arg(program).output().unwrap();
    assert_eq!(err(&output), "");
    assert!(std::fs::read_to_string(file).unwrap().starts_with("tmempool report of fixture["));
}

#[test]
fn a_missing_report_is_explained() {
    let fixture = Fixture::new();
    let program = fixture.program(&[]);
    let report = |arguments: [&str; 2]| {
        let mut command = fixture.tmempool(&["run", "--report", "--"]);
        err(&command.arg(&program).args(arguments).output().unwrap())
    };
    assert!(report(["_exit", "0"]).contains("it ended by _exit"));
    assert!(report(["raise", "9"]).contains("signal 9 killed it"));
}

#[test]
fn the_users_options_stay() {
    let fixture = Fixture::new();
    let program = fixture.program(&[]);
    let pattern = fixture.path("own.%p");
    let mut command = fixture.tmempool(&["run", "--"]);
    command.arg(program).env("TMEMPOOL_OPTIONS", format!("report={}", pattern.display()));
    assert_eq!(err(&command.output().unwrap()), "");
    let entries = std::fs::read_dir(fixture.path("")).unwrap();
    let own =
        entries.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("own."));
    assert_eq!(own.count(), 1);
}

#[test]
fn a_report_of_the_commands_takes_the_place_of_the_users() {
    let fixture = Fixture::new();
    let program = fixture.program(&[]);
    let (own, other) = (fixture.path("own"), fixture.path("other"));
    let mut command = fixture.tmempool(&["run", &format!("--report={}", other.display()), "--"]);
    command.arg(program).env("TMEMPOOL_OPTIONS", format!("report={}", own.display()));
    assert_eq!(err(&command.output().unwrap()), "");
    assert!(!own.exists());
    assert!(std::fs::read_to_string(other).unwrap().starts_with("tmempool report of fixture["));
}

#[test]
fn what_follows_the_program_is_the_programs() {
    let fixture = Fixture::new();
    for dashes in [&["run"][..], &["run", "--"]] {
        let echo = ["sh", "-c", "echo \"$@\"", "sh", "--report", "--help", "--", "-x"];
        let output = fixture.tmempool(&[dashes, &echo].concat()).output().unwrap();
        assert_eq!(out(&output), "--report --help -- -x\n", "{}", err(&output));
    }
}

#[test]
fn an_option_that_there_is_not_is_no_program() {
    let fixture = Fixture::new();
    let output = fixture.tmempool(&["run", "--foo", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(err(&output).contains("unexpected argument '--foo'"), "{}", err(&output));
    assert!(err(&output).contains("use '-- --foo'"), "{}", err(&output));
}

#[test]
fn a_file_for_the_report_in_the_programs_place_is_told_apart() {
    let fixture = Fixture::new();
    let said = |arguments: &[&str]| {
        let output = fixture.tmempool(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(127));
        err(&output)
    };
    for arguments in
        [&["run", "--report", "left.txt", "--", "true"][..], &["run", "--report", "left.txt", "true"]]
    {
        assert!(said(arguments).contains("--report=left.txt"), "{}", said(arguments));
    }
    for arguments in [&["run", "--report", "left.txt"][..], &["run", "left.txt", "true"]] {
        assert!(!said(arguments).contains("--report="), "{}", said(arguments));
    }
}

#[test]
fn own_failures_are_one_line_and_a_status() {
    let fixture = Fixture::new();
    let failure = |arguments: &[&str]| {
        let output = fixture.tmempool(arguments).output().unwrap();
        assert_eq!(err(&output).lines().count(), 1, "{}", err(&output));
        assert!(err(&output).starts_with("tmempool: "), "{}", err(&output));
        output.status.code()
    };
    assert_eq!(failure(&["run", "--", "no-such-program-here"]), Some(127));
    assert_eq!(failure(&["run", "--", "/etc/passwd"]), Some(126));
    assert_eq!(failure(&["run", "--report=/nowhere/at/all", "--", "true"]), Some(125));
    assert_eq!(failure(&["run", "--", "--no-such-program-here"]), Some(127));
    std::fs::remove_dir_all(fixture.path("lib")).unwrap();
    assert_eq!(failure(&["run", "--", "true"]), Some(125));
    assert_eq!(failure(&["run", "--", "no-such-program-here"]), Some(125));
}
