use std::rc::Rc;
use tmempool::Context;

fn main() {
    let ctx = Context::new_sendable("ctx");
    let child = ctx.child("child");
    child.alloc(Rc::new(7));
}
