"""Contexts: life, death, owners, destructors."""

import ctypes
import sys
import threading

import pytest

import tmempool
from tmempool import _library, _work


def test_a_with_block_frees_the_tree():
    with tmempool.Context("request") as ctx:
        child = ctx.child("headers")
        text = child.string("Host: mill")
        assert text.parent == child and child.parent == ctx and ctx.parent is None
        assert ctx.total_blocks == 3
    for gone in (ctx, child, text):
        assert not gone.alive


def test_stale_objects_name_themselves_and_the_place():
    ctx = tmempool.Context("request")
    child = ctx.child("headers")
    ctx.free()
    with pytest.raises(tmempool.StaleContextError, match=r"'headers' was freed at .*test_contexts.py:\d+"):
        child.bytes(1)
    with pytest.raises(tmempool.StaleContextError, match="'request'"):
        ctx.free()


def test_a_free_from_c_is_noticed():
    ctx = tmempool.Context("request")
    text = ctx.child("deep").string("x")
    assert _library.free_chunk(ctx._address(), None) == 0
    with pytest.raises(tmempool.StaleContextError, match="'x' was freed from C"):
        text.text


def test_generations_tell_chunks_at_one_address_apart():
    seen = set()
    for _ in range(50):
        with tmempool.Context("again") as ctx:
            seen.add(ctx.generation)
    assert len(seen) == 50


def test_handles_of_one_chunk_are_equal():
    with tmempool.Context("a") as ctx:
        child = ctx.child("b")
        assert child.parent == ctx and hash(child.parent) == hash(ctx) and ctx != child


def test_steal():
    with tmempool.Context("a") as a:
        with tmempool.Context("b") as b:
            text = b.string("x")
            assert a.steal(text) is text
        assert text.text == "x" and text.parent == a
        inner = a.child("inner")
        for below in (inner, a):
            with pytest.raises(ValueError):
                below.steal(a)


def test_references_are_owners():
    a, b = tmempool.Context("a"), tmempool.Context("b")
    text = a.string("x")
    text.reference(b)
    assert text.reference_count == 1
    with pytest.raises(tmempool.ReferencedError):
        text.free()
    a.free()
    assert text.text == "x" and text.parent == b and text.reference_count == 0
    with pytest.raises(ValueError):
        text.unlink(tmempool.Context("stranger"))
    text.unlink(b)
    assert not text.alive
    b.free()


def test_unlink_of_the_parent_and_of_a_root():
    a, b = tmempool.Context("a"), tmempool.Context("b")
    text = a.string("x")
    text.reference(b)
    text.unlink(a)
    assert text.parent == b
    b.unlink(None)
    assert not text.alive and not b.alive
    a.free()


def test_pools_hold_what_is_made_below_them():
    with tmempool.Context("a") as a:
        pool = a.pool(4096)
        inside = [pool.bytes(100) for _ in range(10)]
        inside[3][0] = 7
        assert inside[3][0] == 7 and pool.total_blocks == 11
        a.steal(inside[3])
        pool.free()
        assert inside[3][0] == 7 and not inside[4].alive


def test_pools_say_how_they_are_made():
    for kind, method in ((tmempool.Pool, "pool"), (tmempool.GrowingPool, "growing_pool")):
        with pytest.raises(tmempool.WrongTypeError) as refusal:
            kind("x")
        assert str(refusal.value) == f"a {kind.__name__} is made by Context.{method}()"


def test_destructors_run_once_and_may_veto():
    calls = []
    ctx = tmempool.Context("a")

    def refuse(obj):
        calls.append(obj.name)
        return False

    ctx.set_destructor(refuse)
    with pytest.raises(tmempool.VetoError):
        ctx.free()
    assert ctx.alive and calls == ["a"]
    ctx.set_destructor(lambda obj: calls.append("yes"))
    ctx.free()
    assert calls == ["a", "yes"]


def test_a_vetoing_child_moves_to_another_owner():
    root = tmempool.Context("root")
    child = root.child("child")
    child.set_destructor(lambda obj: False)
    root.free()
    assert child.alive and child.parent is None
    child.set_destructor(None)
    child.free()


