"""Threads, fork, garbage, imports and the end of the interpreter: exceptions, never a signal."""

import ast
import gc
import importlib
import pathlib
import random
import sys
import threading

import pytest

import tmempool


def test_the_interpreter_can_end_at_any_time(run_python):
    out, _ = run_python(
        "import ctypes, tmempool\n"
        "from tmempool import _library as c\n"
        "c.library.talloc_enable_leak_report_full()\n"
        "a = tmempool.Context('a'); b = a.bytes(4); view = b.view()\n"
        "a.set_destructor(lambda obj: print('not run at exit'))\n"
        "piece = a.cache('c', 8).alloc(); seen = piece.view()\n"
        "c.library.talloc_autofree_context.restype = ctypes.c_void_p\n"
        "auto = tmempool.Context('auto')\n"
        "c.steal(c.library.talloc_autofree_context(), auto._address(), b'here')\n"
        "class Late:\n"
        "    def __del__(self):\n"
        "        view[0] = seen[0] = 1\n"
        "        try: piece.free()\n"
        "        except tmempool.StaleContextError: print('stale')\n"
        "        assert not a.alive\n"
        "late = Late()\n"
    )
    assert out == "stale\n"


def test_the_interpreter_can_end_while_threads_go_on(run_python):
    """They are stopped where they are, without a word, and nobody waits for their turn to end."""
    _, err = run_python(
        "import threading, time, tmempool\n"
        "reserve = tmempool.Context('a').mempool('m', 1, 8); kept = reserve.alloc()\n"
        "def make():\n"
        "    while True:\n"
        "        with tmempool.Context('late') as late: late.bytes(4)[0]\n"
        "        reserve.alloc().free()\n"
        "for _ in range(3): threading.Thread(target=make, daemon=True).start()\n"
        "time.sleep(0.2)\n"
        "class Late:\n"
        "    def __del__(self, reserve=reserve):\n"
        "        assert not reserve.alive\n"
        "import sys; sys.late = Late()\n"
    )
    assert err == ""


def test_the_leak_report_has_the_names(run_python):
    _, err = run_python(
        "import tmempool\n"
        "tmempool._library.library.talloc_enable_leak_report_full()\n"
        "a = tmempool.Context('a' + str(5)); b = a.bytes(4, 'left ' + str(7))\n"
    )
    assert "a5" in err and "left 7" in err


def test_fork(run_python):
    out, _ = run_python(
        "import os, threading, time, tmempool\n"
        "a = tmempool.Context('a'); b = a.array('i', 3); stop = []\n"
        "def busy():\n"
        "    while not stop:\n"
        "        with tmempool.Context('t') as t: t.bytes(10)\n"
        "thread = threading.Thread(target=busy); thread.start()\n"
        "for _ in range(20):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "        b[0] = 5; a.free(); tmempool.Context('c').free(); os._exit(0)\n"
        "    assert os.waitpid(pid, 0)[1] == 0 and b[0] == 0\n"
        "stop.append(1); thread.join(); a.free(); print('both')\n"
    )
    assert out == "both\n"


