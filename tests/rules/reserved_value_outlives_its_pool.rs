use tmempool::Context;

fn main() {
    let ctx = Context::new("ctx");
    let pool = ctx.mempool("pool", 2);
    let value = pool.alloc(7);
    drop(pool);
    assert_eq!(*value, 7);
}
