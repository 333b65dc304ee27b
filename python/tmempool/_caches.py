"""Object caches: objects of one size, quickly taken and given back."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import SupportsIndex

from . import _library as c
from ._handle import Handle, encode_name
from ._pieces import Piece, Provider, alignment, held, made, object_size
from ._tree import text_of
from ._work import work


@dataclass(frozen=True)
class CacheStats:
    """Numbers about a cache: objects and slabs, sizes in bytes; see `tm_cache_stats` in tmempool.h."""

    object_size: int
    stride: int
    slab_size: int
    objects_per_slab: int
    active: int
    total: int
    peak: int
    cached: int
    slabs_partial: int
    slabs_full: int
    slabs_empty: int
    allocations: int
    frees: int
    failures: int
    magazine_hits: int


class Cache(Provider):
    """Objects of one size, quickly taken and given back; made by `Context.cache()`. It ends with its
    parent, or by `free()` when all objects have been given back."""

    __slots__ = ()
    _UNIT = "object"

    def alloc(self) -> CacheObject:
        """Takes an object out."""
        with work:
            self._live()
            at = c.cache_alloc(self._pool)
            if not at:
                raise MemoryError(f"no memory for an object of {self!r}")
            return CacheObject._of(self, at, self._numbers().object_size)

    def stats(self) -> CacheStats:
        """How the cache is doing."""
        with work:
            self._live()
            numbers = self._numbers()
            return CacheStats(**{name: getattr(numbers, name) for name, *_ in numbers._fields_})

    def shrink(self) -> int:
        """Gives back what holds no object. Returns how many bytes that was."""
        with work:
            self._live()
            return int(c.cache_shrink(self._pool))

    def _numbers(self) -> c.CacheNumbers:
        numbers = c.CacheNumbers()
        c.cache_stats(self._pool, ctypes.byref(numbers))
        return numbers

    def _out(self) -> int:
        return int(self._numbers().active)


class CacheObject(Piece):
    """An object of a cache."""

    __slots__ = ()

    def _give_back(self) -> None:
        c.cache_free(self._provider._pool, self._at)


def make_cache(
    parent: Handle, name: str, size: SupportsIndex, align: SupportsIndex, zero_on_free: bool
) -> Cache:
    """See `Context.cache()`."""
    length, boundary = object_size(size, "an object of a cache"), alignment(align, 65536)
    # Objects are zeros at first: what a script sees is never what another has left.
    flags = c.CACHE_ZERO_ON_ALLOC | (c.CACHE_ZERO_ON_FREE if zero_on_free else 0)
    with work:
        work.changes()
        handle, holder = held(parent, name)
        pool = c.cache_create(holder, encode_name(name), length, boundary, flags, None, None)
        return made(Cache, handle, name, pool)


def slabinfo() -> str:
    """The table of all caches of the process, as one knows it from /proc/slabinfo."""
    return text_of(c.slabinfo)


def release_free_memory() -> int:
    """Gives free memory back to the system now, which otherwise keeps some for what comes next. Returns
    how many bytes that was."""
    return int(c.release_free_memory())
