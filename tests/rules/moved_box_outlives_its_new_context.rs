use tmempool::Context;

fn main() {
    let a = Context::new("a");
    let boxed = {
        let b = Context::new("b");
        a.boxed(7).move_to(&b)
    };
    assert_eq!(*boxed, 7);
}
