"""What Python knows of chunks: which are alive, who uses their bytes, and how they end.

An object holds a handle: a number that the library gives to one chunk and never to another, and that
it knows to have ended when the chunk is freed, whoever frees it and through whichever ancestor (see
`tm_handle_new()` in tmempool.h). So nothing else is kept for most objects. An `Entry` is made for a
chunk that has a destructor of Python's, whose bytes somebody has, or whose class must be known; the
library then asks here before it frees the chunk.

A chunk's bytes are handed out through `Entry.memory` only, a ctypes array whose reference count
says whether anybody still has them: views, ctypes structures and numpy arrays all keep it alive.
Weak references alone would not do, as finalizers may run after they are cleared; but they, too, lead to
the array, so before the bytes go, the array is let go, and looked for through one.
"""

from __future__ import annotations

import atexit
import ctypes
import errno
import os
import sys
import weakref
from typing import Any, Callable, Dict, List, Optional, Set, Type

from . import _library as c
from ._errors import StaleContextError, TmempoolError
from ._work import report_unraisable, turn, work

if "entries" in globals():
    raise ImportError("tmempool cannot be reloaded: what it knows of its objects would be lost")


class Entry:
    """What is kept for a chunk that the library asks about before its end."""

    __slots__ = (
        "handle", "name", "kind", "detail", "memory", "parts", "lent", "users", "out", "kept",
        "destructor", "ended",
    )

    def __init__(self, handle: int, kind: Type[Any], name: str, detail: object) -> None:
        self.handle = handle
        self.kind = kind
        self.name = name
        self.detail = detail
        self.memory: Optional[ctypes.Array[ctypes.c_ubyte]] = None
        # What it has handed out of itself: objects with a `memory` of their own.
        self.parts: Set[Any] = set()
        # The same, but their use does not keep the chunk: they let go of the memory at its end.
        self.lent: Optional[weakref.WeakSet[Any]] = None
        # How many pieces are out, for who counts them here.
        self.out = 0
        # What is to live as long as the chunk.
        self.kept: List[Any] = []
        # How many threads wait for something of it, in the library.
        self.users = 0
        self.destructor: Optional[Callable[[Any], object]] = None
        # Set when the free has been agreed to: nothing is handed out any more.
        self.ended = False


def _count(owner: Any) -> int:
    return sys.getrefcount(owner.memory)


def _unused_count() -> int:
    entry = Entry(0, Entry, "", None)
    entry.memory = (ctypes.c_ubyte * 1)()
    return _count(entry)


_UNUSED = _unused_count()

# What the library is told when it asks whether a chunk may be freed.
_LET_GO, _KEEP = 1, 0

# How deep turns may lie in each other, four for each destructor that frees: the stack of C has an end, too,
# wherever `sys.setrecursionlimit()` sees that of Python's.
_DEEPEST = 1000


def memory_in_use(owner: Any) -> bool:
    """Whether somebody has the bytes that `owner.memory` hands out."""
    return owner.memory is not None and _count(owner) > _UNUSED


def withdraw(owner: Any) -> bool:
    """Lets go of `owner.memory`, so that nothing leads to it, unless somebody has the bytes. Says whether
    nobody has."""
    if owner.memory is None:
        return True
    if memory_in_use(owner):
        return False
    ref = weakref.ref(owner.memory)
    owner.memory = None
    # Somebody may have followed such a reference since; nobody can from here on.
    owner.memory = ref()
    return owner.memory is None


def in_use(entry: Entry) -> bool:
    """Whether somebody has the bytes of `entry`, or of what it has handed out."""
    if entry.parts:
        # Taken off first: a finalizer may add one at any moment.
        for part in list(entry.parts):
            entry.parts.discard(part)
            if not withdraw(part):
                entry.parts.add(part)
                return True
    return entry.users > 0 or memory_in_use(entry)


# The process has one watcher. If the package was imported before, and then taken from `sys.modules`, that one
# knows the objects of then, and goes on being asked about them.
_PROCESS: Any = sys
_asked_before: Optional[Callable[[int], bool]] = getattr(_PROCESS, "_tmempool_asked", None)

# Entries by their handles.
entries: Dict[int, Entry] = {}
# Handles that have been agreed to end.
ending: List[int] = []
# All entries whose bytes are in use, and others.
exported: Set[Entry] = set()


def stale(kind: str, name: str, handle: int) -> StaleContextError:
    """Says what became of the chunk behind `handle`."""
    location = ctypes.c_char_p()
    verdict = c.ended(handle, None, ctypes.byref(location))
    if verdict < 0:
        fate = "was freed long ago"
    elif verdict == 0:
        fate = "the interpreter is ending" if work.closed else "it is being freed"
        fate = f"cannot be used: {fate}"
    elif location.value is None:
        fate = "was freed from C"
    else:
        fate = f"was freed at {os.fsdecode(location.value)}"
    return StaleContextError(f"{kind} {name!r} {fate}")


