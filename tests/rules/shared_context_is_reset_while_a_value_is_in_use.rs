use tmempool::SharedContext;

fn main() {
    let mut ctx = SharedContext::new("ctx");
    let value = ctx.alloc(7);
    ctx.reset();
    *value += 1;
}
