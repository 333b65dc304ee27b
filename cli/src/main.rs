//! The `tmempool` command: runs unmodified talloc programs on tmempool, and looks into running ones.
//!
//! | file | concept |
//! |---|---|
//! | `args` | the command line as the user types it |
//! | `run` | `tmempool run`: start a program, wait, say what became of it |
//! | `tree` | `tmempool tree`: the contexts of a running process |
//! | `info` | `tmempool info`: what is installed, and what the system offers |
//! | `dropin` | the library that takes libtalloc's place, and where it lies |
//! | `program` | the file that will run: found, and looked into |
//! | `privilege` | whether the loader will trust its environment |
//! | `loader` | what the dynamic loader itself says it would load |
//! | `session` | the private folder in which the library leaves word |
//! | `environment` | the variables that put the drop-in under a program |
//! | `signals` | signals passed on to the program, and a death like its own |
//! | `verdict` | why a program never loaded the drop-in |
//! | `failure` | one line and one exit status |

mod args;
mod dropin;
mod environment;
mod failure;
mod info;
mod loader;
mod privilege;
mod program;
mod run;
mod session;
mod signals;
mod tree;
mod verdict;

use clap::Parser;

fn main() {
    let outcome = match arguments().command {
        args::Command::Run(run) => run::run(&run),
        args::Command::Tree(tree) => tree::tree(&tree),
        args::Command::Info => info::info(),
    };
    let status = outcome.unwrap_or_else(|failure| {
        failure::say(&failure.message);
        failure.status
    });
    std::process::exit(status);
}

/// The command line. What cannot be understood is a failure of this command's own, as with `env`; help and the version are
/// none.
fn arguments() -> args::Args {
    args::Args::try_parse().unwrap_or_else(|error| {
        // A stream that is closed is the user's choice.
        let _ = error.print();
        std::process::exit(if error.use_stderr() { failure::OWN_FAILURE } else { 0 });
    })
}
