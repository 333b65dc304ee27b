"""Managed ranges: room in memory that the program brings, handed out and given back."""

from __future__ import annotations

import ctypes
import enum
import errno
import operator
import weakref
from typing import Any, Optional, SupportsIndex, Tuple, Type, TypeVar, cast

from . import _library as c
from ._errors import StaleContextError, TmempoolError, WrongTypeError
from ._handle import Handle, counted
from ._pieces import Piece, Provider, alignment, held, made
from ._registry import Entry
from ._work import work

G = TypeVar("G", bound="GenPool")

_MAX_UNITS = 1 << 31


class Fit(enum.IntEnum):
    """Where a managed range puts what it is asked for."""

    FIRST = 0
    BEST = 1
    WORST = 2
    NEXT = 3
    FIRST_ALIGNED = 4
    FIRST_ORDER_ALIGNED = 5
    BUDDY = 6


class GenPool(Provider):
    """Manages memory that the program brings: shared mappings, bytearrays, any writable buffer; made by
    `Context.genpool()`. It ends with its parent, or by `free()` when all has been given back. The memory
    is never touched, and stays the program's."""

    __slots__ = ("_order",)
    _UNIT = "byte"
    _order: int

    @classmethod
    def _of(cls: Type[G], handle: int, name: str, detail: object = None) -> G:
        pool, order = cast(Tuple[int, int], detail)
        self = super()._of(handle, name, pool)
        self._order = order
        return self

    @property
    def _detail(self) -> object:
        return self._pool, self._order

    def add(self, buffer: Any) -> None:
        """Brings a writable buffer, which is kept from being resized or closed as long as the pool is there, or what
        was made from a Range of it. Bytes before the first multiple of the unit of allocation, and behind the last,
        are left out."""
        try:
            with memoryview(buffer) as view:
                size = view.nbytes
            whole = (ctypes.c_ubyte * size).from_buffer(buffer)
        except (TypeError, ValueError, BufferError) as error:
            raise WrongTypeError(f"not a writable, contiguous buffer: {error}") from None
        start = ctypes.addressof(whole)
        first, last = self._units(whole)
        unit = counted(1 << self._order, "byte")
        what = f"{counted(size, 'byte')} at {start:#x}"
        if first >= last:
            raise ValueError(f"{what} are too few: there is no whole unit of {unit} in them")
        if last - first > _MAX_UNITS << self._order:
            raise ValueError(f"{what} are too many: more than {_MAX_UNITS:,} units of {unit}")
        with work:
            entry = self._live()
            if c.genpool_add(self._pool, first, last - first):
                if ctypes.get_errno() == errno.EINVAL:
                    raise ValueError(f"{what}: {self!r} has some of them already")
                raise MemoryError(f"no memory for the books of {self!r}")
            entry.kept.append(whole)

    def _units(self, memory: ctypes.Array[ctypes.c_ubyte]) -> Tuple[int, int]:
        """Where the whole units of allocation in `memory` begin and end."""
        start = ctypes.addressof(memory)
        end = start + len(memory)
        return -(-start >> self._order) << self._order, end >> self._order << self._order

    def alloc(self, size: SupportsIndex, fit: Fit = Fit.FIRST, align: SupportsIndex = 0) -> Range:
        """Takes `size` bytes at a multiple of `align`, a power of two. MemoryError if there is no such
        room."""
        length, boundary = _length(size), alignment(align, 1 << 62)
        with work:
            entry = self._live()
            at = c.genpool_alloc(self._pool, length, Fit(fit), boundary)
            return self._range(entry, at, length)

    def alloc_at(self, buffer: Any, offset: SupportsIndex, size: SupportsIndex) -> Range:
        """Takes the `size` bytes at `offset` of a buffer that was brought, and no others."""
        length, start = _length(size), operator.index(offset)
        memory = (ctypes.c_ubyte * 0).from_buffer(buffer)
        at = ctypes.addressof(memory) + start
        with work:
            entry = self._live()
            units = [unit for unit in map(self._units, entry.kept) if unit[0] <= at < unit[1]]
            what = f"{counted(length, 'byte')} at {start:,}"
            if not units:
                raise ValueError(f"{what} lie in no unit of {self!r}")
            if at % (1 << self._order):
                raise ValueError(f"{what} do not begin at a multiple of {1 << self._order:,}: {at:#x}")
            if at + length > units[0][1]:
                raise ValueError(f"{what} do not end in the units of {self!r} that they begin in")
            return self._range(entry, c.genpool_alloc_fixed(self._pool, at, length), length)

    def _range(self, entry: Entry, at: Optional[int], size: int) -> Range:
        if not at:
            raise MemoryError(f"{self!r} has no room for {counted(size, 'byte')}")
        for memory in entry.kept:
            first, last = self._units(memory)
            if first <= at < last:
                return Range._within(self, at, at - ctypes.addressof(memory), size)
        raise TmempoolError(f"{self!r} has given {at:#x}, which nobody has brought")

    @property
    def size(self) -> int:
        """The bytes that were brought."""
        with work:
            self._live()
            return int(c.genpool_size(self._pool))

    @property
    def available(self) -> int:
        """The bytes that are free; perhaps not in one piece."""
        with work:
            self._live()
            return int(c.genpool_avail(self._pool))

    def _out(self) -> int:
        return int(c.genpool_size(self._pool) - c.genpool_avail(self._pool))


class Range(Piece):
    """Bytes of a managed range. The memory is the program's: what was made from it outlives the pool."""

    __slots__ = ("offset",)
    #: The distance from the start of the buffer that was brought.
    offset: int

    @classmethod
    def _within(cls, pool: GenPool, at: int, offset: int, size: int) -> Range:
        self = cls._of(pool, at, size)
        self.offset = offset
        return self

    def _memory(self) -> ctypes.Array[ctypes.c_ubyte]:
        entry = self._provider._live()
        (whole,) = (whole for whole in entry.kept if ctypes.addressof(whole) == self._at - self.offset)
        if entry.lent is None:
            entry.lent = weakref.WeakSet()
        entry.lent.add(self)
        return (ctypes.c_ubyte * self.size).from_buffer(whole, self.offset)

    def view(self) -> memoryview:
        """The bytes, in place and writable. `with piece.view() as view:` ends its use."""
        with work:
            self._check()
            memory = self.memory
            if memory is None:
                memory = self.memory = self._memory()
            try:
                self._check()
            except StaleContextError:
                # A finalizer has given it back meanwhile.
                self.memory = None
                raise
            return memoryview(memory).cast("B")

    def _give_back(self) -> None:
        c.genpool_free(self._provider._pool, self._at, self.size)


def _length(size: SupportsIndex) -> int:
    length = operator.index(size)
    if not 0 < length < 1 << 63:
        raise ValueError(f"a range has 1 to {(1 << 63) - 1:,} bytes, not {length:,}")
    return length


def make_genpool(parent: Handle, name: str, order: SupportsIndex) -> GenPool:
    """See `Context.genpool()`."""
    unit = operator.index(order)
    if not 0 <= unit < 64:
        raise ValueError(f"an order is 0 to 63, not {unit:,}")
    with work:
        work.changes()
        handle, holder = held(parent, name)
        return made(GenPool, handle, name, c.genpool_create(holder, unit), unit)