def run_threads(count, body):
    errors = []

    def guarded(number):
        try:
            body(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert errors == []


def test_threads_with_their_own_trees():
    def body(number):
        for i in range(100):
            with tmempool.Context(f"thread {number}") as ctx:
                numbers = ctx.child("x").array("q", 20)
                numbers[i % 20] = number
                assert sum(numbers) == number and ctx.total_blocks == 3

    run_threads(4, body)


def test_threads_on_one_tree():
    """Each may free what others use: they see it whole, or gone."""
    root = tmempool.Context("root")
    shared = [root.bytes(8) for _ in range(20)]

    def body(number):
        dice = random.Random(number)
        for _ in range(400):
            place = dice.randrange(20)
            buffer = shared[place]
            try:
                if dice.random() < 0.3:
                    buffer.free()
                    shared[place] = root.bytes(8)
                else:
                    with buffer.view() as view:
                        view[3] = number
                        assert len(view) == 8
            except (tmempool.StaleContextError, BufferError):
                pass

    run_threads(4, body)
    root.free()
    assert not any(buffer.alive for buffer in shared)


def test_no_thread_is_the_wrong_one():
    """What one thread has made, others use and free, also when it has ended."""
    made = []

    def make(_):
        ctx = tmempool.Context("made elsewhere")
        made.append((ctx, ctx.bytes(8), ctx.cache("cache", 8).alloc(), ctx.bytes(4).view()))

    run_threads(1, make)
    ctx, buffer, piece, view = made.pop()
    buffer[3] = piece[3] = view[3] = 1
    piece.free()
    with pytest.raises(BufferError):
        ctx.free()
    del view
    calls = []
    ctx.set_destructor(lambda obj: calls.append(threading.get_ident()))
    run_threads(1, lambda _: ctx.free())
    assert not buffer.alive and calls != [threading.get_ident()]
    with pytest.raises(tmempool.StaleContextError):
        piece.view()
    run_threads(1, lambda _: pytest.raises(tmempool.StaleContextError, buffer.view))


def test_contexts_can_be_made_within_destructors():
    made = []
    ctx = tmempool.Context("a")
    ctx.set_destructor(lambda obj: made.extend([obj.bytes(3), tmempool.Context("own")]))
    ctx.free()
    assert [item.alive for item in made] == [False, True]
    made[1].free()


def test_finalizers_may_free():
    """Whenever the collector runs, also in the middle of an operation."""
    class Owner:
        def __init__(self):
            self.me, self.ctx = self, tmempool.Context("owned")
            self.ctx.bytes(5)

        def __del__(self):
            self.ctx.free()

    gc.collect()
    before = tmempool._library.handle_roots(None, 0)
    thresholds = gc.get_threshold()
    gc.set_threshold(5, 2, 2)
    try:
        for _ in range(300):
            Owner()
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    with tmempool.Context("last"):
        pass
    assert tmempool._library.handle_roots(None, 0) == before


def test_garbage_is_collected_in_any_order(monkeypatch):
    """Rings of contexts, buffers, views, pieces and finalizers that use and free one another."""
    dice = random.Random(5)
    roots, reports = [], []

    class Knot:
        def __init__(self, things):
            self.things, self.me = things, self

        def __del__(self):
            for thing in self.things:
                try:
                    if isinstance(thing, memoryview):
                        thing[0] = 1
                    elif isinstance(thing, tmempool.Context) or dice.random() < 0.5:
                        thing.free()
                    else:
                        thing.view()[0] = 2
                except (tmempool.TmempoolError, BufferError):
                    pass

    # What is in use at the end of an operation still refuses: that is reported, and right.
    monkeypatch.setattr(sys, "unraisablehook", lambda report: reports.append(report.exc_type))
    thresholds = gc.get_threshold()
    gc.set_threshold(7, 2, 2)
    try:
        for i in range(200):
            root = tmempool.Context(f"root {i}")
            roots.append(root)
            cache = root.cache("cache", 16)
            things = [root, root.child("inner"), root.bytes(8), root.string("text"), cache.alloc()]
            things += [things[2].view(), things[4].view(), root.pool(500).bytes(9).view()]
            dice.shuffle(things)
            knots = [Knot(things[:4]), Knot(things[4:])]
            knots[0].other, knots[1].other = knots[1], knots[0]
            del cache, things, knots, root
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    assert set(reports) <= {BufferError}
    for root in roots:
        if root.alive:
            root.free()
    for left in tmempool.snapshot().roots:
        assert not left.name.startswith("root ")


def test_the_syntax_is_that_of_python_3_9():
    package = pathlib.Path(tmempool.__file__).parent
    files = list(package.glob("*.py"))
    assert len(files) > 10
    for file in files:
        ast.parse(file.read_text(encoding="utf-8"), str(file), feature_version=(3, 9))


def test_subinterpreters_are_refused():
    names = ("_interpreters", "_xxsubinterpreters")
    found = [module for module in map(import_if_there, names) if module is not None]
    if not found:
        pytest.skip("this Python has no module for subinterpreters")
    sub = found[0].create()
    result = found[0].run_string(
        sub,
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "try:\n    import tmempool\n"
        "except ImportError as error:\n    assert 'interpreter' in str(error), error\n"
        "else:\n    raise AssertionError('it was imported')\n",
    )
    assert result is None
    found[0].destroy(sub)


def import_if_there(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def test_an_import_anew_forgets_nothing(run_python):
    """What was made before keeps its destructors and its memory; a reload is refused."""
    out, _ = run_python(
        "import importlib, sys, tmempool\n"
        "first = tmempool; old = first.Context('old'); block = old.bytes(8); view = block.view()\n"
        "old.set_destructor(lambda obj: print('asked'))\n"
        "for name in [name for name in sys.modules if name.startswith('tmempool')]: del sys.modules[name]\n"
        "import tmempool\n"
        "assert tmempool is not first\n"
        "new = tmempool.Context('new'); other = new.bytes(8); kept = other.view()\n"
        "for ctx in (old, new):\n"
        "    try: ctx.free()\n"
        "    except BufferError: print('in use')\n"
        "assert first._library.free_chunk(old._address(), None) == 0\n"
        "view[0] = kept[0] = 1; assert block.alive and block[0] == 1\n"
        "view.release(); kept.release()\n"
        "del view, kept\n"
        "block.free(); new.free()\n"
        "try: importlib.reload(tmempool._registry)\n"
        "except ImportError as error: print(error)\n"
    )
    assert out.splitlines()[:3] == ["in use", "in use", "asked"] and "reloaded" in out
