//! The committed headers are those that cbindgen makes of the sources.

use tmempool_headers::{Header, headers};

#[test]
fn committed_headers_are_up_to_date() {
    for Header { path, text } in headers() {
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let difference = text.lines().zip(committed.lines()).zip(1..).find(|((new, old), _)| new != old);
        assert!(
            text == committed,
            "{} is out of date: run `make headers`; first difference {difference:?}",
            path.display()
        );
    }
}
