use tmempool::Context;

fn main() {
    let ctx = Context::new("ctx");
    let word = String::from("word");
    ctx.adopt(ctx.boxed(vec![&word]));
}
