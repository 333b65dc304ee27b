use tmempool::SharedContext;

fn main() {
    let ctx = SharedContext::new("ctx");
    let guard = ctx.lock();
    std::thread::scope(|scope| {
        scope.spawn(move || guard.alloc_str("there").len());
    });
}
