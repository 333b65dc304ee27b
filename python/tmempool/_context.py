"""Contexts: what owns, and what makes everything else."""

from __future__ import annotations

import ctypes
import struct
from types import TracebackType
from typing import Callable, Optional, SupportsIndex, Type, TypeVar

from . import _library as c
from . import _registry as registry
from ._buffers import Array, Buffer, Record, String, require_plain
from ._errors import VetoError, WrongTypeError
from ._handle import Handle, encode, handle_entry, size_of
from ._registry import Entry, work

H = TypeVar("H", bound=Handle)
C = TypeVar("C", bound="Context")
S = TypeVar("S", bound=ctypes.Structure)


class Context(Handle):
    """A root of a tree, which owns all that is made from it. As a context manager it frees its
    tree at the end, unless that was done before."""

    __slots__ = ()

    def __init__(self, name: str) -> None:
        c_name = encode(name, "a name")
        entry = Entry(type(self), name, c_name, None)
        self._entry = _make(entry, None, 0, lambda _: c.named_const(None, 0, c_name))

    def __enter__(self: C) -> C:
        self._entry.check()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if self.alive:
            self.free()

    def child(self, name: str) -> Context:
        """A context that belongs to this one."""
        c_name = encode(name, "a name")
        entry = Entry(Context, name, c_name, None)
        return Context._of(
            _make(entry, self._entry, 0, lambda parent: c.named_const(parent, 0, c_name))
        )

    def pool(self, size: SupportsIndex, name: str = "pool") -> Pool:
        """A context with `size` bytes at once, for what is made below it and its headers."""
        length, c_name = size_of(size), encode(name, "a name")

        def make(parent: Optional[int]) -> Optional[int]:
            address: Optional[int] = c.pool(parent, length)
            if address:
                c.set_name_const(address, c_name)
            return address

        return Pool._of(_make(Entry(Pool, name, c_name, None), self._entry, 0, make))

    def bytes(self, count: SupportsIndex, name: str = "bytes") -> Buffer:
        """A buffer of `count` zero bytes."""
        length = size_of(count)
        return Buffer._of(self._zeroed(Buffer, length, name, None))

    def array(self, typecode: str, count: SupportsIndex, name: Optional[str] = None) -> Array:
        """An array of `count` zeros of one of the types of `array` and `struct`: b B h H i I l L q
        Q f d."""
        if not isinstance(typecode, str):
            raise WrongTypeError(f"a typecode is a str, not {type(typecode).__name__}")
        if len(typecode) != 1 or typecode not in "bBhHiIlLqQfd":
            raise ValueError(f"not a typecode: {typecode!r}")
        length = size_of(count, struct.calcsize(typecode))
        return Array._of(self._zeroed(Array, length, name or f"array {typecode}", typecode))

    def new(self, kind: Type[S], name: Optional[str] = None) -> Record[S]:
        """A ctypes structure of zeros, without pointers in it."""
        require_plain(kind)
        length = size_of(ctypes.sizeof(kind))
        entry = self._zeroed(Record, length, name or kind.__name__, kind)
        return Record._of(entry)

    def string(self, text: str) -> String:
        """A C string, named by itself; one of more than 100 characters by how it begins."""
        data = encode(text, "a string")
        length = size_of(len(data) + 1)
        name = text if len(text) <= 100 else text[:99] + "…"
        # The name is the entry's copy, as the chunk's bytes may be written to.
        c_name = encode(name, "a name")
        # `bytes` have a NUL behind them, which is copied, too.
        return String._of(
            _make(
                Entry(String, name, c_name, None),
                self._entry,
                length,
                lambda parent: c.memdup(parent, data, length, c_name),
            )
        )

    def steal(self, item: H) -> H:
        """Makes this context the parent of `item`; references stay. ValueError if `item` is this
        context or one above it."""
        where = registry.c_location(registry.caller())
        with work:
            target = self._entry.check()
            address = handle_entry(item).check()
            work.changes()
            if c.is_parent(target, address):
                raise ValueError(f"{item!r} is, or owns, {self!r}")
            if not c.steal(target, address, where):
                raise VetoError(f"{item!r} cannot move to {self!r}: one of them is being freed")
            return item

    def _zeroed(self, kind: Type[Handle], length: int, name: str, detail: object) -> Entry:
        c_name = encode(name, "a name")
        return _make(
            Entry(kind, name, c_name, detail),
            self._entry,
            length,
            lambda parent: c.zeroed(parent, length, c_name),
        )


class Pool(Context):
    """A context that takes memory for all below it at once; made by `Context.pool()`."""

    __slots__ = ()

    def __init__(self) -> None:
        raise WrongTypeError("a Pool is made by Context.pool()")


def _make(
    entry: Entry,
    parent: Optional[Entry],
    length: int,
    allocate: Callable[[Optional[int]], Optional[int]],
) -> Entry:
    with work:
        owner = None if parent is None else parent.check()
        work.changes()
        registry.in_the_making.add(entry)
        return registry.register(entry, allocate(owner), length)
