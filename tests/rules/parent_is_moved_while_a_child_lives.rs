use tmempool::Context;

fn main() {
    let (parent, other) = (Context::new("parent"), Context::new("other"));
    let child = parent.child("child");
    let moved = parent.move_to(&other);
    child.alloc_str("word");
    drop(moved);
}
