use tmempool::SharedContext;

fn main() {
    let ctx = SharedContext::new("ctx");
    let value = ctx.alloc(7);
    drop(ctx);
    *value += 1;
}
