"""Pools that grow, caches, reserves and managed ranges."""

import ctypes
import gc
import mmap

import pytest

import tmempool
from tmempool import Fit


@pytest.fixture
def ctx():
    root = tmempool.Context("root")
    yield root
    gc.collect()
    if root.alive:
        root.free()


def test_a_growing_pool_is_emptied_and_used_again(ctx):
    pool = ctx.growing_pool(4096, max_block=65536, name="requests")
    assert isinstance(pool, tmempool.Pool) and pool.name == "requests" and pool.parent == ctx
    inner = pool.child("inner")
    assert pool == inner.parent and isinstance(inner.parent, tmempool.GrowingPool)
    for round_ in range(3):
        buffers = [pool.bytes(1000) for _ in range(200)]
        for buffer in buffers:
            buffer[999] = round_ + 1
        assert all(buffer[0] == 0 and buffer[999] == round_ + 1 for buffer in buffers)
        pool.reset()
        assert pool.alive and pool.total_blocks == 1 and not inner.alive
        for buffer in buffers:
            with pytest.raises(tmempool.StaleContextError, match=r"'bytes' was freed at .*test_pools.py:\d+"):
                buffer.view()
    pool.keep(0)
    with pytest.raises(ValueError):
        pool.keep(-1)
    for wrong in (-1, 1 << 28):
        with pytest.raises((ValueError, MemoryError)):
            ctx.growing_pool(wrong)


def test_a_reset_spares_what_is_in_use_or_refuses(ctx):
    kept = ctx.child("kept")
    buffer = kept.bytes(8)
    view = buffer.view()
    with pytest.raises(BufferError):
        ctx.reset()
    assert kept.alive and buffer.alive
    del view
    kept.set_destructor(lambda obj: False)
    ctx.reset()
    assert kept.alive and kept.parent is None and buffer.parent == kept
    kept.set_destructor(None)
    kept.free()
    ctx.reset()


def test_a_cache_hands_out_zeros_again_and_again(ctx):
    cache = ctx.cache("packets", 100, align=64)
    with cache.alloc() as packet:
        assert len(packet) == packet.size == 100 and bytes(packet.view()) == bytes(100)
        with packet.view() as view:
            view[3] = 7
            assert packet.exported and packet[3] == 7
        address = packet._at
        assert address % 64 == 0
    assert not packet.alive and "gone" in repr(packet)
    with pytest.raises(tmempool.StaleContextError, match=r"of 'packets' was freed at .*test_pools.py"):
        packet[3]
    with pytest.raises(tmempool.StaleContextError):
        packet.free()
    again = cache.alloc()
    assert again._at == address and again[3] == 0
    stats = cache.stats()
    assert (stats.object_size, stats.active, stats.allocations, stats.frees) == (100, 1, 2, 1)
    assert "packets" in tmempool.slabinfo()
    with pytest.raises(BufferError, match="not given back: 1 object$"):
        cache.free()
    again.free()
    assert cache.shrink() >= 0
    cache.free()
    with pytest.raises(tmempool.StaleContextError, match="'packets' was freed at"):
        cache.alloc()


def test_a_cache_ends_with_its_parent_but_not_with_memory_in_use(ctx):
    cache = ctx.child("inner").cache("packets", 32)
    packet, other = cache.alloc(), cache.alloc()
    view = packet.view()[2:5]
    for owner in (packet, ctx):
        with pytest.raises(BufferError):
            owner.free()
    assert tmempool._library.free_chunk(ctx._address(), None) == 0
    view[0] = 9
    assert not ctx.alive and cache.alive and packet[2] == 9 and cache.parent is None
    del view
    other.free()
    packet.free()
    cache.free()


def test_an_object_outlives_nothing(ctx):
    cache = ctx.cache("packets", 32)
    packet = cache.alloc()
    ctx.free()
    for use in (packet.view, packet.free, lambda: packet[0], cache.stats, cache.shrink):
        with pytest.raises(tmempool.StaleContextError):
            use()
    assert not packet.alive


