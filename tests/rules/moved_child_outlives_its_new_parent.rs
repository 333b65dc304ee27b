use tmempool::Context;

fn main() {
    let child = {
        let parent = Context::new("parent");
        Context::new("child").move_to(&parent)
    };
    child.alloc_str("word");
}
