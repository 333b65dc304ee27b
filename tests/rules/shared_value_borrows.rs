use tmempool::Context;

fn main() {
    let (a, b) = (Context::new("a"), Context::new("b"));
    let word = String::from("word");
    let ours = a.share(word.as_str());
    b.reference(&ours);
}
