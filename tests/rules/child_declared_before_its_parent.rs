use tmempool::Context;

fn main() {
    let child;
    let parent = Context::new("parent");
    child = parent.child("child");
    child.alloc_str("word");
}
