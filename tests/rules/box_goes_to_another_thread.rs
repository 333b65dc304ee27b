use tmempool::Context;

fn main() {
    let ctx = Context::new("ctx");
    let boxed = ctx.boxed(7);
    std::thread::scope(|scope| {
        scope.spawn(move || drop(boxed));
    });
}
