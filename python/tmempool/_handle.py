"""What contexts and buffers have in common: owners, an end, and a place in a tree.

An object owns nothing: dropping it frees nothing, and any number of objects can stand for one
chunk. They compare equal then.
"""

from __future__ import annotations

import ctypes
import errno
import html
import operator
from types import TracebackType
from typing import (
    TYPE_CHECKING, Any, Callable, Dict, NoReturn, Optional, SupportsIndex, Type, TypeVar,
)

from . import _library as c
from . import _registry as registry
from ._errors import ReferencedError, VetoError, WrongTypeError
from ._registry import Entry
from ._tree import Node, report_text, tree_of
from ._work import caller, work

if TYPE_CHECKING:
    from ._context import Context

H = TypeVar("H", bound="Handle")

# The C strings of names that were used lately.
_names: Dict[str, bytes] = {}
_MANY_NAMES = 1000


def encode(text: str, what: str) -> bytes:
    """`text` as the bytes of a C string."""
    if not isinstance(text, str):
        raise WrongTypeError(f"{what} is a str, not {type(text).__name__}")
    # As `str` does it: a subclass may give anything.
    data = str.encode(text)
    if 0 in data:
        raise ValueError(f"{what} cannot contain a NUL character")
    return data


def encode_name(name: str) -> bytes:
    """A name as the bytes of a C string, found again if it is used often."""
    try:
        return _names[name]
    except (KeyError, TypeError):
        data = encode(name, "a name")
    if len(_names) >= _MANY_NAMES:
        _names.clear()
    if len(data) < 100:
        _names[name] = data
    return data


def size_of(count: SupportsIndex, item: int = 1) -> int:
    """`count` items in bytes, checked for what the library can allocate."""
    number = operator.index(count)
    if number < 0:
        raise ValueError(f"a size cannot be negative: {number}")
    if number * item >= c.MAX_SIZE:
        raise MemoryError(f"{number * item} bytes: an object is less than {c.MAX_SIZE}")
    return number * item


def counted(count: int, unit: str) -> str:
    """`count` things that are called `unit`."""
    return f"{count:,} {unit}{'' if count == 1 else 's'}"


