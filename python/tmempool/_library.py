"""Finds libtmempool.so, loads it, and declares what the package calls.

The library is looked for in the package folder (an installed wheel), in target/dist/lib of the
source tree, and then by the system's loader. Every call drops the GIL.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from ctypes import CFUNCTYPE, c_char_p, c_int, c_size_t, c_void_p
from pathlib import Path
from typing import Any

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


def _load() -> ctypes.CDLL:
    here = Path(__file__).resolve().parent
    name = "libtmempool.so"
    for path in (here / name, here.parents[1] / "target" / "dist" / "lib" / name):
        if path.is_file():
            return ctypes.CDLL(str(path), use_errno=True)
    try:
        return ctypes.CDLL("libtmempool.so.0", use_errno=True)
    except OSError as error:
        raise ImportError(
            f"libtmempool.so is neither in {here}, nor in target/dist/lib of a source tree, "
            f"nor known to the system's loader: {error}"
        ) from None


library = _load()
libc = ctypes.CDLL(None, use_errno=True)

Destructor = CFUNCTYPE(c_int, c_void_p)
Callback = CFUNCTYPE(None)
Visitor = CFUNCTYPE(None, c_void_p, c_int, c_int, c_int, c_void_p)


def _declare(function: Any, result: Any, *arguments: Any) -> Any:
    function.restype = result
    function.argtypes = arguments
    return function


named_const = _declare(library.talloc_named_const, c_void_p, c_void_p, c_size_t, c_char_p)
zeroed = _declare(library._talloc_zero, c_void_p, c_void_p, c_size_t, c_char_p)
memdup = _declare(library._talloc_memdup, c_void_p, c_void_p, c_char_p, c_size_t, c_char_p)
pool = _declare(library.talloc_pool, c_void_p, c_void_p, c_size_t)
free = _declare(library._talloc_free, c_int, c_void_p, c_char_p)
unlink = _declare(library.talloc_unlink, c_int, c_void_p, c_void_p)
steal = _declare(library._talloc_steal_loc, c_void_p, c_void_p, c_void_p, c_char_p)
reference = _declare(library._talloc_reference_loc, c_void_p, c_void_p, c_void_p, c_char_p)
reference_count = _declare(library.talloc_reference_count, c_size_t, c_void_p)
parent = _declare(library.talloc_parent, c_void_p, c_void_p)
is_parent = _declare(library.talloc_is_parent, c_int, c_void_p, c_void_p)
get_size = _declare(library.talloc_get_size, c_size_t, c_void_p)
get_name = _declare(library.talloc_get_name, c_char_p, c_void_p)
set_name_const = _declare(library.talloc_set_name_const, None, c_void_p, c_char_p)
set_name = _declare(library.talloc_set_name, c_char_p, c_void_p, c_char_p, c_char_p)
total_size = _declare(library.talloc_total_size, c_size_t, c_void_p)
total_blocks = _declare(library.talloc_total_blocks, c_size_t, c_void_p)
enable_null_tracking = _declare(library.talloc_enable_null_tracking, None)
disable_null_tracking = _declare(library.talloc_disable_null_tracking, None)
visit = _declare(library.talloc_report_depth_cb, None, c_void_p, c_int, c_int, Visitor, c_void_p)
report_to = _declare(
    library.talloc_report_depth_file, None, c_void_p, c_int, c_int, c_void_p
)
# Both a destructor of ours and NULL, to take it away, are passed as plain pointers.
set_destructor = _declare(library._talloc_set_destructor, None, c_void_p, c_void_p)

open_memstream = _declare(libc.open_memstream, c_void_p, c_void_p, c_void_p)
fclose = _declare(libc.fclose, c_int, c_void_p)
libc_free = _declare(libc.free, None, c_void_p)

# Chunks of this size and above are refused by the library.
MAX_SIZE = 0x1000_0000
