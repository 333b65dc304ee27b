//! `tmempool run` and `tmempool tree` with the real library under real programs.
//!
//! What the command says of each kind of program is tested beside it, with a stand-in; here is what
//! needs the library: that it takes its place, leaves word, and reports.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use libtest_mimic::{Completion, Failed, Trial};
use tmempool_realtests::comparison::missing;
use tmempool_realtests::dist;

type Test = fn(&Path) -> Result<(), Failed>;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("command: output is the program's", &["notmuch"], output_is_the_programs),
        trial("command: report of what is left", &["cc"], report_of_what_is_left),
        trial("command: report after each process", &["cc"], report_after_each_process),
        trial("command: report of python", &["python3", "samba-tool"], report_of_python),
        trial("command: a library found by RPATH", &["cc"], found_by_rpath),
        trial("command: static", &["cc"], static_program),
        trial("command: setuid", &["cc"], setuid_program),
        trial("command: tree of python", &["python3", "samba-tool"], tree_of_python),
        trial("command: tree of smbtorture", &["smbtorture"], tree_of_smbtorture),
        trial("command: env -i", &["notmuch", "env"], cleared_environment),
    ]
}

/// A test in a folder of its own.
fn trial(name: &str, needs: &'static [&'static str], test: Test) -> Trial {
    Trial::ignorable_test(name, move || match missing(needs) {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => {
            let folder = tempfile::Builder::new().prefix("tmempool-real-").tempdir()?;
            test(folder.path()).map(|()| Completion::Completed)
        }
    })
}

fn output_is_the_programs(folder: &Path) -> Result<(), Failed> {
    let plain = Command::new("notmuch").arg("help").env("HOME", folder).output()?;
    let ours = tmempool(&["run", "--", "notmuch", "help"]).env("HOME", folder).output()?;
    same("stdout", &text(&plain.stdout), &text(&ours.stdout))?;
    same("stderr", &text(&plain.stderr), &text(&ours.stderr))?;
    same("status", &plain.status.to_string(), &ours.status.to_string())
}

/// Two top-level contexts of different size, one with a child, and one that was freed.
const LEAVER: &str = r#"
#include <stdlib.h>
#include <talloc.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	char *small = talloc_strdup(NULL, "small");
	char *large = talloc_size(NULL, 1000);
	char *gone = talloc_strdup(NULL, "gone");

	(void)argv;
	talloc_set_name_const(large, "large");
	talloc_strdup(large, "child");
	talloc_free(gone);
	if (argc > 1 && fork() == 0) {
		talloc_free(small);
		exit(0);
	}
	if (argc > 1)
		sleep(1);
	return 0;
}
"#;

fn report_of_what_is_left(folder: &Path) -> Result<(), Failed> {
    let program = compile(folder, LEAVER, &["-l:libtalloc.so.2"])?;
    let output = tmempool(&["run", "--report", "--"]).arg(&program).output()?;
    let report = masked(&text(&output.stderr));
    same(
        "report",
        "tmempool report of program[PID]: 1012 bytes in 3 blocks under 2 top-level contexts\n\
         full talloc report on 'large' (total   1006 bytes in   2 blocks)\n\
         \x20   child                          contains      6 bytes in   1 blocks (ref 0) ADDRESS\n\
         full talloc report on 'small' (total      6 bytes in   1 blocks)\n\n",
        &report,
    )
}

fn report_after_each_process(folder: &Path) -> Result<(), Failed> {
    let program = compile(folder, LEAVER, &["-l:libtalloc.so.2"])?;
    let file = folder.join("report");
    let option = format!("--report={}", file.display());
    let output = tmempool(&["run", &option, "--"]).arg(&program).arg("fork").output()?;
    same("stderr", "", &text(&output.stderr))?;
    let report = masked(&std::fs::read_to_string(file)?);
    for line in [
        "tmempool report of program[PID]: 1012 bytes in 3 blocks under 2 top-level contexts\n",
        "tmempool report of program[PID]: 1006 bytes in 2 blocks under 1 top-level context\n",
    ] {
        contains(&report, line)?;
    }
    Ok(())
}

fn report_of_python(folder: &Path) -> Result<(), Failed> {
    // Neither Python nor talloc's module frees a module's objects at exit.
    let script = "from samba import param; lp = param.LoadParm(); import os, sys; sys.lp = lp";
    let mut command = tmempool(&["run", "--report", "--", "/usr/bin/python3", "-c", script]);
    let output = command.env("HOME", folder).output()?;
    contains(&text(&output.stderr), "tmempool report of python3[")
}

fn found_by_rpath(folder: &Path) -> Result<(), Failed> {
    // A copy of the system's library in a folder that is searched before LD_LIBRARY_PATH.
    let own = folder.join("own");
    std::fs::create_dir(&own)?;
    let finder = "import ctypes; ctypes.CDLL('libtalloc.so.2'); \
                  print([l.split()[-1] for l in open('/proc/self/maps') if 'libtalloc' in l][0])";
    let found = Command::new("/usr/bin/python3").args(["-c", finder]).output()?;
    std::fs::copy(text(&found.stdout).trim(), own.join("libtalloc.so.2"))?;
    let rpath = format!("-Wl,--disable-new-dtags,-rpath,{}", own.display());
    let program = compile(folder, LEAVER, &["-l:libtalloc.so.2", &rpath])?;
    let output = tmempool(&["run", "--report", "--"]).arg(&program).output()?;
    contains(&text(&output.stderr), "tmempool report of program[")
}

