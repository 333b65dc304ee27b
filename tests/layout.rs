//! The shape of each version of the layout, kept: readers count on it. `tests/layout/vN.txt` is that of
//! version N.

use std::fs;
use std::path::Path;

use tmempool::report::layout::{LAYOUT, Layout, MAGIC, Shape, VERSION};

#[test]
fn the_version_is_raised_when_the_layout_changes() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/layout/v{VERSION}.txt"));
    let bytes = size_of::<Layout>();
    // Which bit it is depends on the machine.
    let shape = Shape { name_mark: 1 << 63, ..Shape::HERE };
    let shape = format!("description: {bytes} bytes\n{shape:#?}\n");
    match fs::read_to_string(&kept) {
        Ok(text) => assert!(
            text == shape,
            "the layout is not that of version {VERSION} any more. Raise VERSION in src/report/layout.rs, say in \
             reader/src/layout.rs that the reader knows the new version (after a look at what it reads), and run \
             this test again with KEEP_LAYOUT=1, which writes tests/layout/v….txt for it.\n\
             Now it is:\n{shape}"
        ),
        Err(_) if std::env::var_os("KEEP_LAYOUT").is_some() => fs::write(&kept, shape).unwrap(),
        Err(error) => panic!("{}: {error}. KEEP_LAYOUT=1 writes it.", kept.display()),
    }
}

#[test]
fn the_description_says_where_it_lies() {
    let layout = std::hint::black_box(&LAYOUT);
    assert_eq!(layout.magic, MAGIC);
    assert_eq!(layout.here.0, (&raw const LAYOUT).cast());
    assert_eq!((&raw const LAYOUT).addr() % 64, 0);
}
