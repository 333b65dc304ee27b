"""Contexts: what owns, and what makes everything else.

What is made often takes one call of the library; the rest is looked into only where that fails.
"""

from __future__ import annotations

import ctypes
import errno
import operator
import struct
import sys
from typing import NoReturn, Optional, SupportsIndex, Type, TypeVar

from . import _library as c
from . import _registry as registry
from ._buffers import Array, Buffer, Record, String, require_plain
from ._caches import Cache, make_cache
from ._errors import VetoError, WrongTypeError
from ._genpool import GenPool, make_genpool
from ._handle import Handle, any_address, encode, encode_name, size_of
from ._mempool import Mempool, make_mempool
from ._work import caller, work

H = TypeVar("H", bound=Handle)
S = TypeVar("S", bound=ctypes.Structure)

# By typecode: the size of an item in bytes, and what an array of them is called.
_ARRAYS = {
    code: (struct.calcsize(code), f"array {code}", f"array {code}".encode())
    for code in "bBhHiIlLqQfd"
}

_BYTES = "bytes"
# What `bytes` means outside the class.
C_Bytes = bytes

_blank = object.__new__
_new = c.new
_copy = c.copy
_MAX_SIZE = c.MAX_SIZE


def _handle_of_new(address: Optional[int], name: str) -> Optional[int]:
    """The handle of a chunk just made, which is freed if it can have none; within `work`."""
    handle: Optional[int] = c.handle_of(address, encode_name(name)) if address else None
    if address and not handle:
        c.free_chunk(address, None)
    return handle


