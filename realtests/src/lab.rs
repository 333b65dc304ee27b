//! A lab: an empty folder, a library, and a transcript of all that ran there.
//!
//! Both labs of a comparison have the same path, one after the other, so that paths in output need
//! no masking. Programs get a small, fixed environment. After each program it is checked that it
//! ran on the lab's library and that the loader did not warn.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::library::Library;
use crate::mask::Mask;
use crate::process::{Cost, Process, Run};
use crate::{dist, loads};

/// How long one program may run, unless the test says otherwise.
const LIMIT: Duration = Duration::from_secs(120);

/// Why a script could not be followed to its end.
#[derive(Debug)]
pub enum Trouble {
    /// A program did not do its work. With Debian's library: the test cannot be made here.
    Unable(String),
    /// A check failed: wrong on any library.
    Wrong(String),
}

/// What a step of a script gives.
pub type Step<T> = Result<T, Trouble>;

/// See the module's text.
pub struct Lab {
    library: Library,
    folder: PathBuf,
    records: PathBuf,
    environment: Vec<(String, String)>,
    /// What may differ between the two labs.
    pub mask: Mask,
    limit: Duration,
    unordered: bool,
    started: usize,
    transcript: String,
    cost: Cost,
}

impl Lab {
    /// Makes the lab's folder in `base` anew.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn new(library: Library, base: &Path) -> std::io::Result<Lab> {
        let (folder, records) = (base.join("lab"), base.join(format!("records-{library:?}")));
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir(&folder)?;
        std::fs::create_dir(&records)?;
        Ok(Lab {
            library,
            folder,
            records,
            environment: Vec::new(),
            mask: Mask::default(),
            limit: LIMIT,
            unordered: false,
            started: 0,
            transcript: String::new(),
            cost: Cost::default(),
        })
    }

    /// The library that programs in this lab run on.
    pub fn library(&self) -> Library {
        self.library
    }

    /// The folder that programs in this lab run in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What all programs of this lab have cost: the sum of the time, the largest memory.
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// All that ran here and what it printed, masked.
    pub fn transcript(&self) -> &str {
        &self.transcript
    }

    /// Adds a variable to the environment of programs that start later.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Lets programs that start later run for `limit`.
    pub fn allow(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Lets the lines that programs print come in any order, for work whose order depends on inode
    /// numbers or random identities.
    pub fn in_any_order(&mut self) {
        self.unordered = true;
    }

    /// Writes a file in the folder, with the folders on the way to it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> Step<()> {
        let path = self.folder.join(name);
        let refused = |error| Trouble::Unable(format!("cannot write {name}: {error}"));
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(refused)?;
        }
        std::fs::write(path, text).map_err(refused)
    }

    /// Runs a program that uses talloc, and demands that it succeeds.
    ///
    /// # Errors
    /// When it fails, when it ran on another library, or when the loader warned.
    pub fn run<S: AsRef<OsStr>>(&mut self, words: &[S]) -> Step<Run> {
        let run = self.try_run(words)?;
        if run.succeeded() {
            return Ok(run);
        }
        let mut lines = run.stdout.lines().chain(run.stderr.lines());
        let last = lines.rfind(|line| !line.trim().is_empty()).unwrap_or("no output");
        Err(Trouble::Unable(format!("{}: {}: {last}", shown(words), run.ending())))
    }

    /// Runs a program that uses talloc, and accepts any ending (it is part of the transcript).
    ///
    /// # Errors
    /// When it ran on another library, or when the loader warned.
    pub fn try_run<S: AsRef<OsStr>>(&mut self, words: &[S]) -> Step<Run> {
        let daemon = self.start(words)?;
        self.finish(daemon)
    }

    /// Starts a program that uses talloc, to be given to `finish` later.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start<S: AsRef<OsStr>>(&mut self, words: &[S]) -> Step<Started> {
        self.started += 1;
        let name = format!("{:03}", self.started);
        let records = self.records.join(&name);
        let mut command = self.command(words);
        loads::record(&mut command, &records);
        let process = std::fs::create_dir(&records)
            .and_then(|()| Process::start(&mut command, &self.records, &name))
            .map_err(|error| Trouble::Unable(format!("{}: {error}", shown(words))))?;
        Ok(Started { process, records, words: shown(words) })
    }

    /// Waits for a program, checks its library, and adds it to the transcript.
    ///
    /// # Errors
    /// When it ran on another library, or when the loader warned.
    pub fn finish(&mut self, started: Started) -> Step<Run> {
        let Started { process, records, words } = started;
        let run = process.wait(self.limit);
        self.cost.cpu += run.cost.cpu;
        self.cost.peak_kib = self.cost.peak_kib.max(run.cost.peak_kib);
        self.transcript += &self.mask.apply(&format!("$ {words}\n"));
        self.transcript += &self.masked(&run.stdout);
        self.transcript += "--- stderr\n";
        self.transcript += &self.masked(&run.stderr);
        self.transcript += &format!("--- {}\n", run.ending());
        loads::check(&records, self.library)
            .and_then(|()| loads::check_warnings(&run.stderr))
            .map_err(|wrong| Trouble::Wrong(format!("{words}: {wrong}")))?;
        Ok(run)
    }

    /// Output as it goes into the transcript.
    fn masked(&self, output: &str) -> String {
        let text = self.mask.apply(output);
        if !self.unordered {
            return text;
        }
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        lines.into_iter().flat_map(|line| [line, "\n"]).collect()
    }

    /// Adds what a program answered by another way than its output to the transcript.
    pub fn note(&mut self, text: &str) {
        self.transcript += &self.masked(text);
    }

    /// The command with the lab's environment and library, and no input.
    fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> Command {
        let name = words[0].as_ref();
        let path = name.to_str().and_then(dist::program).unwrap_or_else(|| PathBuf::from(name));
        let mut command = Command::new(path);
        command.args(&words[1..]).current_dir(&self.folder).stdin(Stdio::null()).env_clear();
        command.envs([
            ("PATH", dist::SYSTEM_PATH),
            ("LC_ALL", "C.UTF-8"),
            ("TZ", "UTC"),
            ("PYTHONDONTWRITEBYTECODE", "1"),
        ]);
        command.env("HOME", &self.folder).env("TMPDIR", &self.folder);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.library.select(&mut command);
        command
    }
}

/// A program that runs in a lab.
pub struct Started {
    /// The process itself.
    pub process: Process,
    records: PathBuf,
    words: String,
}

fn shown<S: AsRef<OsStr>>(words: &[S]) -> String {
    words.iter().map(|word| word.as_ref().to_string_lossy()).collect::<Vec<_>>().join(" ")
}
