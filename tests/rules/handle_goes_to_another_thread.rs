use tmempool::Context;

fn main() {
    let ctx = Context::new("ctx");
    let handle = ctx.handle(7);
    std::thread::spawn(move || handle.get().is_some());
}
