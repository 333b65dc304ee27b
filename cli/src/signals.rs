//! Signals: those sent to this command are the program's, and the program's death is this command's.
//!
//! A signal that a process sends is passed on. One that the kernel sends (the terminal's interrupt,
//! quit and hang-up) reaches the program anyway, being in the same group, and is not sent twice.
//! What was ignored when this command was started (`nohup`) stays ignored in both.

use std::sync::atomic::{AtomicI32, Ordering};

use libc::c_int;

/// The signals that are passed on.
const PASSED_ON: [c_int; 6] =
    [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2];

/// The program's process id; 0 while there is none.
static PROGRAM: AtomicI32 = AtomicI32::new(0);
/// A signal that came before the program was there; 0 for none.
static EARLY: AtomicI32 = AtomicI32::new(0);

/// Catches the signals that are to be passed on. Call before the program is started; its own
/// handlers are the default ones, since caught signals are reset when a program is executed.
pub fn catch() {
    for signal in PASSED_ON {
        // SAFETY: both structures are plain data for which zero is valid, and live for the calls;
        // the handler has the three-argument form that SA_SIGINFO asks for and does only what is
        // safe in a handler: atomics and kill.
        unsafe {
            let mut present: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, std::ptr::null(), &mut present);
            if present.sa_sigaction == libc::SIG_IGN {
                continue;
            }
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = pass_on as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
}

/// Names the program that signals are for, and sends it what came before.
pub fn send_to(program: u32) {
    PROGRAM.store(program as c_int, Ordering::SeqCst);
    let early = EARLY.swap(0, Ordering::SeqCst);
    if early != 0 {
        // SAFETY: kill takes no pointers; the program is our child and not yet waited for.
        unsafe { libc::kill(program as c_int, early) };
    }
}

/// Ends the passing on. Call before the program is reaped, when its id may go to another process.
pub fn stop_sending() {
    PROGRAM.store(0, Ordering::SeqCst);
}

extern "C" fn pass_on(signal: c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid record to a handler set with SA_SIGINFO.
    let from_kernel = unsafe { (*info).si_code } > 0;
    if from_kernel {
        return;
    }
    match PROGRAM.load(Ordering::SeqCst) {
        0 => EARLY.store(signal, Ordering::SeqCst),
        // SAFETY: kill takes no pointers and is allowed in a handler.
        program => unsafe {
            libc::kill(program, signal);
        },
    }
}

/// Ends this process by `signal`, as the program ended, so that whoever waits sees the same death.
/// No second core file is written. Returns the status to exit with should the signal not kill.
pub fn die_of(signal: c_int) -> i32 {
    // SAFETY: all structures are plain data that live for the calls; the default action needs no
    // handler.
    unsafe {
        let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &no_core);
        libc::signal(signal, libc::SIG_DFL);
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
        libc::raise(signal);
    }
    128 + signal
}
