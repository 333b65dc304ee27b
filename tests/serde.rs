//! A report as JSON: a flat list, whatever the depth of the tree.

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
    fn deepen(ctx: &Context<'_>, left: usize) {
        if left > 0 {
            let child = ctx.child("child");
            deepen(&child, left - 1);
            std::mem::forget(child);
        }
    }
    let root = Context::new("root");
    let mut deepest = root.report().iter().count();
    for _ in 0..40 {
        // Grows from the top down: what is there moves below a new context.
        let above = Context::new("above");
        deepen(&above, 250);
        deepest += 251;
        std::mem::forget(above.move_to(&root));
    }
    let json = serde_json::to_string(&root.report()).unwrap();
    assert_eq!(json.matches("\"depth\"").count(), deepest);
}
