"""How an operation runs: in its thread's turn, undisturbed by what the interpreter runs in between, and
known by the place that it was called from.

The library lets threads take turns with handles. An operation of several steps keeps its thread's
turn for its whole length. The interpreter may run finalizers and signal handlers between its steps,
in the same thread; a free that comes from there waits for the end of the operation (see `Work`). What
is a single call of the library needs none of this.

A signal handler may also raise an exception between any two steps, as Ctrl-C does. A turn that was taken
is given back all the same: both ends of the `with` blocks are functions of the library itself, so there is
no step of Python's between the turn and the block. How deep the turns lie in each other is counted in the
library, too, and nothing here has to be undone.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

from . import _library as c
from ._errors import StaleContextError

_PACKAGE = str(Path(__file__).parent) + os.sep


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


class Turn:
    """`with turn as depth:` keeps other threads from using handles; in it, the thread may take it again.
    `depth` says how many times it has it now."""

    __slots__ = ()
    __enter__ = c.enter
    __exit__ = c.leave


turn = Turn()


class Work:
    """`with work as depth:` is the length of an operation: it is this thread's turn, and no chunk vanishes
    in it but by what the operation itself does. Frees that had to wait for its end follow it."""

    __slots__ = ("base", "walking", "closed", "_deferred")
    __enter__ = c.enter
    __exit__ = c.counted_leave

    def __init__(self) -> None:
        # How deep the turn was when the destructor was called that runs now; 0 if none does.
        self.base = 0
        self.walking = False
        self.closed = False
        self._deferred: List[Callable[[], None]] = []

    def defers(self, depth: int, job: Callable[[], None]) -> bool:
        """Called in the thread's turn, before an operation that frees: whether `job`, which does it,
        is kept for the end of the operation that this one came in the middle of. A destructor is in
        the middle of none."""
        if depth == 1 or depth == self.base + 1:
            return False
        self._deferred.append(job)
        return True

    def left(self, depth: int, _function: object, _arguments: object) -> None:
        """Called behind each operation, when the thread has its turn `depth` times more."""
        if self._deferred and (depth == 0 or depth == self.base):
            self._catch_up()

    def _catch_up(self) -> None:
        while True:
            try:
                job = self._deferred.pop(0)
            except IndexError:
                return
            with turn:
                try:
                    job()
                except StaleContextError:
                    # It was there when its free was asked for, and has gone with something else.
                    pass
                except Exception:
                    report_unraisable("a free in a finalizer or signal handler", job)

    def changes(self) -> None:
        """Called within an operation that changes a tree."""
        if self.closed:
            raise StaleContextError("the interpreter is ending")
        if self.walking:
            raise RuntimeError("a tree cannot change while it is being listed")


work = Work()
c.counted_leave.errcheck = work.left


_locations: Dict[Tuple[str, int], bytes] = {}


def caller() -> bytes:
    """ "file:line" of the code that called into the package, for the library. That keeps the
    pointer: each place is kept once, for good."""
    try:
        frame: Any = sys._getframe(2)
    except ValueError:
        # Nothing of Python's has called, but C code: an exit handler's list, the start of a thread.
        frame = None
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    place = ("unknown", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)
    location = _locations.get(place)
    if location is None:
        location = _locations.setdefault(place, os.fsencode(f"{place[0]}:{place[1]}"))
    return location
