use tmempool::Context;

fn main() {
    let ctx = Context::new("ctx");
    let cache = ctx.cache("cache");
    let value = cache.alloc(7);
    drop(cache);
    assert_eq!(*value, 7);
}