def test_objects_of_caches_do_not_pile_up(ctx):
    cache = ctx.cache("packets", 32)
    for _ in range(1000):
        with cache.alloc() as packet:
            packet[0] = 1
    entry = tmempool._registry.entries[cache._handle]
    assert not entry.parts and cache.stats().active == 0


@pytest.mark.parametrize("make", [
    lambda ctx: ctx.cache("x", -1),
    lambda ctx: ctx.cache("x", 0),
    lambda ctx: ctx.cache("x", 1 << 27),
    lambda ctx: ctx.cache("x", 8, align=3),
    lambda ctx: ctx.cache("x", 8, align=-8),
    lambda ctx: ctx.genpool("x", order=64),
    lambda ctx: ctx.genpool("x", order=-1),
    lambda ctx: ctx.cache(5, 8),
    lambda ctx: ctx.cache("x", "8"),
    lambda ctx: ctx.genpool(None),
    lambda ctx: tmempool.CacheObject(),
    lambda ctx: tmempool.Cache("x"),
])
def test_wrong_arguments(ctx, make):
    with pytest.raises((ValueError, TypeError, MemoryError)):
        make(ctx)
    assert ctx.total_blocks == 1


_OBJECT = "an object of a cache has 1 to 4,128,768 bytes, not "
_ALIGNMENT = "an alignment is a power of two up to 65,536, or 0, not "
_ELEMENT = "an element of a reserve has 1 to 4,128,768 bytes, not "


@pytest.mark.parametrize("make, message", [
    (lambda ctx: ctx.cache("x", 0), _OBJECT + "0"),
    (lambda ctx: ctx.cache("x", -1), _OBJECT + "-1"),
    (lambda ctx: ctx.cache("x", 4_128_769), _OBJECT + "4,128,769"),
    (lambda ctx: ctx.cache("x", 1 << 70), _OBJECT + "1,180,591,620,717,411,303,424"),
    (lambda ctx: ctx.cache("x", 8, align=3), _ALIGNMENT + "3"),
    (lambda ctx: ctx.cache("x", 8, align=-8), _ALIGNMENT + "-8"),
    (lambda ctx: ctx.cache("x", 8, align=1 << 17), _ALIGNMENT + "131,072"),
    (lambda ctx: ctx.mempool("x", 1, 0), _ELEMENT + "0"),
    (lambda ctx: ctx.mempool("x", 1, 1 << 40), _ELEMENT + "1,099,511,627,776"),
    (lambda ctx: ctx.mempool("x", 0, 8), "a reserve holds back 1 to 268,435,455 elements, not 0"),
    (lambda ctx: ctx.genpool("x", order=64), "an order is 0 to 63, not 64"),
    (lambda ctx: ctx.genpool("x", order=-1), "an order is 0 to 63, not -1"),
])
def test_the_rule_that_is_broken_is_named(ctx, make, message):
    with pytest.raises(ValueError) as refusal:
        make(ctx)
    assert str(refusal.value) == message and ctx.total_blocks == 1


def test_the_largest_objects(ctx):
    for align in (0, 1, 65536):
        with ctx.cache("largest", 4_128_768, align=align) as cache, cache.alloc() as last:
            last[4_128_767] = 1
    with ctx.mempool("largest", 1, 4_128_768) as reserve, reserve.alloc() as last:
        last[4_128_767] = 1


