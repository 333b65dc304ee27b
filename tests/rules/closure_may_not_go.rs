use std::rc::Rc;
use tmempool::{Context, Verdict};

fn main() {
    let ctx = Context::new_sendable("ctx");
    let shared = Rc::new(7);
    ctx.on_free(move || if *shared == 7 { Verdict::Keep } else { Verdict::Free }).unwrap();
}
