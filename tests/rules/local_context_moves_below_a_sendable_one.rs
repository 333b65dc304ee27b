use tmempool::Context;

fn main() {
    let ctx = Context::new_sendable("ctx");
    let local = Context::new("local");
    local.alloc(std::rc::Rc::new(7));
    local.move_to(&ctx);
}
