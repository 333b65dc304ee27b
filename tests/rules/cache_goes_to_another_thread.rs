use tmempool::Context;

fn main() {
    let ctx = Context::new("ctx");
    let cache = ctx.cache::<u64>("cache");
    std::thread::scope(|scope| {
        scope.spawn(move || drop(cache));
    });
}
