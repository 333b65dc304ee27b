//! A process stopped while it is read, so that nothing changes meanwhile.
//!
//! All its threads are seized as a debugger does it (ptrace(2)): no signal is sent, its parent sees no stop, and
//! should this program die, the kernel lets the process go on.

use std::fs;
use std::io;
use std::ptr;

use crate::error::Error;

/// How often the threads are listed anew: each time, those that were made meanwhile are stopped, too.
const ROUNDS: usize = 64;

/// A process that stands still until this is dropped. To be dropped by the thread that made it.
#[derive(Debug)]
pub struct Stopped {
    threads: Vec<Thread>,
}

/// A thread that stands.
#[derive(Debug)]
struct Thread {
    id: libc::pid_t,
    /// A signal that it was about to get when it was stopped, and gets when it goes on; or 0.
    signal: libc::c_int,
}

impl Stopped {
    /// Stops all threads of `pid`.
    ///
    /// # Errors
    /// It may not be stopped, is being debugged, or has ended. Then none of its threads stays stopped.
    pub fn new(pid: u32) -> Result<Stopped, Error> {
        let mut stopped = Stopped { threads: Vec::new() };
        for _ in 0..ROUNDS {
            let fresh: Vec<libc::pid_t> =
                threads(pid).into_iter().filter(|id| stopped.threads.iter().all(|t| t.id != *id)).collect();
            if fresh.is_empty() {
                break;
            }
            for id in fresh {
                match seize(id) {
                    Ok(thread) => stopped.threads.push(thread),
                    // It has ended since it was listed.
                    Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                    Err(error) => return Err(Error::NotStopped(error)),
                }
            }
        }
        if stopped.threads.is_empty() { Err(Error::NoProcess) } else { Ok(stopped) }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for thread in &self.threads {
            // A thread that was killed meanwhile is gone; there is nothing to do about it.
            let _ = request(libc::PTRACE_DETACH, thread.id, thread.signal);
        }
    }
}

fn threads(pid: u32) -> Vec<libc::pid_t> {
    let entries = fs::read_dir(format!("/proc/{pid}/task"));
    entries.into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Seizes a thread, and waits until it stands.
fn seize(id: libc::pid_t) -> io::Result<Thread> {
    request(libc::PTRACE_SEIZE, id, 0)?;
    request(libc::PTRACE_INTERRUPT, id, 0)?;
    loop {
        let mut status = 0;
        // SAFETY: a number to fill in; the thread is traced by this one.
        let waited = unsafe { libc::waitpid(id, &raw mut status, libc::__WALL) };
        if waited == id {
            if !libc::WIFSTOPPED(status) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            // Stopped by this program, or with its whole group, if an event is told of; else by a signal.
            let signal = if status >> 16 == 0 { libc::WSTOPSIG(status) } else { 0 };
            return Ok(Thread { id, signal });
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn request(request: libc::c_uint, thread: libc::pid_t, data: libc::c_int) -> io::Result<()> {
    let nothing = ptr::null_mut::<libc::c_void>();
    // SAFETY: these requests read and write no memory of ours; `data` is a number to them.
    let done = unsafe { libc::ptrace(request, thread, nothing, data as libc::c_long) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
