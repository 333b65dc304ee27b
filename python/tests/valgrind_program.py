"""What test_valgrind.py runs: random programs on trees, pieces, views, destructors, threads and the end of
the interpreter. Also a program by itself: valgrind_program.py SEED PROGRAMS."""

import gc
import random
import sys
import threading

import tmempool
from model import World


def trees(seed, programs):
    dice = random.Random(seed)
    for _ in range(programs):
        world = World("trees")
        for _ in range(50):
            world.step(dice.choice(World.VERBS), dice.randrange(300), dice.randrange(300))
        world.check()
        world.end()


def pieces(seed):
    dice = random.Random(seed)
    with tmempool.Context("pieces") as ctx:
        cache = ctx.cache("objects", 48)
        memory = bytearray(8192)
        ranges = ctx.genpool("memory")
        ranges.add(memory)
        pool = ctx.growing_pool(2048)
        held = []
        for step in range(300):
            held.append(dice.choice([cache.alloc, lambda: ranges.alloc(40), lambda: pool.bytes(40)])())
            with held[-1].view() as view:
                assert bytes(view[-8:]) == bytes(8) or isinstance(held[-1], tmempool.Range)
                view[:] = bytes([step % 256]) * len(view)
            if len(held) > 60:
                held.pop(dice.randrange(len(held))).free()
        for piece in held:
            piece.free()
        pool.reset()


def stale(count):
    for _ in range(count):
        with tmempool.Context("gone") as ctx:
            items = [ctx.bytes(20), ctx.string("text"), ctx.child("child"), ctx.array("d", 3)]
            items[2].set_destructor(lambda obj: obj.bytes(4) and None)
        for item in items:
            for use in (item.tree, item.free, item.report, lambda: item.reference(ctx)):
                try:
                    use()
                except tmempool.StaleContextError:
                    continue
                raise SystemExit(f"{use} of {item!r} raised nothing")


def main(seed, programs):
    trees(seed, programs)
    pieces(seed)
    stale(5)
    others = [threading.Thread(target=trees, args=(seed + i, 2)) for i in (1, 2)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    gc.collect()
    tmempool.snapshot()._repr_html_()
    # What is left at the end of the interpreter.
    view = tmempool.Context("left").bytes(4).view()
    threading.current_thread().kept = view
    print("done")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
