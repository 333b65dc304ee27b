struct Mine;

impl tmempool::Kind for Mine {}

fn main() {}
