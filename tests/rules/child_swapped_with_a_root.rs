use tmempool::Context;

fn main() {
    let parent = Context::new("parent");
    let mut other = Context::new("other");
    let mut child = parent.child("child");
    std::mem::swap(&mut *child, &mut other);
}
