struct Mine;

impl tmempool::Kind for Mine {
    type Child = Mine;
}

fn main() {}
