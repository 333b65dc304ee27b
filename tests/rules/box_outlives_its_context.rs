use tmempool::Context;

fn main() {
    let ctx = Context::new("ctx");
    let boxed = ctx.boxed(7);
    drop(ctx);
    drop(boxed);
}
