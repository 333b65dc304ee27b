//! Running a program and asking the kernel what it cost.

use anyhow::{Context, Result, bail};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

/// What a finished process used.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// User and system time together.
    pub cpu: Duration,
    /// Peak resident size.
    pub peak_rss_kib: u64,
}

/// Runs `command` to its end; its output goes wherever the command says.
///
/// # Errors
/// When it cannot start or does not succeed.
pub fn run(command: &mut Command) -> Result<Usage> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
    let (status, usage) = wait(child)?;
    if !status.success() {
        bail!("{name}: {status}");
    }
    Ok(usage)
}

/// Waits for a child as `Child::wait` does, and keeps the kernel's accounts.
fn wait(child: Child) -> Result<(ExitStatus, Usage)> {
    use std::os::unix::process::ExitStatusExt;

    let mut status = 0;
    // SAFETY: rusage is plain integers, for which all-zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the child is ours and not waited for yet; both pointers are to live locals.
    let waited = unsafe { libc::wait4(child.id() as libc::pid_t, &mut status, 0, &mut usage) };
    if waited < 0 {
        return Err(std::io::Error::last_os_error()).context("wait4");
    }
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    Ok((
        ExitStatus::from_raw(status),
        Usage { cpu: time(usage.ru_utime) + time(usage.ru_stime), peak_rss_kib: usage.ru_maxrss as u64 },
    ))
}
