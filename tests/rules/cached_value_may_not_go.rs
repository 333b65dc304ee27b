use tmempool::Context;

fn main() {
    let ctx = Context::new("ctx");
    let cache = ctx.cache("cache");
    let value = cache.alloc(std::rc::Rc::new(7));
    std::thread::scope(|scope| {
        scope.spawn(move || drop(value));
    });
}
