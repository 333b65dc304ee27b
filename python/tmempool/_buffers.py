"""Objects with bytes: `Buffer`, and what gives its bytes a meaning.

Bytes are handed out in place, writable, and as long as anybody has them the free is refused. The
methods that read and write single items hand nothing out.
"""

from __future__ import annotations

import ctypes
import operator
import struct
from typing import Any, Generic, Iterator, SupportsIndex, Type, TypeVar, Union, cast

from . import _library as c
from ._errors import WrongTypeError
from ._exporter import Exporter
from ._handle import Handle
from ._registry import bytes_in_place, entries, in_use
from ._work import work

S = TypeVar("S", bound=ctypes.Structure)

_PLAIN = frozenset("cbB?hHiIlLqQfdgu")


def require_plain(kind: Any) -> None:
    """TypeError unless `kind` is a ctypes structure without pointers: those would not keep alive
    what they point to."""
    if not (isinstance(kind, type) and issubclass(kind, ctypes.Structure)):
        raise WrongTypeError(f"not a ctypes structure: {kind!r}")
    todo = [kind]
    while todo:
        part: Any = todo.pop()
        if issubclass(part, (ctypes.Structure, ctypes.Union)):
            for base in part.__mro__:
                todo.extend(item[1] for item in base.__dict__.get("_fields_", ()))
        elif issubclass(part, ctypes.Array):
            todo.append(part._type_)
        elif getattr(part, "_type_", None) not in _PLAIN:
            raise WrongTypeError(f"{kind.__name__} has a pointer in it: {part.__name__}")


class Items(Exporter):
    """What has bytes: it is read and written item by item, or in place by a view."""

    __slots__ = ()
    _format = "B"

    def view(self) -> memoryview:
        """The items, in place and writable. `with buffer.view() as view:` ends its use."""
        raise NotImplementedError

    def __len__(self) -> int:
        with self.view() as view:
            return len(view)

    def __getitem__(self, index: Union[SupportsIndex, slice]) -> Any:
        """An item; or a list of items, or bytes, for a slice."""
        with self.view() as view:
            if isinstance(index, slice):
                with view[index] as part:
                    return part.tobytes() if self._format == "B" else part.tolist()
            return view[operator.index(index)]

    def __setitem__(self, index: Union[SupportsIndex, slice], value: Any) -> None:
        """Writes an item; or, for a slice, as many items as it has, all or none: those of a buffer of the
        same type (of any type, for bytes), or of anything else that gives items one by one."""
        if not isinstance(index, slice):
            with self.view() as view:
                view[operator.index(index)] = value
            return
        # First what is written, as to look at it may run anything.
        with self._items_of(value) as items, self.view() as view, view[index] as part:
            if len(part) != len(items):
                raise ValueError(f"{len(items)} items cannot be written to a slice of {len(part)}")
            part[:] = items

    def _items_of(self, value: Any) -> memoryview:
        """`value` as items of the type of these."""
        form = cast(Any, self._format)
        try:
            given = memoryview(value)
        except TypeError:
            given = None
        if given is None:
            values = list(value)
            items = memoryview(bytearray(len(values) * struct.calcsize(form))).cast(form)
            for place, item in enumerate(values):
                items[place] = item
            return items
        if given.format == form and given.ndim == 1:
            return given
        if form == "B":
            return given.cast("B")
        raise ValueError(
            f"not a buffer of type {form!r} in 1 dimension, but of {given.format!r} in {given.ndim}"
        )

    def __iter__(self) -> Iterator[Any]:
        with self.view() as view:
            return iter(view.tolist())


class Buffer(Items, Handle):
    """Bytes that can be read and written in place.

    memoryview, numpy.frombuffer, struct, recv_into and others take it as it is; `view()` gives a
    memoryview. While a view or what was made from it is alive, the free of the buffer, or of what owns
    it, raises BufferError.
    """

    __slots__ = ()

    @property
    def size(self) -> int:
        """The length in bytes."""
        with work:
            return int(c.get_size(self._address()))

    @property
    def exported(self) -> bool:
        """Whether somebody has the bytes, so that a free is refused."""
        with work:
            entry = entries.get(self._handle)
            return entry is not None and in_use(entry)

    def view(self) -> memoryview:
        """The items, in place and writable. `with buffer.view() as view:` ends its use."""
        with work:
            memory = memoryview(bytes_in_place(self._enter())).cast("B")
            return memory if self._format == "B" else memory.cast(cast(Any, self._format))


A = TypeVar("A", bound="Array")
R = TypeVar("R", bound="Record[Any]")


class Array(Buffer):
    """Numbers of one type; made by `Context.array()`."""

    __slots__ = ("_format",)
    _format: str

    @classmethod
    def _of(cls: Type[A], handle: int, name: str, detail: object = None) -> A:
        self = super()._of(handle, name)
        self._format = cast(str, detail)
        return self

    @property
    def _detail(self) -> object:
        return self._format

    @property
    def typecode(self) -> str:
        """The type, as `array` and `struct` call it."""
        return self._format


class String(Buffer):
    """A C string; made by `Context.string()`. Its bytes include the NUL at the end."""

    __slots__ = ()

    @property
    def text(self) -> str:
        """The text up to the first NUL."""
        with self.view() as view:
            return view.tobytes().split(b"\0", 1)[0].decode(errors="backslashreplace")

    def __str__(self) -> str:
        return self.text if self.alive else repr(self)


class Record(Buffer, Generic[S]):
    """A ctypes structure; made by `Context.new()`."""

    __slots__ = ("_kind",)
    _kind: Type[S]

    @classmethod
    def _of(cls: Type[R], handle: int, name: str, detail: object = None) -> R:
        self = super()._of(handle, name)
        self._kind = cast(Any, detail)
        return self

    @property
    def _detail(self) -> object:
        return self._kind

    @property
    def fields(self) -> S:
        """The structure, in place. While it is held, the free is refused."""
        with work:
            return self._kind.from_buffer(bytes_in_place(self._enter()))
