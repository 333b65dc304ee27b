//! The progress bar, one style for every section.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar of `steps` steps for the section `title`.
pub fn bar(title: &'static str, steps: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>8} [{wide_bar}] {pos}/{len} {msg:32!} {eta:>4}")
        .expect("a valid template")
        .progress_chars("=> ");
    ProgressBar::new(steps as u64).with_style(style).with_prefix(title)
}
