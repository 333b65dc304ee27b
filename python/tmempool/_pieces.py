"""What hands out memory of its own, piece by piece: what caches, reserves and managed ranges have in
common.

Each lies below a holder, a context of its own: the holder's handle says whether it lives. A piece is
represented by one Python object, from which it is given back once; so nothing of the library's is
needed to tell whether it has been.
"""

from __future__ import annotations

import ctypes
import errno
import operator
import os
from types import TracebackType
from typing import ClassVar, NoReturn, Optional, SupportsIndex, Tuple, Type, TypeVar

from . import _library as c
from . import _registry as registry
from ._buffers import Items
from ._errors import StaleContextError, WrongTypeError
from ._handle import Handle, counted, encode_name
from ._registry import Entry
from ._work import caller, work

P = TypeVar("P", bound="Provider")
X = TypeVar("X", bound="Piece")


class Provider(Handle):
    """What hands out pieces of memory."""

    __slots__ = ("_pool",)
    # What `_out()` counts.
    _UNIT: ClassVar[str]
    # The address of the library's own object, which lives as long as the holder.
    _pool: int

    @classmethod
    def _of(cls: Type[P], handle: int, name: str, detail: object = None) -> P:
        self = super()._of(handle, name)
        assert isinstance(detail, int)
        self._pool = detail
        return self

    @property
    def _detail(self) -> object:
        return self._pool

    def _live(self) -> Entry:
        """The entry of the live holder; within `work`."""
        self._address()
        return self._enter()

    def _out(self) -> int:
        """How many pieces, or bytes, are out; within `work`."""
        raise NotImplementedError

    def _free(self, location: bytes) -> None:
        with work:
            self._live()
            out = self._out()
        if out:
            raise BufferError(
                f"{self!r} has handed out what was not given back: {counted(out, self._UNIT)}"
            )
        super()._free(location)

    def __enter__(self: P) -> P:
        with work:
            self._live()
        return self


def object_size(size: SupportsIndex, what: str) -> int:
    """`size` in bytes, checked for what a cache can have objects of."""
    number = operator.index(size)
    if not 0 < number <= c.MAX_OBJECT:
        raise ValueError(f"{what} has 1 to {c.MAX_OBJECT:,} bytes, not {number:,}")
    return number


def alignment(align: SupportsIndex, largest: int) -> int:
    """`align`, if it is a power of two up to `largest`, or 0."""
    number = operator.index(align)
    if not 0 <= number <= largest or number & (number - 1):
        raise ValueError(f"an alignment is a power of two up to {largest:,}, or 0, not {number:,}")
    return number


def held(parent: Handle, name: str) -> Tuple[int, int]:
    """A new holder under `parent`, as its handle and its address; within `work`."""
    handle = c.new(parent._handle, 0, encode_name(name))
    if not handle:
        parent._address()
        raise MemoryError(f"no memory for {name!r}")
    return handle, c.get(handle)


def made(
    kind: Type[P], handle: int, name: str, pool: Optional[int], more: Optional[int] = None
) -> P:
    """The object for what was made below the holder `handle`; else why it was not; within `work`."""
    if not pool:
        reason = ctypes.get_errno()
        c.free(handle, None)
        if reason == errno.EINVAL:
            raise ValueError(f"the library refuses the {kind.__name__} {name!r}")
        raise MemoryError(f"no memory for {name!r}")
    item = kind._of(handle, name, pool if more is None else (pool, more))
    item._enter()
    return item


class Piece(Items):
    """Memory that was taken out of something, and can be given back to it by `free()`, or by a `with`
    block's end. While somebody has its bytes, neither it nor what it was taken from can be freed."""

    __slots__ = ("_provider", "_at", "size", "memory", "_freed_at", "__weakref__")
    _provider: Provider
    _at: int
    # What is handed out: whether somebody has it, its reference count tells.
    memory: Optional[ctypes.Array[ctypes.c_ubyte]]
    _freed_at: Optional[bytes]
    #: The length in bytes.
    size: int

    def __init__(self, *_: object, **__: object) -> None:
        raise WrongTypeError(f"a {type(self).__name__} is made by what it is taken from")

    @classmethod
    def _of(cls: Type[X], provider: Provider, at: int, size: int) -> X:
        self = object.__new__(cls)
        self._provider = provider
        self._at = at
        self.size = size
        self.memory = None
        self._freed_at = None
        return self

    def _memory(self) -> ctypes.Array[ctypes.c_ubyte]:
        return (ctypes.c_ubyte * self.size).from_address(self._at)

    def _give_back(self) -> None:
        raise NotImplementedError

    def _check(self) -> None:
        if self._freed_at is not None:
            raise StaleContextError(
                f"a {type(self).__name__} of {self._provider._name!r} was freed "
                f"at {os.fsdecode(self._freed_at)}"
            )
        self._provider._address()

    @property
    def alive(self) -> bool:
        """Whether it is still there."""
        return self._freed_at is None and self._provider.alive

    @property
    def exported(self) -> bool:
        """Whether somebody has the bytes, so that a free is refused."""
        return registry.memory_in_use(self)

    def view(self) -> memoryview:
        """The bytes, in place and writable. `with piece.view() as view:` ends its use."""
        with work:
            self._check()
            entry = self._provider._live()
            # First the use, then the question whether a finalizer has freed it meanwhile.
            memory = self.memory
            if memory is None:
                memory = self.memory = self._memory()
            entry.parts.add(self)
            registry.exported.add(entry)
            self._check()
            return memoryview(memory).cast("B")

    def free(self) -> None:
        """Gives it back. BufferError while somebody has its bytes."""
        location = caller()
        with work:
            self._check()
            # First the end of what can be handed out, then the question whether anything was.
            self._freed_at = location
            if registry.memory_in_use(self):
                self._freed_at = None
                raise BufferError(f"the memory of {self!r} is in use")
            self.memory = None
            self._provider._enter().parts.discard(self)
            self._give_back()

    def __enter__(self: X) -> X:
        with work:
            self._check()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if self.alive:
            self.free()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(f"{type(self).__name__} objects cannot be copied or pickled")

    def __repr__(self) -> str:
        end = "" if self.alive else ", gone"
        return f"<{type(self).__name__} of {self.size} bytes from {self._provider._name!r}{end}>"
