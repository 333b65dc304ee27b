"""What contexts and buffers have in common: owners, an end, and a place in a tree.

A handle owns nothing: dropping it frees nothing, and any number of handles can stand for one
chunk. They compare equal then.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Callable, Dict, NoReturn, Optional, SupportsIndex, Type, TypeVar

from . import _library as c
from . import _registry as registry
from ._errors import ReferencedError, VetoError, WrongTypeError
from ._registry import Entry, work
from ._tree import Node, report_text, tree_of

if TYPE_CHECKING:
    from ._context import Context

H = TypeVar("H", bound="Handle")


def encode(text: str, what: str) -> bytes:
    """`text` as the bytes of a C string."""
    if not isinstance(text, str):
        raise WrongTypeError(f"{what} is a str, not {type(text).__name__}")
    if "\0" in text:
        raise ValueError(f"{what} cannot contain a NUL character")
    return text.encode()


def size_of(count: SupportsIndex, item: int = 1) -> int:
    """`count` items in bytes, checked for what the library can allocate."""
    number = operator.index(count)
    if number < 0:
        raise ValueError(f"a size cannot be negative: {number}")
    if number * item >= c.MAX_SIZE:
        raise MemoryError(f"{number * item} bytes: an object is less than {c.MAX_SIZE}")
    return number * item


class Handle:
    """A chunk of memory with a name and owners."""

    __slots__ = ("_entry", "__weakref__")
    _entry: Entry

    def __init__(self) -> None:
        raise WrongTypeError(f"a {type(self).__name__} is made by a method of Context")

    @classmethod
    def _of(cls: Type[H], entry: Entry) -> H:
        self = object.__new__(cls)
        self._entry = entry
        return self

    @property
    def name(self) -> str:
        """The name; also of what is freed."""
        return self._entry.name

    @property
    def generation(self) -> int:
        """A number that no other chunk of the process had or will have."""
        return self._entry.generation

    @property
    def alive(self) -> bool:
        """Whether the memory is still there."""
        return self._entry.freed_at is None

    @property
    def parent(self) -> Optional[Context]:
        """The context that this belongs to; None for a root, and for one that is not Python's."""
        with work:
            address = c.parent(self._entry.check())
            entry = registry.live.get(address) if address else None
            return None if entry is None else entry.kind._of(entry)

    @property
    def reference_count(self) -> int:
        """How many contexts refer to this, besides the parent."""
        with work:
            return int(c.reference_count(self._entry.check()))

    @property
    def total_size(self) -> int:
        """The bytes of this and of all below it."""
        with work:
            return int(c.total_size(self._entry.check()))

    @property
    def total_blocks(self) -> int:
        """The number of chunks, this one, all below it, and references included."""
        with work:
            return int(c.total_blocks(self._entry.check()))

    def free(self) -> None:
        """Frees this and all below it.

        Raises BufferError if bytes of it are in use, ReferencedError if contexts refer to it, and
        VetoError if its destructor refuses; then nothing has changed. In a finalizer or signal
        handler that came in the middle of another operation, the free takes place behind that.
        """
        where = registry.caller()
        with work.lock:
            self._entry.check()
            if not work.defers(lambda: self._free(where)):
                self._free(where)

    def _free(self, where: str) -> None:
        with work:
            address = self._entry.check()
            work.changes()
            if c.reference_count(address):
                raise ReferencedError(f"{self!r} has more than one owner")
            registry.require_unused_below(address)
            location = registry.c_location(where)
            self._let_go(lambda: c.free(address, location), where)

    def unlink(self, owner: Optional[Context]) -> None:
        """Ends what `owner` has of this: its reference, or else its being the parent. None stands
        for the parent of a root. The last owner to go frees this, as `free()` does."""
        where = registry.caller()
        with work.lock:
            self._entry.check()
            if not work.defers(lambda: self._unlink(owner, where)):
                self._unlink(owner, where)

    def _unlink(self, owner: Optional[Context], where: str) -> None:
        with work:
            address = self._entry.check()
            owner_address = None if owner is None else context_entry(owner).check()
            work.changes()
            if not c.reference_count(address):
                if owner_address is not None and c.parent(address) != owner_address:
                    raise ValueError(f"{owner!r} does not own {self!r}")
                registry.require_unused_below(address)
            self._let_go(lambda: c.unlink(owner_address, address), where)

    def _let_go(self, verb: Callable[[], int], where: str) -> None:
        outer, work.where = work.where, where
        self._entry.refused = False
        try:
            failed = verb()
        finally:
            work.where = outer
        if failed:
            if self._entry.refused or self._entry.destructing:
                raise VetoError(f"the destructor of {self!r} refused")
            raise ValueError(f"{self!r} is not owned by this context, or is being freed")

    def reference(self, owner: Context) -> None:
        """Gives this one more owner: it lives until its parent and all such have let go."""
        where = registry.c_location(registry.caller())
        with work:
            target = context_entry(owner).check()
            address = self._entry.check()
            work.changes()
            if self._entry.destructing:
                raise VetoError(f"{self!r} is being freed")
            if not c.reference(target, address, where):
                raise MemoryError(f"no memory for a reference to {self!r}")

    def set_destructor(self: H, destructor: Optional[Callable[[H], object]]) -> None:
        """Sets what is called with this when it is about to be freed; None for nothing.

        Returning False keeps it alive: it moves to another owner if its parent goes. An exception
        is reported to `sys.unraisablehook`, and the free goes on. It runs with the package's lock
        held: it must not wait for another thread that uses tmempool.
        """
        if destructor is not None and not callable(destructor):
            raise WrongTypeError(f"a destructor is callable, not {type(destructor).__name__}")
        with work:
            self._entry.check()
            self._entry.destructor = destructor

    def tree(self) -> Node:
        """This and all below it, as it is now."""
        with work:
            return tree_of(self._entry.check())

    def to_dict(self) -> Dict[str, Any]:
        """`tree()` in dicts and lists, fit for JSON."""
        return self.tree().to_dict()

    def report(self) -> str:
        """talloc's report on this and all below it."""
        with work:
            return report_text(self._entry.check())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and self._entry is other._entry

    def __hash__(self) -> int:
        return self._entry.generation

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(f"{type(self).__name__} objects cannot be copied or pickled")

    def __repr__(self) -> str:
        end = "" if self.alive else f", freed {self._entry.freed_at}"
        return f"<{type(self).__name__} {self.name!r}{end}>"


def context_entry(owner: Context) -> Entry:
    """The entry of a context that is to own something."""
    from ._context import Context

    if not isinstance(owner, Context):
        raise WrongTypeError(f"an owner is a Context, not {type(owner).__name__}")
    return owner._entry


def handle_entry(item: Handle) -> Entry:
    """The entry of any object of the package."""
    if not isinstance(item, Handle):
        raise WrongTypeError(f"not an object of tmempool: {type(item).__name__}")
    return item._entry
