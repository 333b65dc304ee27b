use tmempool::Context;

fn main() {
    let ctx = Context::new("ctx");
    std::thread::spawn(move || drop(ctx));
}
