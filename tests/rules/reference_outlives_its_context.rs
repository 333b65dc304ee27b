use tmempool::Context;

fn main() {
    let (a, b) = (Context::new("a"), Context::new("b"));
    let ours = a.share(String::from("word"));
    let theirs = b.reference(&ours);
    drop(b);
    assert_eq!(*theirs, "word");
}
