//! The command line, as the user types it. Nothing here acts.

use std::ffi::OsString;
use std::path::PathBuf;

/// Memory with owners, for programs that were written for talloc.
#[derive(clap::Parser)]
#[command(name = "tmempool", version, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(clap::Subcommand)]
pub enum Command {
    Run(Run),
    Tree(Tree),
    /// Show what is installed, and what the system offers
    Info,
}

/// Run an unmodified program on tmempool in place of libtalloc
///
/// The program, and each program that it starts, gets the drop-in library by way of the environment
/// (LD_LIBRARY_PATH, and LD_PRELOAD for a program with libraries of its own). When nothing that ran
/// has loaded the drop-in, the reason is said on stderr.
///
/// The exit status is the program's. When a signal kills the program, tmempool dies of the same
/// signal. 125 means that tmempool itself failed, or was called wrongly, 126 that PROGRAM cannot be
/// run, 127 that it was not found.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  tmempool run -- notmuch new
  tmempool run --report -- ldbsearch -H people.ldb '(uid=*)'
  tmempool run --report=left.txt -- smbtorture ncalrpc:localhost local.talloc

Not shown by --report: processes that end by a signal or by _exit, and those that are still running
when PROGRAM has ended. To follow such a daemon, name the files yourself; %p becomes the process id:
  TMEMPOOL_OPTIONS=report=/var/tmp/left.%p tmempool run -- PROGRAM")]
pub struct Run {
    /// Print what is still allocated at exit, by context, on stderr or to FILE, which is begun anew
    ///
    /// A report= of your own in TMEMPOOL_OPTIONS is without effect then.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub report: Option<Option<PathBuf>>,

    /// The program, looked up in PATH when it has no slash, and its arguments
    #[arg(
        value_names = ["PROGRAM", "ARGS"],
        required = true,
        num_args = 1..,
        trailing_var_arg = true
    )]
    pub program: Vec<OsString>,
}

/// Show the contexts of a running process, or of a core dump, as trees
///
/// The process, which must use tmempool, is read from outside: it is not told, runs no code for it, and nothing
/// in it changes. Each of its trees is shown as talloc_report_full() would show it, the largest first. In names
/// that go to a terminal, control characters are shown as \n, \t or \u{1b}.
///
/// While it is read the process goes on, so that what it changes meanwhile may be missing; how much did not fit
/// together is said on stderr. With --stop it stands still for as long as the reading takes.
///
/// Reading another process takes the rights of a debugger: CAP_SYS_PTRACE, as root has, or else the process must be
/// the caller's own. Where kernel.yama.ptrace_scope is 1 it must also descend from this command, or have named it
/// (PR_SET_PTRACER), so that in general it takes root.
///
/// The exit status is 0 when the process could be read, else 125.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  tmempool tree $(pidof notmuch)
  tmempool tree --top 10 --depth 1 4711      the ten largest trees, with their children only
  tmempool tree --core core.4711
  tmempool tree --json 4711 | jq '.nodes[] | select(.size > 65536) | .name'")]
pub struct Tree {
    /// The process
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i32::MAX as i64), required_unless_present = "core")]
    pub pid: Option<u32>,

    /// Read the core dump FILE in place of a process
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pid", "stop"])]
    pub core: Option<PathBuf>,

    /// Show chunks down to this depth only: 0 for the roots, 1 for their children
    #[arg(long, value_name = "N")]
    pub depth: Option<u32>,

    /// Show the N largest trees only, and the totals of the others
    #[arg(long, value_name = "N")]
    pub top: Option<usize>,

    /// Write JSON
    #[arg(long)]
    pub json: bool,

    /// Stop the process while it is read
    #[arg(long)]
    pub stop: bool,
}
