//! Writes the generated headers to their places: `make headers`.

use tmempool_headers::{Header, headers};

fn main() -> std::io::Result<()> {
    for Header { path, text } in headers() {
        std::fs::write(&path, text)?;
        println!("{}", path.display());
    }
    Ok(())
}
