use tmempool::Context;

fn main() {
    let parent = Context::new("parent");
    let child = parent.child("child");
    drop(parent);
    child.alloc_str("word");
}
