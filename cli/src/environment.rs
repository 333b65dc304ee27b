//! The variables that put the drop-in under a program and under all that it starts.
//!
//! LD_LIBRARY_PATH is enough for a program that finds talloc in the system or by a RUNPATH. An old
//! style RPATH is searched first, so there the drop-in is preloaded: the loader then has a library
//! with talloc's soname already, and searches no more. It is not preloaded into everything, because
//! programs that use no talloc would carry it as well.

use std::ffi::{OsStr, OsString};

use crate::dropin::DropIn;
use crate::session::Session;

/// The value of LD_LIBRARY_PATH: the drop-in's folder before what the user has.
pub fn search_path(dropin: &DropIn, present: Option<&OsStr>) -> OsString {
    joined(dropin.folder.as_os_str(), ":", present)
}

/// The value of LD_PRELOAD: the drop-in before what the user has.
pub fn preload(dropin: &DropIn, present: Option<&OsStr>) -> OsString {
    joined(dropin.file.as_os_str(), ":", present)
}

/// The value of TMEMPOOL_OPTIONS: the user's, and behind them, because the last one counts, where
/// the library shall leave word.
pub fn options(session: &Session, report: bool, present: Option<&OsStr>) -> OsString {
    let mut value = present.filter(|text| !text.is_empty()).map_or(OsString::new(), |text| {
        let mut text = text.to_owned();
        text.push(",");
        text
    });
    value.push("notify=");
    value.push(session.notify());
    if report {
        value.push(",report=");
        value.push(session.report_pattern());
    }
    value
}

fn joined(first: &OsStr, separator: &str, rest: Option<&OsStr>) -> OsString {
    let mut value = first.to_owned();
    if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
        value.push(separator);
        value.push(rest);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_does_not_become_an_empty_entry() {
        // An empty entry in LD_LIBRARY_PATH would mean the current folder.
        assert_eq!(joined("/a".as_ref(), ":", None), "/a");
        assert_eq!(joined("/a".as_ref(), ":", Some("".as_ref())), "/a");
        assert_eq!(joined("/a".as_ref(), ":", Some("/b".as_ref())), "/a:/b");
    }

    #[test]
    fn the_users_options_come_first() {
        let session = Session::new().unwrap();
        let value = options(&session, true, Some("fill=1".as_ref())).into_string().unwrap();
        assert!(value.starts_with("fill=1,notify=/"), "{value}");
        assert!(value.contains(",report=/"), "{value}");
        let value = options(&session, false, None).into_string().unwrap();
        assert!(value.starts_with("notify=/") && !value.contains("report"), "{value}");
    }
}
