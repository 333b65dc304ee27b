use tmempool::Context;

fn main() {
    let mut parent = Context::new("parent");
    let child = parent.child("child");
    parent.reset();
    child.alloc_str("word");
}
