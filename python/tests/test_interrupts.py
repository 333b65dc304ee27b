"""Exceptions that come from outside between any two steps: Ctrl-C, time limits, a call stack that ends."""

import sys

import pytest

STORM = r'''
import gc, os, random, signal, sys, threading, time
import tmempool

class Stop(Exception):
    pass

armed = False

def handler(*_):
    global armed
    if armed:
        armed = False
        raise Stop

dice = random.Random(7)
root = tmempool.Context("root")
cache = root.cache("cache", 16)
ranges = root.genpool("ranges", order=4)
memory = bytearray(1 << 16)
ranges.add(memory)
reports = []
sys.unraisablehook = lambda report: reports.append(report.exc_type)

def program():
    ctx = root.child("request")
    block = ctx.bytes(64)
    kept = None
    choice = dice.randrange(8)
    if choice == 0:
        kept = block.view()
    elif choice == 1:
        tmempool.snapshot()
    elif choice == 2:
        cache.alloc().view()[0] = 1
    elif choice == 3:
        with ranges.alloc(64) as piece:
            piece[3] = 1
    elif choice == 4:
        ctx.set_destructor(lambda obj: obj.bytes(5).free())
    elif choice == 5:
        block.set_destructor(lambda obj: root.child("made").free())
    elif choice == 6:
        ctx.growing_pool(2000).reset()
    elif choice == 7:
        block.reference(root)
        block.unlink(root)
    try:
        ctx.free()
    except BufferError:
        kept[63] = 5
        del kept
        ctx.free()

seen = 0
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.00023)
end = time.monotonic() + SECONDS
while time.monotonic() < end:
    try:
        armed = True
        try:
            for _ in range(10):
                program()
        except (tmempool.TmempoolError, BufferError, UnboundLocalError):
            # A destructor or a del statement was interrupted; what it was to do has not been done.
            pass
        armed = False
    except Stop:
        seen += 1
armed = False
signal.setitimer(signal.ITIMER_REAL, 0)

# Nothing is left behind: other threads have their turn, and a free is a free.
done = []
def other():
    with tmempool.Context("other") as ctx:
        ctx.set_destructor(lambda obj: done.append(obj.total_blocks))
other = threading.Thread(target=other, daemon=True)
other.start()
other.join(20)
with tmempool.Context("last") as last:
    pass
print("interrupted" if seen > 200 else seen, done, last.alive, flush=True)
gc.collect()
assert set(reports) <= {Stop, BufferError}, set(reports)
root.tree()
root.free()
assert not root.alive
os._exit(0)
'''


@pytest.mark.skipif(sys.version_info < (3, 10), reason="Python 3.9 itself may lose the end of a with block")
def test_whatever_is_interrupted_is_whole(run_python):
    out, _ = run_python(STORM.replace("SECONDS", "2"))
    assert out == "interrupted [1] False\n"


def test_a_watcher_that_fails_keeps_the_memory(run_python):
    """The call stack ends in the middle of what is asked before a free."""
    out, _ = run_python(
        "import ctypes, sys, threading, tmempool\n"
        "sys.unraisablehook = lambda report: None\n"
        "root = tmempool.Context('root')\n"
        "made = []\n"
        "def free_at(depth):\n"
        "    if depth: return free_at(depth - 1)\n"
        "    made[-1].free()\n"
        "kept = 0\n"
        "for depth in range(850, 1000):\n"
        "    block = root.bytes(8); views = []; made.append(block)\n"
        "    block.set_destructor(lambda obj, views=views: views.append(obj.view()))\n"
        "    try: free_at(depth)\n"
        "    except (RecursionError, ctypes.ArgumentError, tmempool.VetoError, BufferError): pass\n"
        "    if views: assert block.alive and block.exported; views[0][7] = 1; kept += 1\n"
        "other = threading.Thread(target=lambda: tmempool.Context('other').free(), daemon=True)\n"
        "other.start(); other.join(20); assert not other.is_alive()\n"
        "made.clear(); views.clear()\n"
        "print(kept > 10)\n"
    )
    assert out == "True\n"


def test_frees_that_c_code_asks_for(run_python):
    """Python's stack is empty: an exit handler and the start of a thread are calls from C."""
    out, _ = run_python(
        "import _thread, atexit, time, tmempool\n"
        "a, b, c = (tmempool.Context(name) for name in 'abc')\n"
        "inner = b.child('inner')\n"
        "_thread.start_new_thread(a.free, ())\n"
        "while a.alive: time.sleep(0.01)\n"
        "try: a.report()\n"
        "except tmempool.StaleContextError as error: print(error)\n"
        "atexit.register(lambda: print(inner.alive, c.alive))\n"
        "atexit.register(b.reset)\n"
        "atexit.register(c.free)\n"
    )
    assert out == "Context 'a' was freed at unknown:0\nFalse False\n"


def test_destructors_in_destructors_end_before_the_stack_does(run_python):
    """However deep the program says that Python may go."""
    out, _ = run_python(
        "import sys, tmempool\n"
        "sys.setrecursionlimit(100000)\n"
        "reports = []; sys.unraisablehook = lambda report: reports.append(report.exc_type)\n"
        "chain = [tmempool.Context('link') for _ in range(5000)]\n"
        "for this, following in zip(chain, chain[1:]):\n"
        "    this.set_destructor(lambda obj, following=following: following.free())\n"
        "chain[0].free()\n"
        "left = [link for link in chain if link.alive]\n"
        "assert not chain[0].alive and 4000 < len(left) < 4900, len(left)\n"
        "assert set(reports) == {RecursionError, tmempool.VetoError}, set(reports)\n"
        "while left:\n"
        "    left[0].free(); left = [link for link in left if link.alive]\n"
        "print('all gone')\n"
    )
    assert out == "all gone\n"
