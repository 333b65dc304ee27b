"""Memory with owners, for Python: contexts that own buffers, in trees that are freed as one.

Whatever is done with an object whose memory is gone raises `StaleContextError`, and memory that is
in use is not freed.
"""

from ._buffers import Array, Buffer, Record, String
from ._context import Context, Pool
from ._errors import (
    ReferencedError,
    StaleContextError,
    TmempoolError,
    VetoError,
    WrongTypeError,
)
from ._handle import Handle
from ._snapshot import Diff, Growth, Snapshot, snapshot
from ._tree import Node

__all__ = [
    "Array",
    "Buffer",
    "Context",
    "Diff",
    "Growth",
    "Handle",
    "Node",
    "Pool",
    "Record",
    "ReferencedError",
    "Snapshot",
    "StaleContextError",
    "String",
    "TmempoolError",
    "VetoError",
    "WrongTypeError",
    "snapshot",
]
