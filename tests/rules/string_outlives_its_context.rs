use tmempool::{Context, format_in};

fn main() {
    let text = {
        let ctx = Context::new("ctx");
        format_in!(&ctx, "{}", 7)
    };
    assert_eq!(text, "7");
}