def test_a_managed_range_of_a_shared_mapping(ctx):
    with mmap.mmap(-1, 1 << 16) as memory:
        pool = ctx.genpool("mapping", order=6)
        pool.add(memory)
        assert pool.size == pool.available == 1 << 16
        first, second = pool.alloc(100), pool.alloc(64, align=4096)
        assert (first.offset, first.size, second.offset) == (0, 100, 4096)
        with first.view() as view:
            view[:4] = b"mill"
        assert memory[:4] == b"mill" and first[:4] == b"mill"
        assert pool.available == (1 << 16) - 128 - 64
        with pytest.raises(MemoryError):
            pool.alloc(1 << 16)
        with pytest.raises(MemoryError):
            pool.alloc_at(memory, 4096, 64)
        fixed = pool.alloc_at(memory, 8192, 64)
        assert fixed.offset == 8192
        with pytest.raises(BufferError, match="not given back: 256 bytes$"):
            pool.free()
        held = second.view()
        with pytest.raises(BufferError):
            second.free()
        del held
        for piece in (first, second, fixed):
            piece.free()
        with pytest.raises(tmempool.StaleContextError):
            first.view()
        pool.free()
        gc.collect()


@pytest.mark.parametrize("fit", list(Fit))
def test_every_fit(ctx, fit):
    pool = ctx.genpool("memory", order=4)
    memory = bytearray(4096)
    pool.add(memory)
    pieces = [pool.alloc(50, fit) for _ in range(10)]
    offsets = sorted(piece.offset for piece in pieces)
    assert all(b - a >= 50 for a, b in zip(offsets, offsets[1:]))
    for number, piece in enumerate(pieces):
        with piece.view() as view:
            view[:] = bytes([number]) * 50
    assert all(piece[49] == number for number, piece in enumerate(pieces))
    with pytest.raises(BufferError):
        memory.append(1)


def test_what_a_managed_range_refuses(ctx):
    pool = ctx.genpool("memory", order=4)
    memory = bytearray(256)
    pool.add(memory)
    size = "a range has 1 to 9,223,372,036,854,775,807 bytes, not "
    for wrong, error, message in [
        (lambda: pool.add(memory), ValueError, "256 bytes at .*: <GenPool 'memory'> has some of them already"),
        (lambda: pool.add(memoryview(memory)[16:32]), ValueError, "16 bytes .* already"),
        (lambda: pool.add(b"read only"), TypeError, "not a writable"),
        (lambda: pool.add(5), TypeError, "not a writable"),
        (lambda: pool.add(bytearray(0)), ValueError, "0 bytes .* too few: .* no whole unit of 16 bytes"),
        (lambda: pool.alloc(0), ValueError, size + "0"),
        (lambda: pool.alloc(-1), ValueError, size + "-1"),
        (lambda: pool.alloc(1 << 70), ValueError, size),
        (lambda: pool.alloc(16, align=3), ValueError, "an alignment is a power of two .* not 3"),
        (lambda: pool.alloc(16, align=-16), ValueError, "an alignment is a power of two .* not -16"),
        (lambda: pool.alloc(16, fit=9), ValueError, "9 is not a valid Fit"),
        (lambda: pool.alloc("16"), TypeError, None),
        (lambda: pool.alloc_at(memory, -16, 16), ValueError, "16 bytes at -16 lie in no unit of <GenPool"),
        (lambda: pool.alloc_at(memory, 1 << 80, 16), ValueError, "lie in no unit of <GenPool 'memory'>"),
        (lambda: pool.alloc_at(bytearray(32), 0, 16), ValueError, "lie in no unit of <GenPool 'memory'>"),
        (lambda: pool.alloc_at(memory, 3, 16), ValueError, "do not begin at a multiple of 16"),
        (lambda: pool.alloc_at(memory, 240, 17), ValueError, "17 bytes at 240 do not end in the units"),
        (lambda: pool.alloc_at(memory, 0, 0), ValueError, size + "0"),
        (lambda: pool.alloc_at(b"no", 0, 16), TypeError, None),
        (lambda: pool.alloc(257), MemoryError, "no room for 257 bytes"),
    ]:
        with pytest.raises(error, match=message):
            wrong()
    assert pool.available == pool.size == 256
    with mmap.mmap(-1, (1 << 31) + 4096) as large:
        with pytest.raises(ValueError, match="too many: more than 2,147,483,648 units of 1 byte"):
            ctx.genpool("bytes", order=0).add(large)


