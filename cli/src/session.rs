//! The private folder in which the library leaves word, for the time of one run.
//!
//! The library appends to `loaded` one line for each program that loads it, `PID PATH`, and writes
//! at each process's exit a `report.PID`. These are files and not descriptors, because a daemon
//! closes all descriptors that it does not know. The folder is readable by the caller only, and it
//! goes when the session is dropped.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::failure::Failure;

const NOTIFY: &str = "loaded";
const REPORT_PREFIX: &str = "report.";

pub struct Session {
    folder: tempfile::TempDir,
}

impl Session {
    /// Makes the folder. Its path has no comma, which would end the option that names it.
    pub fn new() -> Result<Session, Failure> {
        let base = Some(std::env::temp_dir())
            .filter(|base| base.is_absolute() && !base.to_string_lossy().contains(','))
            .unwrap_or_else(|| PathBuf::from("/tmp"));
        tempfile::Builder::new()
            .prefix("tmempool-")
            .tempdir_in(&base)
            .map(|folder| Session { folder })
            .map_err(|error| Failure::own(format!("cannot make a folder in {}", base.display()), error))
    }

    /// Where the library shall say that it was loaded.
    pub fn notify(&self) -> PathBuf {
        self.folder.path().join(NOTIFY)
    }

    /// Where the library shall write its reports; it puts the process id for `%p`.
    pub fn report_pattern(&self) -> PathBuf {
        self.folder.path().join(format!("{REPORT_PREFIX}%p"))
    }

    /// The processes that loaded the library.
    pub fn loaded(&self) -> Vec<u32> {
        let text = std::fs::read(self.notify()).unwrap_or_default();
        String::from_utf8_lossy(&text)
            .lines()
            .filter_map(|line| line.split(' ').next()?.parse().ok())
            .collect()
    }

    /// The reports, by process.
    pub fn reports(&self) -> BTreeMap<u32, Vec<u8>> {
        let Ok(entries) = std::fs::read_dir(self.folder.path()) else {
            return BTreeMap::new();
        };
        entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let pid = entry.file_name().to_str()?.strip_prefix(REPORT_PREFIX)?.parse().ok()?;
                Some((pid, std::fs::read(entry.path()).ok()?))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_left_is_nothing_loaded() {
        let session = Session::new().unwrap();
        assert!(session.loaded().is_empty());
        assert!(session.reports().is_empty());
    }

    #[test]
    fn words_left_are_read_back() {
        let session = Session::new().unwrap();
        std::fs::write(session.notify(), "12 /lib/a b\n345 /lib/c\n").unwrap();
        assert_eq!(session.loaded(), [12, 345]);
        let report = session.report_pattern().to_str().unwrap().replace("%p", "345");
        std::fs::write(report, "text").unwrap();
        assert_eq!(session.reports(), BTreeMap::from([(345, b"text".to_vec())]));
    }

    #[test]
    fn the_folder_goes_with_the_session() {
        let session = Session::new().unwrap();
        let folder = session.folder.path().to_path_buf();
        assert!(folder.is_dir());
        drop(session);
        assert!(!folder.exists());
    }
}
