"""What Python knows of chunks: which are alive, who uses their bytes, and how they end.

Each chunk made from Python has an `Entry`, a record of one generation that is never used for
another chunk; objects hold entries, never addresses. One C destructor, set on every such chunk,
retires its entry, whoever frees the chunk and through whichever ancestor. So an address is only
used while its entry is alive.

One lock is held for the length of each operation, with the library's calls in it, as a tree is to
be used by one thread at a time. The interpreter may run finalizers and signal handlers in the
middle of an operation, in the same thread; a free that comes from there waits for the end of the
operation (see `Work`).

A chunk's bytes are handed out through `Entry.memory` only, a ctypes array whose reference count
says whether anybody still has them: views, ctypes structures and numpy arrays all keep it alive.
Weak references would not do, as finalizers may run after they are cleared.
"""

from __future__ import annotations

import atexit
import ctypes
import itertools
import os
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Dict, List, Optional, Set, Type

from . import _library as c
from ._errors import StaleContextError

_PACKAGE = str(Path(__file__).parent)
_generations = itertools.count(1)

# The name of a chunk whose destructor has run: the name that it had may go before its memory does.
_DYING_NAME = b"(being freed)"


class Entry:
    """One chunk, from its making to long after its end."""

    __slots__ = (
        "generation", "address", "name", "c_name", "kind", "detail",
        "memory", "size", "destructor", "destructing", "refused", "freed_at",
    )

    def __init__(self, kind: Type[Any], name: str, c_name: bytes, detail: object) -> None:
        self.generation = next(_generations)
        self.address = 0
        self.name = name
        # The library keeps a pointer to these bytes as the chunk's name.
        self.c_name = c_name
        self.kind = kind
        self.detail = detail
        self.size = 0
        self.memory: Optional[ctypes.Array[ctypes.c_ubyte]] = None
        self.destructor: Optional[Callable[[Any], object]] = None
        self.destructing = False
        self.refused = False
        self.freed_at: Optional[str] = None

    def check(self) -> int:
        """The address of the live chunk."""
        if self.freed_at is not None:
            raise StaleContextError(f"{self.kind.__name__} {self.name!r} was freed {self.freed_at}")
        return self.address

    def bytes_in_place(self) -> ctypes.Array[ctypes.c_ubyte]:
        """The chunk's bytes; it cannot be freed while the result, or what is made from it, lives."""
        address = self.check()
        if self.memory is None:
            self.memory = (ctypes.c_ubyte * self.size).from_address(address)
        exported.add(self)
        return self.memory


def _count(entry: Entry) -> int:
    return sys.getrefcount(entry.memory)


def _unused_count() -> int:
    entry = Entry(Entry, "", b"", None)
    entry.memory = (ctypes.c_ubyte * 1)()
    return _count(entry)


_UNUSED = _unused_count()


def in_use(entry: Entry) -> bool:
    """Whether somebody has the bytes of `entry`."""
    return entry.memory is not None and _count(entry) > _UNUSED


# Live entries by address.
live: Dict[int, Entry] = {}
# Entries from before the allocation to after the registration. One that an interrupt kept from being
# registered stays, as its chunk has its name.
in_the_making: Set[Entry] = set()
# All live entries whose bytes are in use, and others.
exported: Set[Entry] = set()


class Work:
    """`with work:` is the length of an operation: it holds the lock, and no chunk vanishes in it
    but by what the operation itself does."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.depth = 0
        self.walking = False
        self.closed = False
        # Where the free under way was called; None for one that does not come from Python.
        self.where: Optional[str] = None
        self._deferred: List[Callable[[], None]] = []

    def __enter__(self) -> None:
        self.lock.acquire()
        self.depth += 1

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.depth -= 1
        try:
            while self._deferred and self.depth == 0:
                job = self._deferred.pop(0)
                try:
                    job()
                except Exception:
                    report_unraisable("a free in a finalizer or signal handler", job)
        finally:
            self.lock.release()

    def defers(self, job: Callable[[], None]) -> bool:
        """Called with the lock held, before an operation that frees: whether `job`, which does it,
        is kept for the end of the operation that this one came in the middle of."""
        if self.depth == 0:
            return False
        self._deferred.append(job)
        return True

    def changes(self) -> None:
        """Called within an operation that changes a tree."""
        if self.closed:
            raise StaleContextError("the interpreter is ending")
        if self.walking:
            raise RuntimeError("a tree cannot change while it is being listed")


work = Work()


class _Report:
    """Raises what is to be reported out of a C callback: there the interpreter itself reports it."""

    def __init__(self, error: BaseException, message: str, subject: object) -> None:
        self.error = error
        self.message = message
        self.subject = subject

    def __repr__(self) -> str:
        return f"{self.message}: {self.subject!r}"

    def __call__(self) -> None:
        raise self.error


def report_unraisable(message: str, subject: object) -> None:
    """Gives the exception at hand to `sys.unraisablehook`."""
    error = sys.exc_info()[1]
    if error is not None:
        c.Callback(_Report(error, message, subject))()


def caller() -> str:
    """ "file:line" of the code that called into the package."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return "unknown" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


