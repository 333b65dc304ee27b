"""Finds libtmempool.so, loads it, and declares what the package calls.

The library is looked for in the package folder (an installed wheel), in target/dist/lib of the
source tree, or of what CARGO_TARGET_DIR says is target, and then by the system's loader. Every call drops the GIL.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p, py_object
from pathlib import Path
from typing import Any, Tuple

if sys.implementation.name != "cpython" or not getattr(sys, "_is_gil_enabled", lambda: True)():
    raise ImportError("tmempool needs CPython with the GIL: it counts the users of its buffers")


def _in_main_interpreter() -> bool:
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            interpreters = importlib.import_module(name)
        except ImportError:
            continue
        return bool(interpreters.get_current() == interpreters.get_main())
    return True


if not _in_main_interpreter():
    raise ImportError("tmempool works in the main interpreter only: C calls destructors there")


_HERE = Path(__file__).resolve().parent


def places(name: str, folder: str) -> Tuple[Path, Path]:
    """Where a file lies that comes with the package, and where `make` puts it, in the source tree or where
    CARGO_TARGET_DIR says: in a folder of dist."""
    target = _HERE.parents[1] / (os.environ.get("CARGO_TARGET_DIR") or "target")
    return _HERE / name, target / "dist" / folder / Path(name).name


def carried(name: str, folder: str) -> str:
    """The path of a file that is in one of its `places()`; if in neither, its name."""
    for path in places(name, folder):
        if path.is_file():
            return str(path)
    return name


def _path() -> str:
    path = carried("libtmempool.so", "lib")
    return path if "/" in path else "libtmempool.so.0"


def _load(path: str, use_errno: bool) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(path, use_errno=use_errno)
    except OSError as error:
        raise ImportError(
            f"libtmempool.so is neither in {_HERE}, nor in target/dist/lib of a source tree, nor known to "
            f"the system's loader: {error}"
        ) from None


library = _load(_path(), use_errno=False)
# The same library, for what tells by errno why it failed; that costs each call something.
telling = _load(_path(), use_errno=True)
libc = ctypes.CDLL(None, use_errno=True)

# A handle has 64 bits. Where pointers have as many, ctypes passes those quicker.
HandleType: Any = c_void_p if ctypes.sizeof(c_void_p) == 8 else c_uint64

Callback = CFUNCTYPE(None)
Visitor = CFUNCTYPE(None, c_void_p, c_int, c_int, c_int, c_void_p)
Watcher = CFUNCTYPE(c_int, c_uint64)


def _declare(function: Any, result: Any, *arguments: Any) -> Any:
    function.restype = result
    function.argtypes = arguments
    return function


# Handles: numbers that stand for chunks, and tell when those are gone.
new = _declare(library.tm_handle_new, HandleType, HandleType, c_size_t, c_char_p)
copy = _declare(library.tm_handle_copy, HandleType, HandleType, c_char_p, c_size_t, c_char_p)
handle_of = _declare(library.tm_handle_of, HandleType, c_void_p, c_char_p)
find = _declare(library.tm_handle_find, HandleType, c_void_p)
get = _declare(library.tm_handle_get, c_void_p, HandleType)
free = _declare(telling.tm_handle_free, c_int, HandleType, c_char_p)
reset = _declare(telling.tm_handle_reset, c_int, HandleType, c_char_p)
unlink = _declare(telling.tm_handle_unlink, c_int, HandleType, HandleType, c_char_p)
ended = _declare(
    library.tm_handle_ended, c_int, HandleType, POINTER(c_char_p), POINTER(c_char_p)
)
watch = _declare(telling.tm_handle_watch, c_int, HandleType, c_int)
set_watcher = _declare(library.tm_handle_set_watcher, None, c_void_p)
lock = _declare(library.tm_handle_lock, c_int)
unlock = _declare(library.tm_handle_unlock, c_int)
# The same as the two ends of a `with` block. The last passes three arguments on, which C functions without
# any let lie. The first is given one that nobody reads: to convert it needs as much of the call stack as
# the end will, so that a block which could be begun can be ended. `leave` says nothing, as what such an end
# returns decides whether an exception goes on.
_Enter = CFUNCTYPE(c_int, py_object)
_Leave = CFUNCTYPE(None, py_object, py_object, py_object)
_CountedLeave = CFUNCTYPE(c_int, py_object, py_object, py_object)
enter: Any = _Enter(("tm_handle_lock", library), ((1, "unread", None),))
leave: Any = _Leave(("tm_handle_unlock", library))
counted_leave: Any = _CountedLeave(("tm_handle_unlock", library))
handle_roots = _declare(library.tm_handle_roots, c_size_t, POINTER(c_uint64), c_size_t)

# Chunks, by their addresses.
free_chunk = _declare(library._talloc_free, c_int, c_void_p, c_char_p)
pool = _declare(library.talloc_pool, c_void_p, c_void_p, c_size_t)
growing_pool = _declare(library.tm_pool_growable, c_void_p, c_void_p, c_size_t, c_size_t)
shared_context = _declare(library.tm_shared_context, c_void_p, c_void_p, c_char_p)
shared_pool = _declare(library.tm_shared_pool, c_void_p, c_void_p, c_size_t)
set_keep = _declare(library.tm_pool_set_keep, c_int, c_void_p, c_size_t)
steal = _declare(telling._talloc_steal_loc, c_void_p, c_void_p, c_void_p, c_char_p)
reference = _declare(telling._talloc_reference_loc, c_void_p, c_void_p, c_void_p, c_char_p)
reference_count = _declare(library.talloc_reference_count, c_size_t, c_void_p)
parent = _declare(library.talloc_parent, c_void_p, c_void_p)
is_parent = _declare(library.talloc_is_parent, c_int, c_void_p, c_void_p)
get_size = _declare(library.talloc_get_size, c_size_t, c_void_p)
get_name = _declare(library.talloc_get_name, c_char_p, c_void_p)
total_size = _declare(library.talloc_total_size, c_size_t, c_void_p)
total_blocks = _declare(library.talloc_total_blocks, c_size_t, c_void_p)
enable_null_tracking = _declare(library.talloc_enable_null_tracking, None)
disable_null_tracking = _declare(library.talloc_disable_null_tracking, None)
visit = _declare(library.talloc_report_depth_cb, None, c_void_p, c_int, c_int, Visitor, c_void_p)
report_to = _declare(
    library.talloc_report_depth_file, None, c_void_p, c_int, c_int, c_void_p
)

class CacheNumbers(ctypes.Structure):
    """struct tm_cache_stats"""

    _fields_ = [
        (name, c_size_t)
        for name in (
            "object_size", "stride", "slab_size", "objects_per_slab", "active", "total", "peak",
            "cached", "slabs_partial", "slabs_full", "slabs_empty", "allocations", "frees",
            "failures", "magazine_hits",
        )
    ]


# Caches, reserves and managed ranges.
cache_create = _declare(
    telling.tm_cache_create, c_void_p,
    c_void_p, c_char_p, c_size_t, c_size_t, c_uint, c_void_p, c_void_p,
)
cache_alloc = _declare(library.tm_cache_alloc, c_void_p, c_void_p)
cache_free = _declare(library.tm_cache_free, None, c_void_p, c_void_p)
cache_shrink = _declare(library.tm_cache_shrink, c_size_t, c_void_p)
cache_stats = _declare(library.tm_cache_stats, c_int, c_void_p, POINTER(CacheNumbers))
mempool_create_cache = _declare(
    telling.tm_mempool_create_cache, c_void_p, c_void_p, c_size_t, c_void_p
)
mempool_alloc_timeout = _declare(telling.tm_mempool_alloc_timeout, c_void_p, c_void_p, c_uint64)
mempool_free = _declare(library.tm_mempool_free, None, c_void_p, c_void_p)
mempool_resize = _declare(library.tm_mempool_resize, c_int, c_void_p, c_size_t)
genpool_create = _declare(telling.tm_genpool_create, c_void_p, c_void_p, c_uint)
genpool_add = _declare(telling.tm_genpool_add, c_int, c_void_p, c_void_p, c_size_t)
genpool_alloc = _declare(
    telling.tm_genpool_alloc_algo, c_void_p, c_void_p, c_size_t, c_int, c_size_t
)
genpool_alloc_fixed = _declare(
    telling.tm_genpool_alloc_fixed, c_void_p, c_void_p, c_void_p, c_size_t
)
genpool_free = _declare(library.tm_genpool_free, c_int, c_void_p, c_void_p, c_size_t)
genpool_avail = _declare(library.tm_genpool_avail, c_size_t, c_void_p)
genpool_size = _declare(library.tm_genpool_size, c_size_t, c_void_p)
slabinfo = _declare(library.tm_slabinfo, None, c_void_p)
release_free_memory = _declare(library.tm_release_free_memory, c_size_t)

open_memstream = _declare(libc.open_memstream, c_void_p, c_void_p, c_void_p)
fclose = _declare(libc.fclose, c_int, c_void_p)
libc_free = _declare(libc.free, None, c_void_p)

CACHE_ZERO_ON_FREE = 2
CACHE_ZERO_ON_ALLOC = 4

# Chunks of this size and above are refused by the library.
MAX_SIZE = 0x1000_0000
# Objects of caches have no more bytes than this.
MAX_OBJECT = 4_128_768
