"""The functions of Samba's `talloc` module, with the objects of this package."""

from __future__ import annotations

import sys
from typing import Optional

from . import _library as c
from ._handle import Handle, any_address
from ._tree import report_text
from ._work import work

__all__ = [
    "disable_null_tracking",
    "enable_null_tracking",
    "report_full",
    "total_blocks",
]


def report_full(obj: Optional[Handle] = None) -> None:
    """Prints talloc's report on `obj`; without one, on all there is, if that is tracked."""
    with work:
        text = report_text(None if obj is None else any_address(obj))
    sys.stdout.write(text)


def total_blocks(obj: Optional[Handle] = None) -> int:
    """The number of chunks of `obj`'s tree; without one, of all trees, 0 if not tracked."""
    with work:
        return int(c.total_blocks(None if obj is None else any_address(obj)))


def enable_null_tracking() -> None:
    """From now on roots are known to reports on everything, as the children of one context."""
    with work:
        work.changes()
        c.enable_null_tracking()


def disable_null_tracking() -> None:
    """Ends `enable_null_tracking()`; what was tracked is a root again."""
    with work:
        work.changes()
        c.disable_null_tracking()
