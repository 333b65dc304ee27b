use std::rc::Rc;
use tmempool::Context;

fn main() {
    let ctx = Context::new_sendable("ctx");
    ctx.alloc(Rc::new(7));
}
