//! A report as JSON: a flat list, whatever the depth of the tree.

use std::fmt::Write;

use tmempool::Context;

#[test]
fn a_report_is_a_list_of_nodes() {
    let server = Context::new("server");
    let request = server.child("request");
    request.set_limit(50_000).unwrap();
    let shared = server.share(7);
    let ours = request.reference(&shared);
    let json = serde_json::to_value(server.report()).unwrap();
    let nodes = json.as_array().unwrap();
    let names: Vec<_> =
        nodes.iter().map(|node| (node["name"].as_str().unwrap(), node["depth"].as_u64().unwrap())).collect();
    assert_eq!(names, [("server", 0), ("CtxRef", 1), ("request", 1), ("CtxRef", 2)]);
    assert_eq!(nodes[0]["total_blocks"], 4);
    assert_eq!((&nodes[1]["references"], &nodes[3]["is_reference"]), (&1.into(), &true.into()));
    assert_eq!((&nodes[2]["limit"]["max"], &nodes[0]["limit"]), (&50_000.into(), &serde_json::Value::Null));
    assert_eq!(*ours, 7);
}

#[test]
fn a_deep_tree_needs_no_stack() {
    const DEPTH: usize = 50_000;
    let mut top = Context::new("leaf");
    for _ in 0..DEPTH {
        let above = Context::new("above");
        std::mem::forget(top.move_to(&above));
        top = above;
    }
    let report = top.report();
    assert_eq!(report.iter().last().map(|node| node.depth()), Some(DEPTH));
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(json.matches("\"depth\"").count(), DEPTH + 1);
    /// Takes the text and keeps its length.
    struct Length(usize);
    impl std::fmt::Write for Length {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0 += text.len();
            Ok(())
        }
    }
    let mut length = Length(0);
    write!(length, "{}", top.report_depth(17_000)).unwrap();
    assert!(length.0 > 17_000 * 17_000 * 2, "each line is indented, by up to 68,000 blanks");
}
