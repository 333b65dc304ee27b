//! `tmempool info`: what is installed, and what the system offers. For bug reports.

use crate::dropin::DropIn;
use crate::failure::Failure;

/// Prints what is known, one `name: value` a line; fails when there is no drop-in.
pub fn info() -> Result<i32, Failure> {
    println!("tmempool: {}", env!("CARGO_PKG_VERSION"));
    if let Ok(own) = std::env::current_exe() {
        println!("command: {}", own.display());
    }
    println!("kernel: {}", first_line("/proc/sys/kernel/osrelease"));
    println!("page size: {}", page_size());
    let huge = first_line("/sys/kernel/mm/transparent_hugepage/enabled");
    println!("transparent huge pages: {}", chosen(&huge));
    match std::env::var_os("TMEMPOOL_OPTIONS") {
        Some(options) => println!("TMEMPOOL_OPTIONS: {}", options.display()),
        None => println!("TMEMPOOL_OPTIONS: not set"),
    }
    println!("drop-in: {}", DropIn::find()?.file.display());
    Ok(0)
}

fn first_line(path: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}

/// The word in brackets, with which the kernel marks the choice that is in force.
fn chosen(line: &str) -> &str {
    line.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or(line, |(word, _)| word)
}

fn page_size() -> i64 {
    // SAFETY: sysconf takes a number and has no preconditions.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernels_choice_is_the_word_in_brackets() {
        assert_eq!(super::chosen("always [madvise] never"), "madvise");
        assert_eq!(super::chosen("unknown"), "unknown");
    }
}
