use tmempool::{Context, CtxVec};

fn main() {
    let ctx = Context::new("ctx");
    let mut words: CtxVec<'_, u8> = CtxVec::new_in(&ctx);
    words.push(7);
    drop(ctx);
    drop(words);
}
