"""Heat spreads on a plate: a numpy computation whose arrays lie in a pool.

    python3 numpy_pool.py [STEPS]

numpy works on the pool's memory in place. While one of its arrays is alive, the pool refuses to be
freed; afterwards all is gone in one go.
"""

import sys

import numpy

import tmempool

ROWS, COLUMNS = 64, 96


def plate(ctx, name):
    """An array of zeros in `ctx`."""
    return numpy.frombuffer(ctx.array("d", ROWS * COLUMNS, name=name)).reshape(ROWS, COLUMNS)


def spread(old, new, change):
    """One step of the heat from `old` to `new`."""
    numpy.copyto(new, old)
    inner = new[1:-1, 1:-1]
    numpy.add(old[:-2, 1:-1], old[2:, 1:-1], out=change)
    change += old[1:-1, :-2]
    change += old[1:-1, 2:]
    change /= 4
    inner[...] = change


def main(steps):
    with tmempool.Context("simulation") as ctx:
        pool = ctx.pool(4 * ROWS * COLUMNS * 8, name="plates")
        old, new = plate(pool, "before"), plate(pool, "after")
        change = plate(pool, "change")[1:-1, 1:-1]
        old[0, :] = 100
        for _ in range(steps):
            spread(old, new, change)
            old, new = new, old
        print(f"after {steps} steps: {old.mean():.4f} degrees, {old[ROWS // 2, COLUMNS // 2]:.4f} in the middle")
        print(ctx.report(), end="")
        try:
            pool.free()
        except BufferError as error:
            print(f"not yet: {error}")
        del old, new, change
        pool.free()
        print(f"left: {ctx.total_size} bytes")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
