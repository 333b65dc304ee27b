"""Misuse gives an exception, never a signal: wrong types, sizes and owners, and what is gone."""

import pytest

import tmempool

MISUSE = r'''
import copy, ctypes, gc, pickle
import tmempool, tmempool.talloc

class Pointed(ctypes.Structure):
    _fields_ = [("inner", ctypes.c_char_p * 2)]

class Object(ctypes.Structure):
    _fields_ = [("it", ctypes.py_object)]

c = tmempool.Context("c")
b = c.bytes(8)
dead = tmempool.Context("dead"); dead_bytes = dead.bytes(4); dead.free()
cache = c.cache("cache", 8); object_ = cache.alloc()
dead_cache = c.cache("dead cache", 8); dead_object = dead_cache.alloc(); dead_object.free(); dead_cache.free()
Stale, Wrong = tmempool.StaleContextError, tmempool.WrongTypeError
cases = [
    (ValueError, lambda: c.bytes(-1)),
    (ValueError, lambda: c.array("d", -1)),
    (ValueError, lambda: c.pool(-1)),
    (MemoryError, lambda: c.bytes(1 << 28)),
    (MemoryError, lambda: c.bytes(1 << 200)),
    (MemoryError, lambda: c.array("d", 1 << 61)),
    (MemoryError, lambda: c.array("d", (1 << 64) + 1)),
    (MemoryError, lambda: c.pool(1 << 63)),
    (TypeError, lambda: c.bytes(1.5)),
    (TypeError, lambda: c.bytes("8")),
    (TypeError, lambda: c.bytes(None)),
    (ValueError, lambda: c.array("x", 1)),
    (ValueError, lambda: c.array("dd", 1)),
    (ValueError, lambda: c.array("", 1)),
    (TypeError, lambda: c.array(3, 1)),
    (Wrong, lambda: tmempool.Context(5)),
    (Wrong, lambda: tmempool.Context(None)),
    (ValueError, lambda: tmempool.Context("a\0b")),
    (ValueError, lambda: tmempool.Context("\ud800")),
    (ValueError, lambda: c.string("a\0b")),
    (Wrong, lambda: c.string(b"a")),
    (Wrong, lambda: c.steal(5)),
    (Wrong, lambda: c.steal(None)),
    (Wrong, lambda: b.reference(b)),
    (Wrong, lambda: b.reference(None)),
    (Wrong, lambda: b.unlink(3)),
    (ValueError, lambda: b.unlink(None)),
    (ValueError, lambda: c.steal(c)),
    (Wrong, lambda: c.new(int)),
    (Wrong, lambda: c.new(ctypes.c_int)),
    (Wrong, lambda: c.new(Pointed)),
    (Wrong, lambda: c.new(Object)),
    (Wrong, lambda: c.set_destructor(3)),
    (Wrong, lambda: tmempool.Buffer()),
    (Wrong, lambda: tmempool.Pool()),
    (TypeError, lambda: copy.deepcopy(c)),
    (TypeError, lambda: copy.copy(b)),
    (TypeError, lambda: pickle.dumps(b)),
    (IndexError, lambda: b[8]),
    (IndexError, lambda: b[-9]),
    (IndexError, lambda: b[1 << 100]),
    (TypeError, lambda: b["x"]),
    (Wrong, lambda: tmempool.talloc.total_blocks(3)),
    (Stale, dead.free),
    (Stale, dead_bytes.free),
    (Stale, dead_bytes.view),
    (Stale, lambda: dead_bytes[0]),
    (Stale, lambda: dead.bytes(1)),
    (Stale, lambda: dead.child("x")),
    (Stale, lambda: dead.steal(b)),
    (Stale, lambda: c.steal(dead)),
    (Stale, lambda: b.reference(dead)),
    (Stale, lambda: dead_bytes.reference(c)),
    (Stale, lambda: b.unlink(dead)),
    (Stale, lambda: dead.__enter__()),
    (Stale, dead.report),
    (Stale, dead.tree),
    (Stale, lambda: dead.parent),
    (Stale, lambda: dead.set_destructor(print)),
    (Stale, lambda: tmempool.talloc.report_full(dead)),
    (Stale, dead.reset),
    (Stale, lambda: dead.cache("x", 8)),
    (Stale, lambda: dead.mempool("x", 1, 8)),
    (Stale, lambda: dead.genpool("x")),
    (Stale, lambda: dead.growing_pool(1000)),
    (Stale, dead_cache.alloc),
    (Stale, dead_cache.stats),
    (Stale, dead_object.view),
    (Stale, dead_object.free),
    (Stale, lambda: dead_object[0]),
    (Stale, lambda: len(dead_object)),
    (TypeError, lambda: copy.copy(object_)),
    (TypeError, lambda: pickle.dumps(object_)),
    (TypeError, lambda: c.steal(object_)),
    (Wrong, lambda: object_.__class__()),
    (Wrong, lambda: tmempool.Cache("x")),
    (Wrong, lambda: tmempool.GrowingPool("x")),
    (IndexError, lambda: object_[8]),
    (ValueError, lambda: c.cache("x", 8, align=7)),
    (ValueError, lambda: c.cache("x\0", 8)),
    (MemoryError, lambda: c.growing_pool(1 << 63)),
    (ValueError, lambda: c.growing_pool(100, -1)),
    (ProcessLookupError, lambda: tmempool.attach(-5)),
    (Wrong, lambda: tmempool.snapshot().diff(5)),
    (Wrong, lambda: tmempool.snapshot().diff(c.tree())),
    (BufferError, cache.free),
]
for number, (kind, call) in enumerate(cases):
    try:
        call()
    except kind:
        pass
    else:
        raise SystemExit(f"case {number} raised nothing")
assert c.total_blocks == 4, c.report()
repr(dead), str(dead_bytes), hash(dead), dead == c
c.free()
print("done", len(cases))
'''


def test_misuse_gives_exceptions(run_python):
    out, _ = run_python(MISUSE)
    assert out.startswith("done")


def test_subclasses_of_str_lie_about_nothing():
    class Long(bytes):
        def __len__(self):
            return 1 << 20

    class Odd(str):
        def encode(self, *_):
            return Long(b"abc")

        def __len__(self):
            return 3

        def __contains__(self, _):
            return False

    with tmempool.Context(Odd("root")) as root:
        assert root.string(Odd("abcd")).size == 5 and root.string(Odd("é" * 2000)).size == 4001
        assert root.child(Odd("child")).report().count("'child'") == 1
        with pytest.raises(ValueError):
            root.string(Odd("a\0b"))
