use tmempool::{Context, Verdict};

fn main() {
    let ctx = Context::new("ctx");
    let busy = std::cell::Cell::new(true);
    let asked = &busy;
    ctx.on_free(move || if asked.get() { Verdict::Keep } else { Verdict::Free }).unwrap();
}
