use std::cell::Cell;
use tmempool::Context;

fn main() {
    let ctx = Context::new("ctx");
    let cell = Cell::new(7);
    let cells = ctx.alloc_slice_copy(&[&cell]);
    std::thread::scope(|scope| {
        scope.spawn(move || cells[0].set(8));
    });
}