def _run_destructor(entry: Entry, depth: int) -> bool:
    """Runs the Python destructor; whether it agrees. It may use everything, freeing included."""
    destructor = entry.destructor
    if destructor is None:
        return True
    outer, work.base = work.base, depth
    try:
        return destructor(entry.kind._of(entry.handle, entry.name, entry.detail)) is not False
    except BaseException:
        report_unraisable("a destructor", destructor)
        return True
    finally:
        work.base = outer


def _agree(handle: int) -> bool:
    """Whether the chunk of `handle` may be freed: the library asks, and frees it if so."""
    # Without `work`: frees that had to wait are not to run inside this one.
    with turn as depth:
        if depth > _DEEPEST:
            raise RecursionError("destructors that free what has destructors lie too deep in each other")
        entry = entries.get(handle)
        if entry is None:
            return _asked_before is None or _asked_before(handle)
        if in_use(entry) or not _run_destructor(entry, depth):
            return False
        # First the end of what can be handed out, then the question whether anything was.
        entry.ended = True
        if in_use(entry) or not withdraw(entry):
            entry.ended = False
            return False
        # The entry stays until the handle has ended: else one more could be made meanwhile.
        ending.append(handle)
        exported.discard(entry)
        entry.destructor = None
        entry.kept = []
        for part in entry.lent or ():
            part.memory = None
        return True


def _watcher_body(handle: int) -> int:
    try:
        return _LET_GO if _agree(handle) else _KEEP
    except BaseException:
        # An interrupt between two steps: what is not known to be unused is kept, as it also is when
        # the interrupt comes outside of this block.
        report_unraisable("the end of a chunk", handle)
        if handle in ending:
            return _LET_GO
        entry = entries.get(handle)
        if entry is not None:
            entry.ended = False
        return _KEEP


_watcher = c.Watcher(_watcher_body)
c.set_watcher(ctypes.cast(_watcher, ctypes.c_void_p))
_PROCESS._tmempool_asked = _agree


def forget_ended() -> None:
    """Lets go of the entries whose handles have ended; in the thread's turn."""
    for _ in range(len(ending)):
        handle = ending.pop()
        if c.get(handle):
            ending.append(handle)
            return
        entries.pop(handle, None)


def enter(handle: int, kind: Type[Any], name: str, detail: object) -> Entry:
    """The entry for `handle`, made now if there is none; within `work`."""
    entry = entries.get(handle)
    if entry is None:
        entry = entries[handle] = Entry(handle, kind, name, detail)
        if work.closed or c.watch(handle, 1):
            del entries[handle]
            if ctypes.get_errno() == errno.EBUSY and not work.closed:
                raise TmempoolError(f"C code has set a destructor on {kind.__name__} {name!r}")
            raise stale(kind.__name__, name, handle)
    elif entry.ended or work.closed:
        raise stale(kind.__name__, name, handle)
    return entry


def bytes_in_place(entry: Entry) -> ctypes.Array[ctypes.c_ubyte]:
    """The chunk's bytes; it cannot be freed while the result, or what is made from it, lives.
    Within `work`."""
    if entry.memory is None:
        address = c.get(entry.handle)
        if not address:
            raise stale(entry.kind.__name__, entry.name, entry.handle)
        entry.memory = (ctypes.c_ubyte * c.get_size(address)).from_address(address)
    exported.add(entry)
    return entry.memory


def require_unused_below(address: int) -> None:
    """BufferError if bytes of the chunk at `address` or of one below it are in use; within `work`."""
    for entry in list(exported):
        # A finalizer may ask for the bytes at any moment: what is in use then is listed again.
        exported.discard(entry)
        if not in_use(entry):
            continue
        exported.add(entry)
        own = c.get(entry.handle)
        if own and c.is_parent(own, address):
            raise BufferError(f"the memory of {entry.kind.__name__} {entry.name!r} is in use")


def _shut_down() -> None:
    """At exit, chunks live on without Python: nobody is asked about their end.

    The turn is kept for good: the interpreter is about to end its daemon threads wherever they stand,
    and one that ended in its turn would keep this thread waiting."""
    c.lock()
    work.closed = True
    c.set_watcher(None)
    # It would keep all objects until nothing can be called any more.
    _PROCESS._tmempool_asked = None


atexit.register(_shut_down)
os.register_at_fork(
    before=c.lock,
    after_in_parent=c.unlock,
    after_in_child=c.unlock,
)
