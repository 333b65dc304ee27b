//! Whether a program gains privileges when it starts.
//!
//! The loader trusts no LD_ variable in such a program (the kernel tells it by AT_SECURE), so the
//! drop-in cannot be put under it from outside. The rules are the kernel's: bits and capabilities
//! count only where the file system and the process allow them, and only when they change anything.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The way in which a program gains privileges.
#[derive(Debug, PartialEq)]
pub enum Privilege {
    SetUser(u32),
    SetGroup(u32),
    Capabilities,
}

/// What `path` gains when the caller starts it; `None` when it runs as the caller.
pub fn gained(path: &Path) -> Option<Privilege> {
    if ignores_privileges(path) {
        return None;
    }
    let meta = std::fs::metadata(path).ok()?;
    // SAFETY: these calls only read the process's ids and cannot fail.
    let (user, group) = unsafe { (libc::getuid(), libc::getgid()) };
    from_mode(meta.mode(), meta.uid(), meta.gid(), user, group)
        .or_else(|| (user != 0 && has_capabilities(path)).then_some(Privilege::Capabilities))
}

/// The kernel's rule for the two bits: they count on executable files, and only when the process's
/// effective id will differ from the caller's real one. A set-group bit without group execution once meant mandatory locking.
fn from_mode(mode: u32, owner: u32, owning_group: u32, user: u32, group: u32) -> Option<Privilege> {
    const SET_GROUP: u32 = 0o2010;
    if mode & 0o4000 != 0 && owner != user {
        Some(Privilege::SetUser(owner))
    } else if mode & SET_GROUP == SET_GROUP && owning_group != group {
        Some(Privilege::SetGroup(owning_group))
    } else {
        None
    }
}

/// Whether the file system (mounted nosuid) or the process (no_new_privs) drops all privileges.
fn ignores_privileges(path: &Path) -> bool {
    // SAFETY: PR_GET_NO_NEW_PRIVS takes no pointers; the other arguments must be 0.
    if unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) } == 1 {
        return true;
    }
    let Ok(name) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    let mut mount = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `name` ends in NUL, `mount` has room for the answer.
    if unsafe { libc::statvfs(name.as_ptr(), mount.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: the call succeeded, so it filled `mount`.
    unsafe { mount.assume_init() }.f_flag & libc::ST_NOSUID != 0
}

/// Whether the file carries capabilities (`setcap`).
fn has_capabilities(path: &Path) -> bool {
    let Ok(name) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: both names end in NUL; no buffer and size 0 ask for the length only.
    let length =
        unsafe { libc::getxattr(name.as_ptr(), c"security.capability".as_ptr(), std::ptr::null_mut(), 0) };
    length > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_count_only_when_they_change_who_runs() {
        assert_eq!(from_mode(0o4755, 0, 0, 1000, 1000), Some(Privilege::SetUser(0)));
        assert_eq!(from_mode(0o4755, 1000, 0, 1000, 1000), None);
        assert_eq!(from_mode(0o2755, 1000, 50, 1000, 1000), Some(Privilege::SetGroup(50)));
        assert_eq!(from_mode(0o2745, 1000, 50, 1000, 1000), None);
        assert_eq!(from_mode(0o0755, 0, 0, 1000, 1000), None);
    }
}
