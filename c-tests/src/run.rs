//! Runs a test program: its output, how it ended, and an end when it hangs.

use std::fs;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may take. The machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// What a program printed and how it ended.
pub struct Outcome {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error, where the loader complains too.
    pub stderr: String,
}

impl Outcome {
    /// Wants exit status 0 and nothing on standard error.
    ///
    /// # Errors
    /// How it ended instead, with its last lines.
    pub fn clean(self) -> Result<String, String> {
        if self.status.success() && self.stderr.is_empty() {
            return Ok(self.stdout);
        }
        let how = match self.status.signal() {
            Some(signal) => format!("signal {signal}"),
            None => format!("{}", self.status),
        };
        Err(format!("ended by {how}\nstderr:\n{}\nend of stdout:\n{}", self.stderr, tail(&self.stdout, 15)))
    }
}

/// The last lines of a text.
fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Runs `command` to its end, or ends it and all it started.
///
/// # Errors
/// It could not be started, or it hung.
pub fn run(mut command: Command) -> Result<Outcome, String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|e| format!("{command:?}: {e}"))?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let status = wait(&mut child).ok_or_else(|| format!("{command:?}: hung for {PATIENCE:?}"))?;
    Ok(Outcome {
        status,
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    })
}

/// Reads a pipe to its end in a thread, so that no program blocks on a full one.
fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // A broken pipe ends the text: what came is compared all the same.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits for the child; kills its whole process group when patience ends.
fn wait(child: &mut Child) -> Option<ExitStatus> {
    let end = Instant::now() + PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            _ if Instant::now() > end => {
                let group = libc::pid_t::try_from(child.id()).expect("a process id fits its type");
                // SAFETY: a plain system call; the group is the one this child leads,
                // and its id is not reused before the child is waited for below.
                unsafe { libc::kill(-group, libc::SIGKILL) };
                let _ = child.wait();
                return None;
            }
            _ => thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// A command for `program` that finds `libtalloc.so.2` in the directory of
/// `library`, and tells which library it got in `witness`.
pub fn with_library(program: &Path, library: Option<&Path>, witness: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_remove("LD_LIBRARY_PATH")
        .env_remove("LD_PRELOAD")
        .env_remove("TALLOC_FREE_FILL")
        .env_remove("TMEMPOOL_OPTIONS")
        .env("LC_ALL", "C")
        .env("CHECK_LIBRARY_FILE", witness);
    if let Some(directory) = library.and_then(Path::parent) {
        command.env("LD_LIBRARY_PATH", directory);
    }
    command
}

/// Reads which file really answered for talloc in a process that has run.
///
/// # Errors
/// It left no witness, or another library than `expected` answered.
pub fn check_library(witness: &Path, expected: &Path) -> Result<(), String> {
    let loaded = fs::read_to_string(witness).map_err(|e| format!("no witness of the library: {e}"))?;
    let loaded = Path::new(loaded.trim_end());
    let real = loaded.canonicalize().map_err(|e| format!("{}: {e}", loaded.display()))?;
    let expected = expected.canonicalize().map_err(|e| format!("{}: {e}", expected.display()))?;
    if real == expected {
        return Ok(());
    }
    Err(format!("{} was loaded, not {}", real.display(), expected.display()))
}
