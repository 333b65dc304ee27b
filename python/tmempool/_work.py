"""How an operation runs: in its thread's turn, undisturbed by what the interpreter runs in between, and
known by the place that it was called from.

The library lets threads take turns with handles. An operation of several steps keeps its thread's
turn for its whole length. The interpreter may run finalizers and signal handlers between its steps,
in the same thread; a free that comes from there waits for the end of the operation (see `Work`). What
is a single call of the library needs none of this.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Dict, List, Optional, Tuple, Type

from . import _library as c
from ._errors import StaleContextError

_PACKAGE = str(Path(__file__).parent)


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
    """`with turn:` keeps other threads from using handles; in it, the thread may take it again."""

    def __enter__(self) -> None:
        c.lock()

    def __exit__(self, *_: object) -> None:
        c.unlock()


turn = Turn()


class Work:
    """`with work:` is the length of an operation of several steps: it is this thread's turn, and no
    chunk vanishes in it but by what the operation itself does."""

    def __init__(self) -> None:
        self.depth = 0
        self.walking = False
        self.closed = False
        self._deferred: List[Callable[[], None]] = []

    def __enter__(self) -> None:
        c.lock()
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
                except StaleContextError:
                    # It was there when its free was asked for, and has gone with something else.
                    pass
                except Exception:
                    report_unraisable("a free in a finalizer or signal handler", job)
        finally:
            c.unlock()

    def defers(self, job: Callable[[], None]) -> bool:
        """Called in the thread's turn, before an operation that frees: whether `job`, which does it,
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


_locations: Dict[Tuple[str, int], bytes] = {}


def caller() -> bytes:
    """ "file:line" of the code that called into the package, for the library. That keeps the
    pointer: each place is kept once, for good."""
    frame: Any = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    place = ("unknown", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)
    location = _locations.get(place)
    if location is None:
        location = _locations.setdefault(place, os.fsencode(f"{place[0]}:{place[1]}"))
    return location