fn static_program(folder: &Path) -> Result<(), Failed> {
    let program = compile(folder, "int main(void) { return 6; }", &["-static"])?;
    let output = tmempool(&["run", "--"]).arg(&program).output()?;
    same("status", "Some(6)", &format!("{:?}", output.status.code()))?;
    contains(&text(&output.stderr), "it is linked statically")
}

fn setuid_program(folder: &Path) -> Result<(), Failed> {
    let program = compile(folder, LEAVER, &["-l:libtalloc.so.2"])?;
    // SAFETY: reads the process's id only.
    if unsafe { libc::getuid() } != 0 {
        // Only root can make a program that belongs to another; this one belongs to root.
        let output = tmempool(&["run", "--", "/usr/bin/passwd", "--help"]).output()?;
        return contains(&text(&output.stderr), "it is setuid (root)");
    }
    std::os::unix::fs::chown(&program, Some(65534), None)?;
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o4755))?;
    let output = tmempool(&["run", "--report", "--"]).arg(&program).output()?;
    contains(&text(&output.stderr), "it is setuid (")?;
    same("reports", "0", &text(&output.stderr).matches("tmempool report of").count().to_string())
}

fn cleared_environment(folder: &Path) -> Result<(), Failed> {
    let mut command = tmempool(&["run", "--", "env", "-i", "notmuch", "help"]);
    let output = command.env("HOME", folder).output()?;
    contains(&text(&output.stderr), "env gave way to notmuch")
}

/// What talloc's own module reports in the process is what is seen from outside.
fn tree_of_python(folder: &Path) -> Result<(), Failed> {
    let script = "import os, sys, talloc; from samba import param; lp = param.LoadParm(); \
                  talloc.report_full(lp); print('ready', os.getpid(), flush=True); sys.stdin.read()";
    let mut command = tmempool(&["run", "--", "/usr/bin/python3", "-c", script]);
    let mut child = command.env("HOME", folder).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut report = String::new();
    let mut pid = None;
    for line in BufReader::new(child.stdout.take().expect("a pipe was asked for")).lines() {
        let line = line?;
        if let Some(number) = line.strip_prefix("ready ") {
            pid = Some(number.to_owned());
            break;
        }
        report += &format!("{line}\n");
    }
    let pid = pid.ok_or("python ended early")?;
    let output = tmempool(&["tree", &pid]).output()?;
    drop(child.stdin.take());
    child.wait()?;
    same("stderr", "", &text(&output.stderr))?;
    contains(&report, "full talloc report on 'struct loadparm_context'")?;
    contains(&text(&output.stdout), &report)
}

/// A program that works is looked at again and again, and neither it nor the looking comes to harm.
fn tree_of_smbtorture(folder: &Path) -> Result<(), Failed> {
    let mut command = tmempool(&["run", "--", "smbtorture", "ncalrpc:localhost", "local.talloc"]);
    let log = std::fs::File::create(folder.join("log"))?;
    let mut child = command.current_dir(folder).stdin(Stdio::null()).stdout(log).spawn()?;
    let runner = child.id();
    let (mut seen, mut looked) = (0, 0);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        looked += 1;
        let children = std::fs::read_to_string(format!("/proc/{runner}/task/{runner}/children"));
        for pid in children.unwrap_or_default().split_whitespace() {
            let stop = if looked % 2 == 0 { vec!["tree", "--stop", pid] } else { vec!["tree", pid] };
            let output = tmempool(&stop).output()?;
            match output.status.code() {
                Some(0) => seen += usize::from(text(&output.stdout).contains("report of smbtorture[")),
                // Not yet loaded, or just ended.
                Some(125) => {}
                _ => return Err(said(&output).into()),
            }
        }
    };
    let log = std::fs::read_to_string(folder.join("log"))?;
    same("failures", "0", &log.matches("\nfailure: ").count().to_string())?;
    match status.success() && seen > 0 {
        true => Ok(()),
        false => Err(format!("{status}, seen {seen} times of {looked}\n{log}").into()),
    }
}

/// The command, with a plain environment.
fn tmempool(arguments: &[&str]) -> Command {
    let mut command = Command::new(dist::command());
    command.args(arguments).env_remove("TMEMPOOL_OPTIONS");
    command.env_remove("LD_LIBRARY_PATH").env_remove("LD_PRELOAD");
    command
}

/// Compiles a C program, against our header and the system's library.
fn compile(folder: &Path, source: &str, options: &[&str]) -> Result<PathBuf, Failed> {
    let (file, program) = (folder.join("program.c"), folder.join("program"));
    std::fs::write(&file, source)?;
    let mut compile = Command::new("cc");
    compile.arg("-I").arg(dist::dist().join("include/tmempool"));
    let output = compile.arg("-o").arg(&program).arg(&file).args(options).output()?;
    match output.status.success() {
        true => Ok(program),
        false => Err(said(&output).into()),
    }
}

fn said(output: &Output) -> String {
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// A report without process ids and addresses.
fn masked(report: &str) -> String {
    let mut mask = tmempool_realtests::mask::Mask::default();
    mask.add(r"\[\d+\]", "[PID]");
    mask.apply(report)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn same(what: &str, expected: &str, found: &str) -> Result<(), Failed> {
    match expected == found {
        true => Ok(()),
        false => Err(format!("{what}: expected\n{expected}\nfound\n{found}").into()),
    }
}

fn contains(text: &str, part: &str) -> Result<(), Failed> {
    match text.contains(part) {
        true => Ok(()),
        false => Err(format!("no `{part}` in:\n{text}").into()),
    }
}
