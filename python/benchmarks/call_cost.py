"""What the package adds to a call: contexts of 100 objects made and freed, by the package and by bare
ctypes with the same library.

    python3 python/benchmarks/call_cost.py [ROUNDS]

Run by `make bench`. Bare ctypes is what a script would write for itself: the functions of talloc with
their types declared, names and locations as bytes, nothing checked and nothing kept. The two alternate
in one process; what is told is the median of the rounds, in CPU time. Each pair first shows that it
does the same: as many chunks, of the same sizes, and none left.
"""

import ctypes
import sys
import time
from ctypes import c_char_p, c_int, c_size_t, c_void_p
from pathlib import Path
from statistics import median

try:
    import tmempool
except ImportError:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import tmempool

from tmempool._library import library as packaged

COUNT = 100

library = ctypes.CDLL(packaged._name)


def declared(name, result, *arguments):
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    return function


named = declared("talloc_named_const", c_void_p, c_void_p, c_size_t, c_char_p)
zeroed = declared("_talloc_zero", c_void_p, c_void_p, c_size_t, c_char_p)
copied = declared("_talloc_memdup", c_void_p, c_void_p, c_char_p, c_size_t, c_char_p)
free = declared("_talloc_free", c_int, c_void_p, c_char_p)
blocks = declared("talloc_total_blocks", c_size_t, c_void_p)
size = declared("talloc_total_size", c_size_t, c_void_p)


def bare_bytes(check=None):
    ctx = named(None, 0, b"request")
    for _ in range(COUNT):
        zeroed(ctx, 64, b"bytes")
    if check:
        check(blocks(ctx), size(ctx))
    free(ctx, b"here")


def package_bytes(check=None):
    with tmempool.Context("request") as ctx:
        for _ in range(COUNT):
            ctx.bytes(64)
        if check:
            check(ctx.total_blocks, ctx.total_size)


def bare_children(check=None):
    ctx = named(None, 0, b"request")
    for _ in range(COUNT):
        named(ctx, 0, b"header")
    if check:
        check(blocks(ctx), size(ctx))
    free(ctx, b"here")


def package_children(check=None):
    with tmempool.Context("request") as ctx:
        for _ in range(COUNT):
            ctx.child("header")
        if check:
            check(ctx.total_blocks, ctx.total_size)


def bare_arrays(check=None):
    ctx = named(None, 0, b"request")
    for _ in range(COUNT):
        zeroed(ctx, 64, b"array d")
    if check:
        check(blocks(ctx), size(ctx))
    free(ctx, b"here")


def package_arrays(check=None):
    with tmempool.Context("request") as ctx:
        for _ in range(COUNT):
            ctx.array("d", 8)
        if check:
            check(ctx.total_blocks, ctx.total_size)


def bare_strings(check=None):
    ctx = named(None, 0, b"request")
    for _ in range(COUNT):
        text = "Host: mill".encode()
        copied(ctx, text, len(text) + 1, text)
    if check:
        check(blocks(ctx), size(ctx))
    free(ctx, b"here")


def package_strings(check=None):
    with tmempool.Context("request") as ctx:
        for _ in range(COUNT):
            ctx.string("Host: mill")
        if check:
            check(ctx.total_blocks, ctx.total_size)


PAIRS = [
    ("bytes(64)", bare_bytes, package_bytes),
    ("child(name)", bare_children, package_children),
    ('array("d", 8)', bare_arrays, package_arrays),
    ("string(text)", bare_strings, package_strings),
]


def seconds(function, repeats=5):
    start = time.process_time()
    for _ in range(repeats):
        function()
    return (time.process_time() - start) / repeats


def main(rounds):
    for name, bare, package in PAIRS:
        seen = []
        bare(lambda *counts: seen.append(counts))
        package(lambda *counts: seen.append(counts))
        if len(seen) != 2 or seen[0] != seen[1] or seen[0][0] != COUNT + 1:
            raise SystemExit(f"{name}: the two do not do the same: {seen}")
    times = {function: [] for pair in PAIRS for function in pair[1:]}
    for round_ in range(rounds):
        for function, taken in times.items():
            taken.append(seconds(function))
        if sys.stderr.isatty():
            print(f"\rround {round_ + 1} of {rounds}", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print("\r" + " " * 30 + "\r", end="", file=sys.stderr)
    print(f"Python {sys.version.split()[0]}: a context with {COUNT} objects and its free, microseconds")
    print(f"{'':16}{'bare ctypes':>12}{'tmempool':>12}{'ratio':>8}")
    for name, bare, package in PAIRS:
        a, b = median(times[bare]) * 1e6, median(times[package]) * 1e6
        print(f"{name:16}{a:12.1f}{b:12.1f}{b / a:8.2f}")
    if tmempool._library.handle_roots(None, 0):
        raise SystemExit("contexts were left behind")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
