//! One run of a program: what it printed, how it ended, what it cost.
//!
//! Output goes to files, so that no pipe can fill up or be held open by a daemon's child. The
//! program leads a process group of its own; what is left of the group when the program has ended, or
//! when its time is over, is killed.

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What a run cost, the program's children included.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// User and system time.
    pub cpu: Duration,
    /// The largest resident set of one process, in KiB.
    pub peak_kib: u64,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Run {
    /// How it ended; `None` when it was killed because its time was over.
    pub status: Option<ExitStatus>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// What it cost.
    pub cost: Cost,
}

impl Run {
    /// `exit N`, `signal N` or `time over`.
    pub fn ending(&self) -> String {
        match self.status {
            None => "time over".to_owned(),
            Some(status) => match status.signal() {
                Some(signal) => format!("signal {signal}"),
                None => format!("exit {}", status.code().unwrap_or(-1)),
            },
        }
    }

    /// Whether it ended with status 0.
    pub fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }
}

/// A program that is running.
pub struct Process {
    pid: libc::pid_t,
    stdout: std::path::PathBuf,
    stderr: std::path::PathBuf,
    ended: bool,
}

impl Process {
    /// Starts `command`. Its output goes to two files in `folder` whose names begin with `name`.
    ///
    /// # Errors
    /// When the files cannot be made or the program cannot be started.
    pub fn start(command: &mut Command, folder: &Path, name: &str) -> std::io::Result<Process> {
        let (stdout, stderr) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.err")));
        command.stdout(Stdio::from(File::create(&stdout)?));
        command.stderr(Stdio::from(File::create(&stderr)?));
        command.process_group(0);
        let child = command.spawn()?;
        Ok(Process { pid: child.id() as libc::pid_t, stdout, stderr, ended: false })
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: takes no pointers; the process is our child and not yet waited for.
        unsafe { libc::kill(self.pid, signal) };
    }

    /// What the program has printed on standard output so far.
    pub fn stdout_so_far(&self) -> String {
        read(&self.stdout)
    }

    /// What the program has printed on standard error so far.
    pub fn stderr_so_far(&self) -> String {
        read(&self.stderr)
    }

    /// Waits for the program's end, at most for `limit`, and kills what is left of its group.
    pub fn wait(mut self, limit: Duration) -> Run {
        let deadline = Instant::now() + limit;
        let mut pause = Duration::from_millis(1);
        let (status, cost) = loop {
            if let Some((status, cost)) = self.reap(libc::WNOHANG) {
                break (Some(status), cost);
            }
            if Instant::now() >= deadline {
                self.kill_group();
                let cost = self.reap(0).map_or(Cost::default(), |(_, cost)| cost);
                break (None, cost);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        };
        self.kill_group();
        Run { status, stdout: read(&self.stdout), stderr: read(&self.stderr), cost }
    }

    fn reap(&mut self, options: i32) -> Option<(ExitStatus, Cost)> {
        let mut status = 0;
        // SAFETY: rusage is plain data, for which zero is valid.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are to live locals; the process is our child, waited for only here.
        let reaped = unsafe { libc::wait4(self.pid, &mut status, options, &mut usage) };
        if reaped != self.pid {
            return None;
        }
        self.ended = true;
        let time = |time: libc::timeval| {
            Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
        };
        let cost =
            Cost { cpu: time(usage.ru_utime) + time(usage.ru_stime), peak_kib: usage.ru_maxrss as u64 };
        Some((ExitStatus::from_raw(status), cost))
    }

    fn kill_group(&self) {
        // SAFETY: takes no pointers; the group was made for this child.
        unsafe { libc::kill(-self.pid, libc::SIGKILL) };
    }
}

impl Drop for Process {
    /// Nothing that a test starts outlives the test.
    fn drop(&mut self) {
        if !self.ended {
            self.kill_group();
            self.reap(0);
        }
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, limit: Duration) -> Run {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null());
        Process::start(&mut command, folder.path(), "run").unwrap().wait(limit)
    }

    #[test]
    fn output_and_ending_are_kept() {
        let run = run("echo out; echo err >&2; exit 3", Duration::from_secs(10));
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("out\n", "err\n"));
        assert_eq!(run.ending(), "exit 3");
        assert!(run.cost.peak_kib > 0);
    }

    #[test]
    fn signals_and_lateness_are_endings() {
        assert_eq!(run("kill -9 $$", Duration::from_secs(10)).ending(), "signal 9");
        assert_eq!(run("sleep 60", Duration::from_millis(50)).ending(), "time over");
    }

    #[test]
    fn a_child_left_behind_is_killed() {
        let run = run("sleep 60 & echo $!", Duration::from_secs(10));
        let child: i32 = run.stdout.trim().parse().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let command = || std::fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
        while command().starts_with("sleep") {
            assert!(Instant::now() < deadline, "process {child} is still there");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
