use tmempool::Context;

fn main() {
    let ctx = Context::new_sendable("ctx");
    std::thread::scope(|scope| {
        scope.spawn(|| ctx.alloc_str("here").len());
        ctx.alloc_str("there");
    });
}