def test_what_is_misaligned_is_left_out(ctx):
    pool = ctx.genpool("memory", order=6)
    memory = bytearray(1000)
    pool.add(memoryview(memory)[3:])
    address = ctypes.addressof((ctypes.c_ubyte * 0).from_buffer(memory))
    assert 1000 - 3 - 2 * 63 <= pool.size <= 960 and pool.size % 64 == 0
    piece = pool.alloc(64)
    with piece.view() as view:
        view[0] = 9
    assert (address + 3 + piece.offset) % 64 == 0 and memory[3 + piece.offset] == 9
    with pytest.raises(ValueError, match="too few"):
        pool.add(bytearray(10))


def test_what_was_made_of_a_range_outlives_the_pool(ctx):
    memory = bytearray(256)
    pool = ctx.genpool("memory")
    pool.add(memory)
    piece = pool.alloc(16)
    view = piece.view()
    ctx.free()
    view[0] = 3
    assert not piece.alive and 3 in memory
    with pytest.raises(tmempool.StaleContextError):
        piece.free()


@pytest.mark.parametrize("end", [
    lambda ctx: ctx.free(),
    lambda ctx: ctx.reset(),
    lambda ctx: tmempool._library.free_chunk(ctx._address(), None),
])
def test_a_range_that_is_gone_keeps_nothing(ctx, end):
    """What was brought can be closed, whoever still has a Range of it."""
    memory, other = mmap.mmap(-1, 65536), bytearray(4096)
    pool = ctx.genpool("memory")
    pool.add(memory)
    pool.add(other)
    seen, unseen, elsewhere = pool.alloc(64), pool.alloc(64), pool.alloc_at(other, 16, 64)
    seen.view()[0] = elsewhere[3] = 7
    view = seen.view()
    with pytest.raises(BufferError):
        memory.close()
    end(ctx)
    assert not seen.alive and not unseen.alive
    other.append(1)
    with pytest.raises(BufferError):
        memory.close()
    assert view[0] == memory[seen.offset] == 7 and other[elsewhere.offset + 3] == 7
    del view
    memory.close()
    for piece in (seen, unseen, elsewhere):
        with pytest.raises(tmempool.StaleContextError):
            piece.view()
        assert not piece.exported


def test_a_range_that_was_given_back_keeps_nothing(ctx):
    memory = bytearray(4096)
    with ctx.genpool("memory") as pool:
        pool.add(memory)
        with pool.alloc(64) as piece:
            piece[:] = bytes(64)
            with piece.view(), pytest.raises(BufferError, match="in use"):
                piece.free()
    memory.append(1)
    assert not piece.alive


def test_ranges_in_buffers_that_overlap(ctx):
    """What is no whole unit of the one may belong to the other."""
    memory = bytearray(4096)
    start = -ctypes.addressof((ctypes.c_ubyte * 0).from_buffer(memory)) % 256
    pool = ctx.genpool("memory", order=8)
    parts = [memoryview(memory)[start:start + 400], memoryview(memory)[start + 256:start + 600]]
    for part in parts:
        pool.add(part)
    pieces = [pool.alloc(256), pool.alloc(256)]
    for piece in pieces:
        piece[:] = b"x" * 256
    assert [piece.offset for piece in pieces] == [0, 0] and memory[start:start + 513] == b"x" * 512 + b"\0"


def test_elements_come_and_go(ctx):
    reserve = ctx.mempool("requests", 4, 100)
    with reserve.alloc() as element, reserve.alloc():
        assert len(element) == element.size == 100 and bytes(element.view()) == bytes(100)
        element[3] = 7
        with pytest.raises(BufferError, match="not given back: 2 elements$"):
            reserve.free()
    with pytest.raises(tmempool.StaleContextError, match="of 'requests' was freed at"):
        element[3]
    elements = [reserve.alloc(wait=False) for _ in range(50)]
    assert len({element._at for element in elements}) == 50
    assert not any(element[3] for element in elements), "none has what another has left"
    reserve.resize(8)
    for element in elements:
        element.free()
    reserve.free()
    with pytest.raises(tmempool.StaleContextError):
        reserve.alloc(wait=False)


