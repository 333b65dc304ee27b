use tmempool::SharedContext;

fn main() {
    SharedContext::new("ctx").alloc(std::rc::Rc::new(7));
}
