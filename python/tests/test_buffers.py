"""Bytes in place: written without a copy, never freed while somebody has them."""

import array
import ctypes
import gc
import io
import pickle
import socket
import struct
import weakref

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


def test_slices_are_written(ctx):
    buffer = ctx.bytes(8)
    buffer[0:4] = b"mill"
    buffer[4:] = bytearray(b"race")
    assert buffer[:] == b"millrace"
    buffer[::2] = memoryview(b"abcd")
    assert buffer[:] == b"aiblcade"
    buffer[:] = b"millrace"
    buffer[0:4] = buffer.view()[2:6]
    assert buffer[:] == b"llrarace"
    buffer[-2:] = (1, 2)
    buffer[:2] = iter([254, 255])
    buffer[8:] = b""
    assert buffer[:] == b"\xfe\xffrara\1\2"
    buffer[:] = array.array("d", [2.5])
    assert struct.unpack("d", buffer[:]) == (2.5,)
    other = ctx.string("Mill")
    other[1:4] = ctx.string("öh").view()[:3]
    assert other.text == "Möh"
    piece = ctx.cache("cache", 4).alloc()
    piece[1:3] = b"ab"
    assert piece[:] == b"\0ab\0"
    piece.free()


@pytest.mark.parametrize("typecode", "bBhHiIlLqQfd")
def test_slices_of_arrays_are_written(ctx, typecode):
    numbers = ctx.array(typecode, 6)
    numbers[1:4] = [1, 2, 3]
    numbers[4:] = array.array(typecode, [4, 5])
    assert list(numbers) == [0, 1, 2, 3, 4, 5]
    numbers[::-1] = numbers
    numbers[:2] = numbers.view()[1:3]
    assert list(numbers) == [4, 3, 3, 2, 1, 0]
    assert not numbers.exported


def test_what_a_slice_refuses_changes_nothing(ctx):
    buffer, numbers = ctx.bytes(4), ctx.array("h", 4)
    buffer[:], numbers[:] = b"mill", [1, 2, 3, 4]
    for write, error in [
        (lambda: buffer.__setitem__(slice(0, 4), b"abc"), ValueError),
        (lambda: buffer.__setitem__(slice(0, 4), b"abcde"), ValueError),
        (lambda: buffer.__setitem__(slice(0, 2), [1, 256]), ValueError),
        (lambda: buffer.__setitem__(slice(0, 4), "mill"), TypeError),
        (lambda: buffer.__setitem__(slice(0, 4), 4), TypeError),
        (lambda: buffer.__setitem__(slice(0, 4), None), TypeError),
        (lambda: buffer.__setitem__(slice("a", "b"), b""), TypeError),
        (lambda: numbers.__setitem__(slice(0, 2), [1]), ValueError),
        (lambda: numbers.__setitem__(slice(0, 2), [1, 2.5]), TypeError),
        (lambda: numbers.__setitem__(slice(0, 2), [9, 1 << 15]), ValueError),
        (lambda: numbers.__setitem__(slice(0, 2), b"ab"), ValueError),
        (lambda: numbers.__setitem__(slice(0, 2), array.array("H", [1, 2])), ValueError),
        (lambda: numbers.__setitem__(slice(0, 4), memoryview(bytes(8)).cast("h", (2, 2))), ValueError),
    ]:
        with pytest.raises(error):
            write()
    assert buffer[:] == b"mill" and list(numbers) == [1, 2, 3, 4]
    assert not buffer.exported and not numbers.exported


def test_a_slice_of_what_is_gone_is_not_written(ctx):
    buffer, other = ctx.bytes(4), ctx.bytes(4)

    def items():
        buffer.free()
        yield from b"mill"

    with pytest.raises(tmempool.StaleContextError, match="'bytes' was freed at .*test_buffers.py"):
        buffer[:] = items()
    with pytest.raises(tmempool.StaleContextError, match="'bytes' was freed at"):
        buffer[0:4] = b"mill"
    with pytest.raises(tmempool.StaleContextError, match="'bytes' was freed at"):
        other[:] = buffer
    assert other[:] == bytes(4) and not other.exported
    piece = ctx.cache("cache", 4).alloc()
    piece.free()
    with pytest.raises(tmempool.StaleContextError):
        piece[:] = b"mill"


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