class Context(Handle):
    """A root of a tree, which owns all that is made from it. As a context manager it frees its
    tree at the end, unless that was done before."""

    __slots__ = ()

    def __init__(self, name: str) -> None:
        c_name = encode_name(name)
        handle = _new(None, 0, c_name)
        if not handle:
            raise MemoryError(f"no memory for {name!r}")
        self._handle = handle
        self._name = name
        if type(self) is not Context:
            with work:
                self._enter()

    def child(self, name: str) -> Context:
        """A context that belongs to this one."""
        c_name = encode_name(name)
        handle = _new(self._handle, 0, c_name)
        if not handle:
            self._refused(0, name)
        item = _blank(Context)
        item._handle = handle
        item._name = name
        return item

    def pool(self, size: SupportsIndex, name: str = "pool") -> Pool:
        """A context with `size` bytes at once, for what is made below it and its headers."""
        length = size_of(size)
        encode_name(name)
        with work:
            work.changes()
            return self._adopt(Pool, c.pool(self._address(), length), length, name)

    def growing_pool(
        self, first_size: SupportsIndex, max_block: SupportsIndex = 0, name: str = "growing pool"
    ) -> GrowingPool:
        """A pool that begins with `first_size` bytes and grows by blocks, each twice as large as the one
        before, up to `max_block`; 0 for 1 MiB. `reset()` empties it for its next use."""
        length, largest = size_of(first_size), size_of(max_block)
        encode_name(name)
        with work:
            work.changes()
            address = c.growing_pool(self._address(), length, largest)
            return self._adopt(GrowingPool, address, length, name)

    def shared(self, name: str) -> SharedContext:
        """A context that threads of C code, too, may use at any time, with all that lies below it. Below
        another shared context, it is an ordinary one, which is shared as long as it lies there."""
        encode_name(name)
        with work:
            work.changes()
            return self._adopt(SharedContext, c.shared_context(self._address(), None), 0, name)

    def shared_pool(self, size: SupportsIndex, name: str = "shared pool") -> SharedContext:
        """A shared context with `size` bytes at once, for what is made below it and its headers; as for
        `shared()`, below another one it is an ordinary pool."""
        length = size_of(size)
        encode_name(name)
        with work:
            work.changes()
            return self._adopt(SharedContext, c.shared_pool(self._address(), length), length, name)

    def reset(self) -> None:
        """Frees all below this, by the rules of `free()`. A pool keeps its room for what comes next.

        What refuses to be freed, or is referred to from elsewhere, moves to another owner. Raises
        BufferError if bytes of anything are in use; then nothing has changed.
        """
        location = caller()
        with work as depth:
            self._address()
            if not work.defers(depth, lambda: self._reset(location)):
                self._reset(location)

    def _reset(self, location: C_Bytes) -> None:
        work.changes()
        if registry.exported:
            with work:
                registry.require_unused_below(self._address())
        if c.reset(self._handle, location):
            raise self._not_let_go()
        registry.forget_ended()

    def cache(
        self, name: str, size: SupportsIndex, align: SupportsIndex = 0, zero_on_free: bool = False
    ) -> Cache:
        """A cache of objects of `size` bytes, each at a multiple of `align`, a power of two up to
        65536; 0 for 8 or 16."""
        return make_cache(self, name, size, align, zero_on_free)

    def mempool(self, name: str, held_back: SupportsIndex, size: SupportsIndex) -> Mempool:
        """A reserve of elements of `size` bytes, `held_back` of which are kept for bad times."""
        return make_mempool(self, name, held_back, size)

    def genpool(self, name: str, order: SupportsIndex = 4) -> GenPool:
        """A manager of memory that the program brings. Sizes and addresses are multiples of 2 to the
        power of `order`."""
        return make_genpool(self, name, order)

    def bytes(self, count: SupportsIndex, name: str = _BYTES) -> Buffer:
        """A buffer of `count` zero bytes."""
        length = count if type(count) is int and 0 <= count < _MAX_SIZE else size_of(count)
        c_name = b"bytes" if name is _BYTES else encode_name(name)
        handle = _new(self._handle, length, c_name)
        if not handle:
            self._refused(length, name)
        item = _blank(Buffer)
        item._handle = handle
        item._name = name
        return item

    def array(self, typecode: str, count: SupportsIndex, name: Optional[str] = None) -> Array:
        """An array of `count` zeros of one of the types of `array` and `struct`: b B h H i I l L q
        Q f d."""
        try:
            item_size, usual_name, c_name = _ARRAYS[typecode]
        except (KeyError, TypeError):
            if isinstance(typecode, str):
                raise ValueError(f"not a typecode: {typecode!r}") from None
            raise WrongTypeError(f"a typecode is a str, not {type(typecode).__name__}") from None
        if type(count) is int and 0 <= count < _MAX_SIZE // 8:
            length = count * item_size
        else:
            length = size_of(count, item_size)
        if name is None:
            name = usual_name
        else:
            c_name = encode_name(name)
        handle = _new(self._handle, length, c_name)
        if not handle:
            self._refused(length, name)
        item = _blank(Array)
        item._handle = handle
        item._name = name
        item._format = typecode
        return item

    def new(self, kind: Type[S], name: Optional[str] = None) -> Record[S]:
        """A ctypes structure of zeros, without pointers in it."""
        require_plain(kind)
        length = size_of(ctypes.sizeof(kind))
        name = name or kind.__name__
        handle = _new(self._handle, length, encode_name(name))
        if not handle:
            self._refused(length, name)
        return Record._of(handle, name, kind)

    def string(self, text: str) -> String:
        """A C string, named by itself; one of more than 100 characters by how it begins."""
        data = encode(text, "a string")
        length = len(data) + 1
        if length <= 100:
            name, c_name = text, data
        else:
            name = text if len(text) <= 100 else text[:99] + "…"
            c_name = encode(name, "a name")
            length = size_of(length)
        # `bytes` have a NUL behind them, which is copied, too.
        handle = _copy(self._handle, data, length, c_name)
        if not handle:
            self._refused(length, name)
        item = _blank(String)
        item._handle = handle
        item._name = name
        return item

    def steal(self, item: H) -> H:
        """Makes this context the parent of `item`; references stay. ValueError if `item` is this
        context or one above it, or if a shared context would come to lie in another."""
        where = caller()
        with work:
            target = self._address()
            address = any_address(item)
            work.changes()
            if c.is_parent(target, address):
                raise ValueError(f"{item!r} is, or owns, {self!r}")
            # Of what is being freed, errno says nothing.
            ctypes.set_errno(0)
            if not c.steal(target, address, where):
                raise self._not_taken(item)
            return item

    def _not_taken(self, item: Handle) -> Exception:
        """Says why a steal failed, right after it."""
        reason = ctypes.get_errno()
        if reason == errno.EINVAL:
            return ValueError(f"{item!r} cannot move to {self!r}: a shared context cannot lie in another")
        if reason == errno.ENOMEM:
            return MemoryError(f"no memory to move {item!r} to {self!r}")
        return VetoError(f"{item!r} cannot move to {self!r}: one of them is being freed or reset")

    def _adopt(self, kind: Type[H], address: Optional[int], length: int, name: str) -> H:
        """The object for a new chunk of this context's, whose class must be known; within `work`."""
        handle = _handle_of_new(address, name)
        if not handle:
            self._refused(length, name)
        item = kind._of(handle, name)
        item._enter()
        return item

    def _refused(self, length: int, name: str) -> NoReturn:
        with work:
            self._address()
        raise MemoryError(f"no memory for {name!r} ({length} bytes)")


class Pool(Context):
    """A context that takes memory for all below it at once; made by `Context.pool()`."""

    __slots__ = ()

    def __init__(self, *_: object, **__: object) -> None:
        raise WrongTypeError("a Pool is made by Context.pool()")


class GrowingPool(Pool):
    """A pool that grows; made by `Context.growing_pool()`."""

    __slots__ = ()

    def __init__(self, *_: object, **__: object) -> None:
        raise WrongTypeError("a GrowingPool is made by Context.growing_pool()")

    def keep(self, count: SupportsIndex) -> None:
        """Sets how many bytes of its room, the first block aside, it keeps when it is emptied; at first
        all."""
        number = operator.index(count)
        if number < 0:
            raise ValueError(f"a size cannot be negative: {number}")
        with work:
            c.set_keep(self._address(), min(number, sys.maxsize))


class SharedContext(Context):
    """A context that all threads may use at once, those of C code included; a root, or made by
    `Context.shared()` or `Context.shared_pool()`. Python's own threads need none. What Python has below it,
    C code leaves alive while Python uses it."""

    __slots__ = ()

    def __init__(self, name: str) -> None:
        encode_name(name)
        with work:
            work.changes()
            handle = _handle_of_new(c.shared_context(None, None), name)
            if not handle:
                raise MemoryError(f"no memory for {name!r}")
            self._handle = handle
            self._name = name
            self._enter()
