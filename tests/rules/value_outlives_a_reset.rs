use tmempool::Context;

fn main() {
    let mut ctx = Context::new("ctx");
    let word = ctx.alloc_str("word");
    ctx.reset();
    word.make_ascii_uppercase();
}
