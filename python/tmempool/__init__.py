"""Memory with owners, for Python: contexts that own buffers, in trees that are freed as one.

Whatever is done with an object whose memory is gone raises `StaleContextError`, and memory that is
in use is not freed.
"""

from ._attach import Process, attach
from ._buffers import Array, Buffer, Record, String
from ._caches import Cache, CacheObject, CacheStats, release_free_memory, slabinfo
from ._context import Context, GrowingPool, Pool, SharedContext
from ._errors import (
    AttachError,
    ReferencedError,
    StaleContextError,
    TmempoolError,
    VetoError,
    WrongTypeError,
)
from ._genpool import Fit, GenPool, Range
from ._handle import Handle
from ._mempool import Element, Mempool
from ._snapshot import Diff, Growth, Snapshot, snapshot
from ._tree import Node

__version__ = "0.1.0"

__all__ = [
    "Array",
    "AttachError",
    "Buffer",
    "Cache",
    "CacheObject",
    "CacheStats",
    "Context",
    "Diff",
    "Element",
    "Fit",
    "GenPool",
    "Growth",
    "GrowingPool",
    "Handle",
    "Mempool",
    "Node",
    "Pool",
    "Process",
    "Range",
    "Record",
    "ReferencedError",
    "SharedContext",
    "Snapshot",
    "StaleContextError",
    "String",
    "TmempoolError",
    "VetoError",
    "WrongTypeError",
    "attach",
    "release_free_memory",
    "slabinfo",
    "snapshot",
]