def test_the_buffer_itself_is_a_buffer(ctx):
    """It is taken as it is, in any Python, and nobody's use of it goes unnoticed."""
    buffer = ctx.bytes(8)
    with memoryview(buffer) as view:
        view[0] = 3
        with pytest.raises(BufferError):
            buffer.free()
    struct.pack_into("<I", buffer, 4, 7)
    assert bytes(buffer) == b"\3\0\0\0\7\0\0\0" and struct.unpack_from("<I", buffer, 4) == (7,)
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"mill")
        assert right.recv_into(buffer) == 4
    assert io.BytesIO(b"wheel").readinto(buffer) == 5 and buffer[:] == b"wheel\0\0\0"
    held = (ctypes.c_ubyte * 8).from_buffer(buffer)
    for owner in (buffer, ctx):
        with pytest.raises(BufferError):
            owner.free()
    held[0] = ord("W")
    del held
    assert buffer[:1] == b"W" and not buffer.exported
    ctx.free()
    for take in (memoryview, bytes, bytearray):
        with pytest.raises(tmempool.StaleContextError, match="'bytes' was freed at"):
            take(buffer)
    with pytest.raises((tmempool.StaleContextError, TypeError)):
        struct.pack_into("<I", buffer, 0, 1)


@pytest.mark.parametrize("make", [
    lambda ctx: ctx.array("d", 3),
    lambda ctx: ctx.bytes(24),
    lambda ctx: ctx.string("12345678" * 2 + "1234567"),
    lambda ctx: ctx.new(Point),
    lambda ctx: ctx.cache("cache", 24).alloc(),
    lambda ctx: ctx.mempool("reserve", 1, 24).alloc(),
])
def test_numpy_takes_the_buffer_itself_and_keeps_it(ctx, make):
    """It asks what it is given whether its bytes stay for good: they do not."""
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    buffer = make(ctx)
    for take in (numpy.frombuffer, numpy.asarray, lambda b: numpy.array(b, copy=False)):
        numbers = take(buffer)
        assert buffer.exported and numbers.nbytes == 24
        part = numbers[-1:]
        del numbers
        for owner in (buffer, ctx):
            with pytest.raises(BufferError):
                owner.free()
        part[0] = 1
        del part
        assert not buffer.exported


def test_a_view_that_is_none_is_refused(ctx):
    class Odd(tmempool.Buffer):
        __slots__ = ()

        def view(self):
            return self

    buffer = ctx.bytes(4)
    buffer.__class__ = Odd
    with pytest.raises(TypeError):
        memoryview(buffer)


@pytest.mark.parametrize("make", [lambda ctx: ctx.bytes(8), lambda ctx: ctx.cache("c", 8).alloc()])
def test_weak_references_do_not_outlive_the_memory(ctx, make):
    buffer = make(ctx)
    ref = weakref.ref(buffer.view().obj)
    assert not buffer.exported
    held = ref()
    if held is not None:
        with pytest.raises(BufferError):
            ctx.free()
    del held
    ctx.free()
    assert ref() is None


def test_what_is_made_of_a_view_keeps_the_memory_when_the_view_is_gone(ctx):
    """Slices, casts, pointers, iterators and picklable buffers, each alone."""
    buffer = ctx.array("d", 8)
    makers = [
        lambda: memoryview(buffer)[::2],
        lambda: memoryview(buffer).cast("B").cast("B", (8, 8)),
        lambda: memoryview(buffer).toreadonly(),
        lambda: iter(memoryview(buffer)),
        lambda: pickle.PickleBuffer(buffer),
        lambda: ctypes.pointer((ctypes.c_int * 4).from_buffer(buffer, 8)),
        lambda: ctypes.pointer((ctypes.c_int * 4).from_buffer(buffer)).contents,
    ]
    for make in makers:
        held = make()
        with pytest.raises(BufferError):
            ctx.free()
        del held
        gc.collect()
        assert not buffer.exported


def test_a_with_block_does_not_free_what_is_in_use():
    with pytest.raises(BufferError):
        with tmempool.Context("request") as ctx:
            view = ctx.bytes(3).view()
    assert ctx.alive
    view.release()
    del view
    ctx.free()
