use tmempool::Context;

fn main() {
    let ctx = Context::new("ctx");
    let node = {
        let leaf = 7;
        ctx.alloc_no_drop(&leaf)
    };
    assert_eq!(**node, 7);
}
