"""Bytes in place: written without a copy, never freed while somebody has them."""

import array
import ctypes
import gc
import socket
import struct
import sys

import pytest

import tmempool
from tmempool import _library


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_double * 2)]


@pytest.fixture
def ctx():
    root = tmempool.Context("root")
    yield root
    gc.collect()
    if root.alive:
        root.free()


def test_bytes_are_zero_and_writable_in_place(ctx):
    buffer = ctx.bytes(16)
    assert bytes(buffer.view()) == bytes(16) and len(buffer) == buffer.size == 16
    struct.pack_into("<I", buffer.view(), 4, 0x01020304)
    assert buffer[4:8] == b"\4\3\2\1"
    buffer[0] = 255
    assert ctypes.string_at(buffer._address(), 1) == b"\xff"
    with pytest.raises(IndexError):
        buffer[16]
    with pytest.raises(ValueError):
        buffer[0] = 256


def test_recv_into(ctx):
    left, right = socket.socketpair()
    with left, right:
        buffer = ctx.bytes(8)
        left.sendall(b"mill")
        with buffer.view() as view:
            assert right.recv_into(view) == 4
        assert buffer[:4] == b"mill"


@pytest.mark.parametrize("typecode", "bBhHiIlLqQfd")
def test_arrays(ctx, typecode):
    numbers = ctx.array(typecode, 5)
    numbers[4] = 7
    assert list(numbers) == [0, 0, 0, 0, 7] and len(numbers) == 5
    assert numbers.size == 5 * array.array(typecode).itemsize
    assert array.array(typecode, numbers.view()) == array.array(typecode, [0, 0, 0, 0, 7])


def test_empty_buffers(ctx):
    assert len(ctx.bytes(0)) == 0 and list(ctx.array("d", 0)) == []


def test_strings(ctx):
    text = ctx.string("Mühle")
    assert text.text == str(text) == "Mühle" and text[:] == "Mühle\0".encode()
    text[0] = ord("m")
    assert text.text == "mühle" and text.name == "Mühle"
    assert "Mühle" in ctx.report()
    long = ctx.string("ü" * 5000)
    assert long.text == "ü" * 5000 and long.size == 10001
    assert long.name == "ü" * 99 + "…" == ctx.tree().children[0].name


def test_structures(ctx):
    point = ctx.new(Point)
    point.fields.x = 3
    point.fields.y[1] = 2.5
    assert point.fields.x == 3 and struct.unpack_from("i", point.view())[0] == 3
    inner = point.fields.y
    with pytest.raises(BufferError):
        point.free()
    assert inner[1] == 2.5
    del inner
    point.free()


@pytest.mark.parametrize("make", [
    lambda b: b.view(),
    lambda b: b.view()[2:4],
    lambda b: b.view().obj,
    lambda b: memoryview(b.view()),
    lambda b: (ctypes.c_ubyte * 4).from_buffer(b.view()),
    lambda b: (ctypes.c_ubyte * 4).from_buffer(b.view())[:0] or ctypes.pointer(b.view().obj),
])
def test_exported_memory_is_not_freed(ctx, make):
    buffer = ctx.child("deep").bytes(8)
    assert not buffer.exported
    held = make(buffer)
    assert buffer.exported
    for owner in (buffer, buffer.parent, ctx):
        with pytest.raises(BufferError, match="in use"):
            owner.free()
    assert buffer.alive and ctx.total_blocks == 3
    del held
    gc.collect()
    ctx.free()
    assert not buffer.alive


def test_a_free_from_c_spares_exported_memory():
    ctx = tmempool.Context("a")
    buffer = ctx.bytes(8)
    view = buffer.view()
    assert _library.free_chunk(ctx._address(), None) == 0
    view[3] = 9
    assert not ctx.alive and buffer[3] == 9 and buffer.parent is None
    del view
    buffer.free()


def test_a_destructor_is_not_asked_while_the_memory_is_in_use():
    calls = []
    ctx = tmempool.Context("a")
    buffer = ctx.bytes(8)
    buffer.set_destructor(calls.append)
    view = buffer.view()
    assert _library.free_chunk(ctx._address(), None) == 0
    assert calls == [] and buffer.alive
    del view
    buffer.free()
    assert calls == [buffer]


def test_a_view_taken_by_a_destructor_keeps_the_memory():
    ctx = tmempool.Context("a")
    buffer = ctx.bytes(8)
    kept = []
    buffer.set_destructor(lambda obj: kept.append(obj.view()))
    ctx.free()
    kept[0][1] = 5
    assert buffer.alive and buffer[1] == 5
    kept.clear()
    buffer.set_destructor(None)
    buffer.free()


def test_garbage_cycles_with_finalizers_keep_the_memory():
    """A finalizer sees the view after weak references to it are gone."""
    ctx = tmempool.Context("a")
    outcome = []

    class Cycle:
        def __init__(self, view):
            self.view, self.me = view, self

        def __del__(self):
            try:
                ctx.free()
            except BufferError:
                outcome.append("refused")
            self.view[0] = 1

    Cycle(ctx.bytes(4).view())
    gc.collect()
    assert outcome == ["refused"]
    ctx.free()


def test_numpy_works_in_place(ctx):
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    numbers = ctx.array("d", 4)
    vector = numpy.frombuffer(numbers.view())
    vector += 1.5
    assert list(numbers) == [1.5] * 4
    part = vector[1:3]
    del vector
    with pytest.raises(BufferError):
        ctx.free()
    del part
    ctx.free()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ needs Python 3.12")
def test_the_buffer_itself_is_a_buffer(ctx):
    buffer = ctx.bytes(4)
    with memoryview(buffer) as view:
        view[0] = 3
        with pytest.raises(BufferError):
            buffer.free()
    assert buffer[0] == 3
