use tmempool::Context;

fn main() {
    let ctx = Context::new_sendable("ctx");
    let value = ctx.alloc(7);
    std::thread::spawn(move || drop(ctx));
    *value += 1;
}