def test_destructors_can_use_what_dies():
    seen = []
    ctx = tmempool.Context("a")
    text = ctx.string("last words")
    other = tmempool.Context("other")

    def last(obj):
        seen.append((obj.text, obj.parent))
        other.steal(obj.parent.string("saved"))
        with pytest.raises(tmempool.VetoError):
            obj.free()
        with pytest.raises(tmempool.VetoError):
            obj.reference(other)

    text.set_destructor(last)
    text.free()
    assert seen == [("last words", ctx)]
    assert [node.name for node in other.tree().children] == ["saved"]
    ctx.free()
    other.free()


def test_an_exception_in_a_destructor_is_reported(monkeypatch):
    reports = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: reports.append(report.exc_type))
    ctx = tmempool.Context("a")
    ctx.set_destructor(lambda obj: 1 / 0)
    ctx.free()
    assert reports == [ZeroDivisionError] and not ctx.alive


def test_a_free_in_the_middle_of_an_operation_waits_for_its_end():
    ctx = tmempool.Context("a")
    with _work.work:
        ctx.free()
        assert ctx.alive
        with _work.work, _work.turn:
            pass
        assert ctx.alive
    assert not ctx.alive


def test_refused_memory_is_a_memory_error():
    limit = _library.library.talloc_set_memlimit
    limit.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    with tmempool.Context("a") as ctx:
        assert limit(ctx._address(), 2000) == 0
        for make in (ctx.bytes, ctx.pool, lambda n: ctx.array("b", n), lambda n: ctx.string("x" * n)):
            with pytest.raises(MemoryError):
                make(10000)
        assert ctx.total_blocks == 1 
        ctx.bytes(100)


def test_shared_contexts_are_contexts():
    root = tmempool.SharedContext("root")
    below = tmempool.Context("plain")
    for shared in (root, below.shared("shared"), below.shared_pool(4096, name="shared")):
        assert isinstance(shared, tmempool.SharedContext)
        inner = shared.child("inner")
        text = inner.string("text")
        assert inner.parent == shared and shared.total_blocks == 3
        assert shared.tree().children[0].children[0].name == "text"
        assert text.parent == inner and isinstance(inner.parent, tmempool.SharedContext)
        moved = shared.bytes(3)
        below.steal(moved)
        inner.steal(moved)
        with moved.view(), pytest.raises(BufferError):
            shared.reset()
        text.reference(shared)
        inner.free()
        assert text.alive and text.parent == shared and not moved.alive
        shared.reset()
        with pytest.raises(tmempool.StaleContextError, match=r"'text' was freed at .*test_contexts.py"):
            text.text
        shared.set_destructor(lambda obj: obj.total_blocks > 50)
        with pytest.raises(tmempool.VetoError):
            shared.free()
        shared.set_destructor(None)
    root.free()
    below.free()


def test_shared_contexts_do_not_lie_in_each_other():
    a, b = tmempool.SharedContext("a"), tmempool.SharedContext("b")
    plain = tmempool.Context("plain")
    below = plain.shared("below")
    for target in (a, a.child("inner")):
        for item in (b, plain, below):
            with pytest.raises(ValueError, match="a shared context cannot lie in another"):
                target.steal(item)
    assert b.parent is None and plain.parent is None and below.parent == plain
    # One that is made below another is an ordinary one, and may go anywhere.
    for inner in (a.shared("inner"), a.child("child").shared_pool(1000, "inner pool")):
        assert isinstance(inner, tmempool.SharedContext)
        for target in (b, plain, a):
            target.steal(inner)
            assert inner.parent == target and inner.bytes(4)[:] == bytes(4)
    below.free()
    # It is not said of what is being emptied.
    refused = []

    def move(_):
        with pytest.raises(tmempool.VetoError, match="one of them is being freed or reset") as refusal:
            a.steal(plain)
        refused.append(refusal)

    plain.child("child").set_destructor(move)
    plain.reset()
    assert len(refused) == 1
    for root in (plain, a, b):
        root.free()


def test_a_shared_context_is_used_by_c_and_python_at_once():
    """C code in a thread without the interpreter: ctypes lets go of it in each call."""
    named = _library.library.talloc_named_const
    named.restype, named.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)
    with tmempool.SharedContext("shared") as shared:
        address = shared._address()

        def use():
            for _ in range(2000):
                _library.free_chunk(named(address, 20, b"c"), None)

        others = [threading.Thread(target=use) for _ in range(2)]
        for other in others:
            other.start()
        for i in range(500):
            with shared.child("python").bytes(30) as buffer:
                buffer[i % 30] = 1
            assert buffer.alive is False
        for other in others:
            other.join()
        assert shared.total_blocks == 501
