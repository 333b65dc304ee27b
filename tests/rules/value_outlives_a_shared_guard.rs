use tmempool::SharedContext;

fn main() {
    let ctx = SharedContext::new("ctx");
    let value = ctx.lock().alloc(7);
    *value += 1;
}
