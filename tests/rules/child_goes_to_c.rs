use tmempool::Context;

fn main() {
    let parent = Context::new("parent");
    parent.child("child").into_raw();
}
