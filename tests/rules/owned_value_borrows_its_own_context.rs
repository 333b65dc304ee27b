use tmempool::Context;

struct UsesOnDrop<'c>(&'c Context);

impl Drop for UsesOnDrop<'_> {
    fn drop(&mut self) {
        self.0.alloc_str("while it is being freed");
    }
}

fn main() {
    let ctx = Context::new("ctx");
    ctx.alloc(UsesOnDrop(&ctx));
}
