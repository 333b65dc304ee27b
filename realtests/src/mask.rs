//! What may differ between two runs of the same work: addresses always, and what a test names.

use regex_lite::Regex;

/// Replacements that are made in everything that a program prints.
pub struct Mask {
    replacements: Vec<(Regex, String)>,
}

impl Default for Mask {
    fn default() -> Mask {
        let mut mask = Mask { replacements: Vec::new() };
        mask.add(r"0x[0-9a-f]{6,}", "ADDRESS");
        mask
    }
}

impl Mask {
    /// Puts `replacement` for each match of `pattern`.
    ///
    /// # Panics
    /// When the pattern is not a regular expression.
    pub fn add(&mut self, pattern: &str, replacement: &str) {
        let pattern = Regex::new(pattern).expect("a mask is a regular expression");
        self.replacements.push((pattern, replacement.to_owned()));
    }

    /// The text with all replacements made.
    pub fn apply(&self, text: &str) -> String {
        self.replacements.iter().fold(text.to_owned(), |text, (pattern, replacement)| {
            pattern.replace_all(&text, replacement.as_str()).into_owned()
        })
    }
}

/// The first line in which two texts differ, both ways; `None` when they are the same.
pub fn first_difference(debian: &str, ours: &str) -> Option<String> {
    if debian == ours {
        return None;
    }
    let (mut left, mut right) = (debian.lines(), ours.lines());
    for number in 1.. {
        match (left.next(), right.next()) {
            (Some(a), Some(b)) if a == b => {}
            (None, None) => break,
            (a, b) => {
                let show = |line: Option<&str>| line.unwrap_or("(nothing more)").to_owned();
                return Some(format!("line {number}\n  Debian: {}\n  ours:   {}", show(a), show(b)));
            }
        }
    }
    Some("the ends of lines differ".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_masked_and_sizes_are_not() {
        let mut mask = Mask::default();
        assert_eq!(mask.apply("at 0x7f8194001b80 0x10"), "at ADDRESS 0x10");
        mask.add(r"\d+ s", "TIME");
        assert_eq!(mask.apply("12 s"), "TIME");
    }

    #[test]
    fn the_first_difference_is_shown() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert!(first_difference("a\nb\n", "a\nc\n").unwrap().starts_with("line 2"));
        assert!(first_difference("a\n", "a\nc\n").unwrap().contains("(nothing more)"));
        assert!(first_difference("a\n", "a").unwrap().contains("ends"));
    }
}
