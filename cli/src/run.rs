//! `tmempool run`: starts a program with the drop-in under it, waits, and says what became of it.
//!
//! In order: find the program and the drop-in; look at the file and ask the loader, to know whether
//! the drop-in can come under it and how; start it; wait; read what the library has left in the
//! session's folder; say it; end as the program ended.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};

use crate::args::Run;
use crate::dropin::DropIn;
use crate::failure::{Failure, NOT_RUNNABLE, OWN_FAILURE, say};
use crate::loader::{self, Talloc};
use crate::program::{self, Kind};
use crate::session::Session;
use crate::verdict::{self, Ended};
use crate::{environment, privilege, signals};

/// Does what `args` ask; returns the status to exit with.
pub fn run(args: &Run) -> Result<i32, Failure> {
    let (name, arguments) = args.program.split_first().expect("the command line has a PROGRAM");
    let dropin = DropIn::find()?;
    let path = program::find(name).map_err(|failure| about_report(args, failure))?;
    let report = args.report.as_ref().map(|file| Sink::open(file.as_deref())).transpose()?;
    let session = Session::new()?;

    let started = program::behind_scripts(&path);
    let outlook = Outlook::of(&started, &dropin)?;
    if let Some(reason) = &outlook.hopeless {
        say(&format!("{} runs without the drop-in: {reason}", name.display()));
    }

    let mut command = Command::new(&path);
    command.arg0(name).args(arguments).env("LD_LIBRARY_PATH", &outlook.search_path);
    let present = std::env::var_os("TMEMPOOL_OPTIONS");
    command.env("TMEMPOOL_OPTIONS", environment::options(&session, report.is_some(), present.as_deref()));
    if matches!(outlook.talloc, Talloc::Elsewhere(_)) && dropin.can_be_preloaded() {
        let present = std::env::var_os("LD_PRELOAD");
        command.env("LD_PRELOAD", environment::preload(&dropin, present.as_deref()));
    }

    signals::catch();
    let child = command
        .spawn()
        .map_err(|error| Failure::new(NOT_RUNNABLE, format!("cannot run {}: {error}", path.display())))?;
    let pid = child.id();
    let (status, last_name) = wait(child)?;

    let loaded = session.loaded();
    if loaded.is_empty() && outlook.hopeless.is_none() {
        let ended = Ended {
            asked: &path,
            started: &started,
            last_name: last_name.as_deref(),
            talloc: &outlook.talloc,
        };
        say(&format!("{} never loaded the drop-in: {}", name.display(), ended.reason()));
    }
    if let Some(mut sink) = report {
        let missing = loaded.contains(&pid).then_some(pid);
        sink.write_reports(&session, missing, status)?;
    }
    // The program's death ends this process at once, so the folder goes first.
    drop(session);
    Ok(match status.signal() {
        Some(signal) => signals::die_of(signal),
        None => status.code().unwrap_or(OWN_FAILURE),
    })
}

/// `failure` to find the program; where that may have been meant for the report's file, it says how to name one.
fn about_report(args: &Run, failure: Failure) -> Failure {
    let [word, _, ..] = &args.program[..] else { return failure };
    if !matches!(args.report, Some(None)) {
        return failure;
    }
    let message =
        format!("{} (a file for the report is named by --report={})", failure.message, word.display());
    Failure { message, ..failure }
}

/// What is known of a program before it runs.
struct Outlook {
    /// The LD_LIBRARY_PATH that it gets.
    search_path: OsString,
    /// Where its talloc would come from with that path.
    talloc: Talloc,
    /// Why the drop-in cannot come under it, when that is certain.
    hopeless: Option<String>,
}

impl Outlook {
    fn of(started: &Path, dropin: &DropIn) -> Result<Outlook, Failure> {
        let machine = program::machine(&dropin.file).ok_or_else(|| {
            Failure::new(OWN_FAILURE, format!("{} is not a library", dropin.file.display()))
        })?;
        let present = std::env::var_os("LD_LIBRARY_PATH");
        let search_path = environment::search_path(dropin, present.as_deref());
        let kind = program::kind(started, machine);
        let hopeless = verdict::beforehand(&kind, privilege::gained(started).as_ref());
        let talloc = match &kind {
            Kind::Dynamic { loader } => loader::ask(loader, started, &search_path, dropin),
            _ => Talloc::Unknown,
        };
        Ok(Outlook { search_path, talloc, hopeless })
    }
}

/// Waits for the program, passing signals on. Returns its status, and the name that its process
/// had at the end (it may have executed another program), while the kernel still knows it.
fn wait(mut child: Child) -> Result<(ExitStatus, Option<String>), Failure> {
    let pid = child.id();
    signals::send_to(pid);
    loop {
        let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: `info` has room for the answer. WNOWAIT leaves the child to be reaped below.
        let outcome =
            unsafe { libc::waitid(libc::P_PID, pid, info.as_mut_ptr(), libc::WEXITED | libc::WNOWAIT) };
        let interrupted =
            outcome != 0 && std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted;
        if !interrupted {
            break;
        }
    }
    let last_name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    signals::stop_sending();
    let status = child.wait().map_err(|error| Failure::own("cannot wait for the program", error))?;
    Ok((status, last_name.map(|name| name.trim_end_matches('\n').to_owned())))
}

/// Where reports go.
enum Sink {
    Stderr,
    File(File, PathBuf),
}

impl Sink {
    /// Opens the file at once, so that a name that cannot be written fails before the program runs.
    fn open(file: Option<&Path>) -> Result<Sink, Failure> {
        match file {
            None => Ok(Sink::Stderr),
            Some(path) => File::create(path)
                .map(|file| Sink::File(file, path.to_path_buf()))
                .map_err(|error| Failure::own(format!("cannot write {}", path.display()), error)),
        }
    }

    /// Writes the reports of all processes. `expected` is the program itself when it has loaded the
    /// drop-in: if it left no report, the reason is said.
    fn write_reports(
        &mut self,
        session: &Session,
        expected: Option<u32>,
        status: ExitStatus,
    ) -> Result<(), Failure> {
        let reports = session.reports();
        for text in reports.values() {
            self.write(text)?;
        }
        if let Some(pid) = expected.filter(|pid| !reports.contains_key(pid)) {
            let how = match status.signal() {
                Some(signal) => format!("signal {signal} killed it"),
                None => "it ended by _exit, or became another program".to_owned(),
            };
            say(&format!("no report from process {pid}: {how}"));
        }
        Ok(())
    }

    fn write(&mut self, text: &[u8]) -> Result<(), Failure> {
        match self {
            // A closed stderr is the user's choice.
            Sink::Stderr => {
                let _ = std::io::stderr().write_all(text);
                Ok(())
            }
            Sink::File(file, path) => file
                .write_all(text)
                .map_err(|error| Failure::own(format!("cannot write {}", path.display()), error)),
        }
    }
}
