use tmempool::Context;

fn main() {
    let ctx = Context::new("ctx");
    let value = ctx.alloc(7);
    drop(ctx);
    *value += 1;
}
