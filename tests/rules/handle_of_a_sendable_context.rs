use tmempool::Context;

fn main() {
    let ctx = Context::new_sendable("ctx");
    ctx.handle(7);
}
