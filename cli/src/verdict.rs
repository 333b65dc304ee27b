//! Why a program never loaded the drop-in, in words for its user.
//!
//! Three reasons are certain before the program runs, from its file. The others are what is left
//! when it has ended and no process has left word.

use std::ffi::CStr;
use std::path::Path;

use crate::loader::Talloc;
use crate::privilege::Privilege;
use crate::program::Kind;

/// The reason that is certain before `program` runs; `None` when it can load the drop-in.
pub fn beforehand(kind: &Kind, privilege: Option<&Privilege>) -> Option<String> {
    match (kind, privilege) {
        (Kind::Static, _) => Some("it is linked statically, so no library can be put under it".to_owned()),
        (Kind::OtherMachine, _) => Some("it is for another machine or word size than the drop-in".to_owned()),
        (_, Some(Privilege::SetUser(id))) => Some(format!(
            "it is setuid ({}), so the loader ignores the environment that names the drop-in",
            user_name(*id)
        )),
        (_, Some(Privilege::SetGroup(id))) => Some(format!(
            "it is setgid (group {id}), so the loader ignores the environment that names the drop-in"
        )),
        (_, Some(Privilege::Capabilities)) => Some(
            "its file has capabilities, so the loader ignores the environment that names the drop-in"
                .to_owned(),
        ),
        _ => None,
    }
}

/// What is known of a program that has ended without any process having loaded the drop-in.
pub struct Ended<'a> {
    /// The file that was asked for.
    pub asked: &'a Path,
    /// The file that the kernel started: the same, or the interpreter of a script.
    pub started: &'a Path,
    /// The process's name at its end, as the kernel has it.
    pub last_name: Option<&'a str>,
    pub talloc: &'a Talloc,
}

impl Ended<'_> {
    /// The likeliest reason.
    pub fn reason(&self) -> String {
        let (asked, started) = (base_name(self.asked), base_name(self.started));
        // The kernel names a script's process after the script.
        let is_another = |last: &&str| !same_process_name(&asked, last) && !same_process_name(&started, last);
        if let Some(last) = self.last_name.filter(is_another) {
            return format!(
                "{asked} gave way to {last}, which loaded no drop-in: was the environment cleared, \
                 or is {last} static, setuid, or without talloc?"
            );
        }
        match self.talloc {
            Talloc::NotNamed => format!(
                "{started} does not use {}, nor does anything that it started with its environment",
                crate::dropin::SONAME
            ),
            Talloc::Elsewhere(path) => {
                format!("{started} uses {} of its own accord", path.display())
            }
            Talloc::DropIn | Talloc::Unknown => format!(
                "{started} ended, or started itself anew without its environment, before a library \
                 was loaded"
            ),
        }
    }
}

fn base_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether a process named `last` by the kernel, which keeps 15 bytes, may still be `started`. A
/// program that has renamed itself (`smbd: worker`) keeps its name in front.
fn same_process_name(started: &str, last: &str) -> bool {
    let kept = &started.as_bytes()[..started.len().min(15)];
    last.as_bytes().starts_with(kept) || started.as_bytes().starts_with(last.as_bytes())
}

/// The name of user `id`, or the number when it has none.
fn user_name(id: u32) -> String {
    // SAFETY: getpwuid takes a number; this program has one thread, so nothing overwrites the
    // answer, and the name ends in NUL.
    unsafe {
        let entry = libc::getpwuid(id);
        if entry.is_null() {
            id.to_string()
        } else {
            CStr::from_ptr((*entry).pw_name).to_string_lossy().into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_programs_and_privileges_are_certain_beforehand() {
        let dynamic = Kind::Dynamic { loader: "/lib64/ld.so".into() };
        assert!(beforehand(&Kind::Static, None).unwrap().contains("statically"));
        assert!(beforehand(&Kind::OtherMachine, None).unwrap().contains("machine"));
        assert!(beforehand(&dynamic, Some(&Privilege::SetUser(0))).unwrap().contains("(root)"));
        assert!(beforehand(&dynamic, Some(&Privilege::SetGroup(7))).unwrap().contains("setgid"));
        assert!(beforehand(&dynamic, Some(&Privilege::Capabilities)).is_some());
        assert_eq!(beforehand(&dynamic, None), None);
    }

    #[test]
    fn a_program_that_gave_way_to_another_is_named() {
        let ended = |last_name| Ended {
            asked: Path::new("/usr/bin/env"),
            started: Path::new("/usr/bin/env"),
            last_name,
            talloc: &Talloc::NotNamed,
        };
        assert!(ended(Some("notmuch")).reason().starts_with("env gave way to notmuch"));
        assert!(ended(Some("env")).reason().starts_with("env does not"));
        assert!(ended(None).reason().starts_with("env does not"));
    }

    #[test]
    fn a_script_is_not_taken_for_another_program() {
        let ended = Ended {
            asked: Path::new("./work"),
            started: Path::new("/bin/sh"),
            last_name: Some("work"),
            talloc: &Talloc::NotNamed,
        };
        assert!(ended.reason().starts_with("sh does not"), "{}", ended.reason());
    }

    #[test]
    fn names_are_compared_as_the_kernel_keeps_them() {
        assert!(same_process_name("a-very-long-program-name", "a-very-long-pro"));
        assert!(same_process_name("smbd", "smbd: worker"));
        assert!(!same_process_name("env", "notmuch"));
    }
}
