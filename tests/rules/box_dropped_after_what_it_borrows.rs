use tmempool::Context;

fn main() {
    let ctx = Context::new("ctx");
    let boxed;
    {
        let word = String::from("word");
        boxed = ctx.boxed(vec![&word]);
    }
    drop(boxed);
}