_locations: Dict[str, bytes] = {}


def c_location(where: str) -> bytes:
    """`where` for the library, which keeps the pointer: each place is kept once, for good."""
    return _locations.setdefault(where, os.fsencode(where))


def _run_destructor(entry: Entry) -> bool:
    """Runs the Python destructor; whether it agrees. It may use everything, freeing included."""
    destructor = entry.destructor
    if destructor is None:
        return True
    depth, where = work.depth, work.where
    work.depth, work.where = 0, None
    entry.destructing = True
    try:
        return destructor(entry.kind._of(entry)) is not False
    except BaseException:
        report_unraisable("a destructor", destructor)
        return True
    finally:
        entry.destructing = False
        work.depth, work.where = depth, where


def _end(address: int) -> int:
    with work.lock:
        # Without `work`: deferred frees are not to run inside this one.
        work.depth += 1
        try:
            entry = live.get(address)
            if entry is None:
                return 0
            if in_use(entry) or not _run_destructor(entry):
                entry.refused = True
                return -1
            # First the end of what can be handed out, then the question whether anything was.
            entry.freed_at = f"at {work.where}" if work.where else "from C"
            if in_use(entry):
                entry.freed_at = None
                entry.refused = True
                return -1
            c.set_name_const(address, _DYING_NAME)
            del live[address]
            exported.discard(entry)
            entry.memory = None
            entry.destructor = None
            return 0
        finally:
            work.depth -= 1


def _destructor_body(address: Optional[int]) -> int:
    try:
        return _end(address or 0)
    except BaseException:
        # An interrupt between two steps: what is not known to be unused is kept.
        report_unraisable("the end of a chunk", address)
        return 0 if (address or 0) not in live else -1


_destructor = c.Destructor(_destructor_body)
_destructor_address = ctypes.cast(_destructor, ctypes.c_void_p).value


def register(entry: Entry, address: Optional[int], size: int) -> Entry:
    """Makes `entry` the record of the new chunk at `address`; within `work`."""
    if not address:
        in_the_making.discard(entry)
        raise MemoryError(f"no memory for {entry.name!r} ({size} bytes)")
    ctypes.set_errno(0)
    c.set_destructor(address, _destructor_address)
    if ctypes.get_errno():
        c.free(address, None)
        raise MemoryError(f"no memory for the destructor of {entry.name!r}")
    entry.address = address
    entry.size = size
    live[address] = entry
    in_the_making.discard(entry)
    return entry


def require_unused_below(address: int) -> None:
    """BufferError if bytes of the chunk at `address` or of one below it are in use."""
    for entry in list(exported):
        # A finalizer may ask for the bytes at any moment: what is in use then is listed again.
        exported.discard(entry)
        if not in_use(entry):
            continue
        exported.add(entry)
        if c.is_parent(entry.address, address):
            raise BufferError(f"the memory of {entry.kind.__name__} {entry.name!r} is in use")


def _shut_down() -> None:
    """At exit, chunks live on without Python: with no destructor, and with names of their own."""
    with work:
        work.closed = True
        for address, entry in live.items():
            c.set_destructor(address, None)
            c.set_name(address, b"%s", entry.c_name)
            entry.freed_at = "from Python: the interpreter is ending"
        live.clear()


atexit.register(_shut_down)
os.register_at_fork(
    before=work.lock.acquire,
    after_in_parent=work.lock.release,
    after_in_child=work.lock.release,
)