class Handle:
    """A chunk of memory with a name and owners. A `with` block frees it at its end, unless that was
    done before."""

    __slots__ = ("_handle", "_name", "__weakref__")
    _handle: int
    _name: str

    def __init__(self, *_: object, **__: object) -> None:
        raise WrongTypeError(f"a {type(self).__name__} is made by a method of Context")

    @classmethod
    def _of(cls: Type[H], handle: int, name: str, detail: object = None) -> H:
        self = object.__new__(cls)
        self._handle = handle
        self._name = name
        return self

    @property
    def _detail(self) -> object:
        """What the class needs besides; kept with the entry."""
        return None

    def _address(self) -> int:
        """The address of the live chunk; within `work`."""
        address: Optional[int] = None if work.closed else c.get(self._handle)
        if not address:
            raise self._stale()
        return address

    def _stale(self) -> Exception:
        return registry.stale(type(self).__name__, self._name, self._handle)

    def _enter(self) -> Entry:
        """The entry, made now if there is none; within `work`."""
        return registry.enter(self._handle, type(self), self._name, self._detail)

    @property
    def name(self) -> str:
        """The name; also of what is freed."""
        return self._name

    @property
    def generation(self) -> int:
        """A number that no other chunk of the process had or will have."""
        return self._handle

    @property
    def alive(self) -> bool:
        """Whether the memory is still there."""
        return not work.closed and c.get(self._handle) is not None

    @property
    def parent(self) -> Optional[Context]:
        """The context that this belongs to; None for a root, and for one that is not Python's."""
        from ._context import Context

        with work:
            above = c.parent(self._address())
            handle = c.find(above)
            if not handle:
                return None
            entry = registry.entries.get(handle)
            if entry is not None:
                parent: Context = entry.kind._of(handle, entry.name, entry.detail)
                return parent
            return Context._of(handle, c.get_name(above).decode(errors="backslashreplace"))

    @property
    def reference_count(self) -> int:
        """How many contexts refer to this, besides the parent."""
        with work:
            return int(c.reference_count(self._address()))

    @property
    def total_size(self) -> int:
        """The bytes of this and of all below it."""
        with work:
            return int(c.total_size(self._address()))

    @property
    def total_blocks(self) -> int:
        """The number of chunks, this one, all below it, and references included."""
        with work:
            return int(c.total_blocks(self._address()))

    def free(self) -> None:
        """Frees this and all below it.

        Raises BufferError if bytes of it are in use, ReferencedError if contexts refer to it, and
        VetoError if its destructor refuses; then nothing has changed. In a finalizer or signal
        handler that came in the middle of another operation, the free takes place behind that.
        """
        location = caller()
        with work as depth:
            if depth == 1:
                self._free(location)
                return
            self._address()
            if not work.defers(depth, lambda: self._free(location)):
                self._free(location)

    def _free(self, location: bytes) -> None:
        """Frees this; in the thread's turn."""
        work.changes()
        if registry.exported:
            with work:
                address = self._address()
                if c.reference_count(address):
                    raise ReferencedError(f"{self!r} has more than one owner")
                registry.require_unused_below(address)
        if c.free(self._handle, location):
            raise self._not_let_go()
        if registry.ending:
            registry.forget_ended()

    def __enter__(self: H) -> H:
        with work:
            self._address()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if self.alive:
            self.free()

    def unlink(self, owner: Optional[Context]) -> None:
        """Ends what `owner` has of this: its reference, or else its being the parent. None stands
        for the parent of a root. The last owner to go frees this, as `free()` does."""
        location = caller()
        with work as depth:
            self._address()
            if not work.defers(depth, lambda: self._unlink(owner, location)):
                self._unlink(owner, location)

    def _unlink(self, owner: Optional[Context], location: bytes) -> None:
        with work:
            address = self._address()
            owner_address = None if owner is None else context_address(owner)
            work.changes()
            if not c.reference_count(address):
                if owner_address is not None and c.parent(address) != owner_address:
                    raise ValueError(f"{owner!r} does not own {self!r}")
                registry.require_unused_below(address)
            handle = None if owner is None else owner._handle
            if c.unlink(handle, self._handle, location):
                raise self._not_let_go()
            registry.forget_ended()

    def _not_let_go(self) -> Exception:
        """Says why a free or an unlink failed, right after it."""
        reason = ctypes.get_errno()
        registry.forget_ended()
        if reason == errno.EPERM:
            return VetoError(f"the destructor of {self!r} refused")
        if reason == errno.ESTALE:
            return self._stale()
        if reason == errno.EBUSY:
            return ReferencedError(f"{self!r} has more than one owner")
        return ValueError(f"{self!r} is not owned by this context, or is being freed")

    def reference(self, owner: Context) -> None:
        """Gives this one more owner: it lives until its parent and all such have let go."""
        where = caller()
        with work:
            target = context_address(owner)
            address = self._address()
            work.changes()
            if not c.reference(target, address, where):
                if ctypes.get_errno() == errno.EINVAL:
                    raise VetoError(f"{self!r} is being freed")
                raise MemoryError(f"no memory for a reference to {self!r}")

    def set_destructor(self: H, destructor: Optional[Callable[[H], object]]) -> None:
        """Sets what is called with this when it is about to be freed; None for nothing.

        Returning False keeps it alive: it moves to another owner if its parent goes. An exception
        is reported to `sys.unraisablehook`, and the free goes on. It runs in this
        thread's turn: it must not wait for another thread that uses tmempool.
        """
        if destructor is not None and not callable(destructor):
            raise WrongTypeError(f"a destructor is callable, not {type(destructor).__name__}")
        with work:
            self._address()
            self._enter().destructor = destructor

    def tree(self) -> Node:
        """This and all below it, as it is now."""
        with work:
            return tree_of(self._address())

    def to_dict(self) -> Dict[str, Any]:
        """`tree()` in dicts and lists, fit for JSON."""
        return self.tree().to_dict()

    def _repr_html_(self) -> str:
        """A picture of the tree, by bytes; of what is gone, only that it is."""
        return self.tree()._repr_html_() if self.alive else html.escape(repr(self))

    def report(self) -> str:
        """talloc's report on this and all below it."""
        with work:
            return report_text(self._address())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and self._handle == other._handle

    def __hash__(self) -> int:
        return hash(self._handle)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(f"{type(self).__name__} objects cannot be copied or pickled")

    def __repr__(self) -> str:
        if self.alive:
            return f"<{type(self).__name__} {self._name!r}>"
        return f"<{self._stale()}>"


def context_address(owner: Context) -> int:
    """The address of a context that is to own something; within `work`."""
    from ._context import Context

    if not isinstance(owner, Context):
        raise WrongTypeError(f"an owner is a Context, not {type(owner).__name__}")
    return owner._address()


def any_address(item: Handle) -> int:
    """The address of any object of the package; within `work`."""
    if not isinstance(item, Handle):
        raise WrongTypeError(f"not an object of tmempool: {type(item).__name__}")
    return item._address()
