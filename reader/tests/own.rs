//! A program in Rust, this one, read from outside by itself: its contexts are found without any symbol.

use tmempool::Context;
use tmempool_reader::{Error, Kind, Request, Selection};

fn request() -> Request {
    Request { pid: std::process::id(), stop: false, selection: Selection::default() }
}

#[test]
fn a_rust_program_is_seen_as_it_sees_itself() {
    let context = Context::new("request");
    let headers = context.child("headers");
    let answer = context.child("answer");
    let _buffer = answer.child("buffer");
    let _other = headers.child("Host: mill\n");
    let report = context.report();
    let own: Vec<_> =
        report.iter().map(|node| (node.name().into_owned(), node.depth(), node.total_size())).collect();

    let snapshot = request().take().unwrap();
    let name =
        |index: u32| String::from_utf8_lossy(snapshot.name(&snapshot.nodes[index as usize])).into_owned();
    let root = snapshot.roots().find(|&root| name(root) == "request").unwrap();
    let end = snapshot.nodes[root as usize].end;
    let outside: Vec<_> = (root..end)
        .map(|index| {
            let node = &snapshot.nodes[index as usize];
            (name(index), node.depth as usize, node.total_size as usize)
        })
        .collect();
    assert_eq!(outside, own);
    assert_eq!(snapshot.children(root).map(name).collect::<Vec<_>>(), ["answer", "headers"]);
    assert!(snapshot.nodes[root as usize..end as usize].iter().all(|node| node.kind == Kind::Chunk));
    assert_eq!(
        snapshot.program.to_string_lossy(),
        std::fs::read_to_string("/proc/self/comm").unwrap().trim_end()
    );
}

#[test]
fn a_process_does_not_stop_itself() {
    assert!(matches!(Request { stop: true, ..request() }.take(), Err(Error::NotStopped(_))));
}
