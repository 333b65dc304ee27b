use tmempool::Context;

fn main() {
    let ctx = Context::new("ctx");
    let word = String::from("word");
    ctx.alloc_slice_with(3, |_| vec![&word]);
}
