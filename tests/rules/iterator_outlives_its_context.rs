use tmempool::{Context, CtxVec};

fn main() {
    let ctx = Context::new("ctx");
    let mut bytes = CtxVec::new_in(&ctx);
    bytes.extend([1u8; 32]);
    let bytes = bytes.into_iter();
    drop(ctx);
    assert_eq!(bytes.count(), 32);
}