def test_elements_in_use_keep_the_reserve(ctx):
    reserve = ctx.mempool("requests", 1, 64)
    element = reserve.alloc()
    view = element.view()
    for owner in (element, ctx):
        with pytest.raises(BufferError):
            owner.free()
    assert tmempool._library.free_chunk(ctx._address(), None) == 0
    view[0] = 1
    assert not ctx.alive and element[0] == 1
    del view
    element.free()
    reserve.free()


@pytest.fixture
def exhausted(run_python):
    """Runs a program with `reserve`, of which all there is has been taken: `elements`."""

    def run(program):
        return run_python(
            "import resource, signal, threading, time, tmempool\n"
            "ctx = tmempool.Context('root'); reserve = ctx.mempool('requests', 2, 1 << 20)\n"
            "go, got = threading.Event(), []\n"
            "def wait(): go.wait(); got.append(reserve.alloc())\n"
            "waiting = [threading.Thread(target=wait, daemon=True) for _ in range(2)]\n"
            "for thread in waiting: thread.start()\n"
            "used = int(open('/proc/self/statm').read().split()[0]) * 4096\n"
            "resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))\n"
            "elements = []\n"
            "try:\n"
            "    while True: elements.append(reserve.alloc(wait=False))\n"
            "except MemoryError: pass\n"
            "assert 2 <= len(elements) < 100, len(elements)\n"
            + program +
            "\nfor element in elements: element.free()\nreserve.free(); ctx.free(); print('done')\n"
        )

    return run


def test_who_waits_gets_the_next(exhausted):
    out, _ = exhausted(
        "start = time.monotonic()\n"
        "try: reserve.alloc(timeout=0.3)\n"
        "except MemoryError: assert 0.25 < time.monotonic() - start < 20\n"
        "else: raise SystemExit('there was none')\n"
        "go.set(); time.sleep(0.3)\n"
        "assert not got\n"
        "try: ctx.free()\n"
        "except (BufferError, tmempool.VetoError): pass\n"
        "else: raise SystemExit('freed under those who wait')\n"
        "elements.pop().free(); elements.pop().free()\n"
        "for thread in waiting: thread.join(20)\n"
        "assert len(got) == 2\n"
        "elements += got\n"
    )
    assert out == "done\n"


def test_the_main_thread_can_be_interrupted_while_it_waits(exhausted):
    out, _ = exhausted(
        "signal.signal(signal.SIGALRM, lambda *_: elements.pop().free())\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.3)\n"
        "elements.append(reserve.alloc(timeout=20))\n"
        "def stop(*_): raise KeyboardInterrupt\n"
        "signal.signal(signal.SIGALRM, stop)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.3)\n"
        "try: reserve.alloc()\n"
        "except KeyboardInterrupt: pass\n"
    )
    assert out == "done\n"


def test_wrong_arguments_for_reserves(ctx):
    reserve = ctx.mempool("requests", 1, 64)
    for wrong, error in [
        (lambda: ctx.mempool("x", 0, 8), ValueError),
        (lambda: ctx.mempool("x", -1, 8), ValueError),
        (lambda: ctx.mempool("x", 1, 0), ValueError),
        (lambda: ctx.mempool("x", 1, -1), ValueError),
        (lambda: ctx.mempool("x", 1, 1 << 40), ValueError),
        (lambda: ctx.mempool("x", "1", 8), TypeError),
        (lambda: reserve.resize(0), ValueError),
        (lambda: reserve.alloc(timeout=-1), ValueError),
        (lambda: reserve.alloc(timeout=float("nan")), ValueError),
        (lambda: reserve.alloc(timeout="1"), TypeError),
    ]:
        with pytest.raises(error):
            wrong()
    assert reserve.alloc(timeout=float("inf")).alive
