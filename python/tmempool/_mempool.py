"""Guaranteed reserves: some elements are held back, so that who waits gets one."""

from __future__ import annotations

import ctypes
import errno
import operator
import threading
import time
from typing import Optional, SupportsIndex

from . import _library as c
from ._errors import WrongTypeError
from ._handle import Handle, encode_name
from ._pieces import Piece, Provider, held, made, object_size
from ._registry import exported
from ._work import work

# How long the main thread waits at a time: in between, signals are looked after.
_SLICE = 0.2
_FOREVER = float(1 << 31)


class Mempool(Provider):
    """A reserve of elements of one size; made by `Context.mempool()`. As many as are held back can be
    out at any time, however little memory there is. It ends with its parent, or by `free()` when all
    elements have been given back."""

    __slots__ = ()
    _UNIT = "element"

    def alloc(self, wait: bool = True, timeout: Optional[float] = None) -> Element:
        """Takes an element out, of zeros. When there is none, it waits for the first that comes back,
        first come, first served, `timeout` seconds at most; or not at all. MemoryError if there was
        none. Nobody can free the reserve meanwhile."""
        if timeout is not None and not isinstance(timeout, (int, float)):
            raise WrongTypeError(f"a time is a number, not {type(timeout).__name__}")
        limit = 0.0 if not wait else _FOREVER if timeout is None else timeout
        if not limit >= 0:
            raise ValueError(f"a time cannot be negative: {limit}")
        with work:
            entry = self._live()
            entry.users += 1
            exported.add(entry)
        at = None
        try:
            at = self._wait(min(limit, _FOREVER))
        finally:
            with work:
                entry.users -= 1
                if at:
                    entry.out += 1
        if not at:
            raise MemoryError(f"{self!r} has no element")
        size, _ = entry.kept
        ctypes.memset(at, 0, size)
        return Element._of(self, at, size)

    def _wait(self, seconds: float) -> Optional[int]:
        """An element's address; outside of the thread's turn, so that others can give one back."""
        end = time.monotonic() + seconds
        watchful = threading.current_thread() is threading.main_thread()
        while True:
            at: Optional[int] = c.mempool_alloc_timeout(
                self._pool, int(min(seconds, _SLICE if watchful else seconds) * 1e9)
            )
            if at or ctypes.get_errno() not in (errno.ETIMEDOUT, errno.ENOMEM):
                return at
            seconds = end - time.monotonic()
            if seconds <= 0:
                return None

    def resize(self, held_back: SupportsIndex) -> None:
        """Changes how many elements are held back."""
        count = _count(held_back)
        with work:
            self._live()
            if c.mempool_resize(self._pool, count):
                raise MemoryError(f"no memory to hold back {count} elements of {self!r}")

    def _out(self) -> int:
        return self._enter().out


class Element(Piece):
    """An element of a reserve."""

    __slots__ = ()

    def _give_back(self) -> None:
        self._provider._enter().out -= 1
        c.mempool_free(self._provider._pool, self._at)


def _count(number: SupportsIndex) -> int:
    count = operator.index(number)
    if not 0 < count < c.MAX_SIZE:
        raise ValueError(f"a reserve holds back 1 to {c.MAX_SIZE - 1:,} elements, not {count:,}")
    return count


def make_mempool(parent: Handle, name: str, held_back: SupportsIndex, size: SupportsIndex) -> Mempool:
    """See `Context.mempool()`."""
    count, length = _count(held_back), object_size(size, "an element of a reserve")
    with work:
        work.changes()
        handle, holder = held(parent, name)
        # A cache of its own, so that the elements go with the reserve, whoever has them.
        cache = c.cache_create(holder, encode_name(name), length, 0, 0, None, None)
        pool = c.mempool_create_cache(holder, count, cache) if cache else None
        reserve = made(Mempool, handle, name, pool)
        reserve._enter().kept = [length, cache]
        return reserve
