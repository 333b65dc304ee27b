use tmempool::Context;

fn main() {
    let ctx: &'static Context<tmempool::Sendable> = Box::leak(Box::new(Context::new_sendable("ctx")));
    let child = ctx.child("child");
    std::thread::spawn(move || drop(child));
}
