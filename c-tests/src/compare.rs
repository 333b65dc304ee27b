//! Compares the traces of two libraries, line by line.
//!
//! Traces are equal, but for lines that a program marks itself:
//!
//! ```text
//! !differs <TAB> reason <TAB> talloc's value <TAB> tmempool's value <TAB> the value got
//! ```
//!
//! Such a line must hold talloc's value when talloc runs and tmempool's when
//! tmempool does, and the two must not be equal: a difference that is gone may not
//! stay listed.

/// Which library made a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// The system's libtalloc.
    Talloc,
    /// Ours.
    Tmempool,
}

/// A trace whose marked lines hold what `maker` should have said. They are
/// returned without the value, so that traces of both makers can be compared.
///
/// # Errors
/// The first marked line that does not hold.
pub fn settle(trace: &str, maker: Maker) -> Result<String, String> {
    let mut settled = String::with_capacity(trace.len());
    for line in trace.lines() {
        match line.strip_prefix("!differs\t") {
            None => settled.push_str(line),
            Some(fields) => {
                let [reason, talloc, tmempool, got] = fields.split('\t').collect::<Vec<_>>()[..] else {
                    return Err(format!("not a marked line: {line}"));
                };
                let expected = match maker {
                    Maker::Talloc => talloc,
                    Maker::Tmempool => tmempool,
                };
                if talloc == tmempool {
                    return Err(format!("marked as different, and is not: {line}"));
                }
                if got != expected {
                    return Err(format!("{reason}:\n  expected {expected}\n  got      {got}"));
                }
                settled.push_str("!differs\t");
                settled.push_str(reason);
            }
        }
        settled.push('\n');
    }
    Ok(settled)
}

/// Wants two settled traces to be the same.
///
/// # Errors
/// The first lines that differ, with what led to them.
pub fn same(talloc: &str, tmempool: &str) -> Result<(), String> {
    if talloc == tmempool {
        return Ok(());
    }
    let (left, right): (Vec<&str>, Vec<&str>) = (talloc.lines().collect(), tmempool.lines().collect());
    let first = left.iter().zip(&right).take_while(|(a, b)| a == b).count();
    let mut message = format!("traces differ from line {}:\n", first + 1);
    for line in &left[first.saturating_sub(8)..first] {
        message.push_str(&format!("    {line}\n"));
    }
    for (mark, lines) in [("-", &left), ("+", &right)] {
        for line in lines.iter().skip(first).take(6) {
            message.push_str(&format!("  {mark} {line}\n"));
        }
    }
    message.push_str("  (- talloc, + tmempool)");
    Err(message)
}

#[cfg(test)]
mod tests {
    use super::{Maker, same, settle};

    const LINE: &str = "!differs\twhy\tA\tB\t";

    #[test]
    fn plain_lines_stay_as_they_are() {
        assert_eq!(settle("one\ntwo\n", Maker::Talloc).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn a_marked_line_wants_its_makers_value() {
        assert_eq!(settle(&format!("{LINE}A\n"), Maker::Talloc).unwrap(), "!differs\twhy\n");
        assert_eq!(settle(&format!("{LINE}B\n"), Maker::Tmempool).unwrap(), "!differs\twhy\n");
        assert!(settle(&format!("{LINE}A\n"), Maker::Tmempool).is_err());
        assert!(settle(&format!("{LINE}B\n"), Maker::Talloc).is_err());
    }

    #[test]
    fn a_difference_that_is_gone_may_not_stay() {
        assert!(settle("!differs\twhy\tA\tA\tA\n", Maker::Talloc).is_err());
        assert!(settle("!differs\twhy\tA\n", Maker::Talloc).is_err());
    }

    #[test]
    fn the_first_difference_is_told() {
        assert!(same("a\nb\n", "a\nb\n").is_ok());
        let message = same("a\nb\n", "a\nc\n").unwrap_err();
        assert!(message.contains("line 2") && message.contains("- b") && message.contains("+ c"));
        assert!(same("a\n", "a\nb\n").is_err());
    }
}
