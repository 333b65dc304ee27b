"""The base of all that has bytes: what makes its objects buffers, for memoryview, numpy, struct and sockets.

A class can say so from Python 3.12 on. Before that the type is made here from two functions of a small
library, which comes with the package (see native/exporter.c).

A type that exports buffers, but is not told when they are released, says that its bytes stay as long as its
objects. They do not, so it must be told.
"""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING

from . import _library as c

if TYPE_CHECKING or sys.version_info >= (3, 12):

    class Exporter:
        """Whose `view()` others get when they take the object for a buffer."""

        __slots__ = ()

        def view(self) -> memoryview:
            """The items, in place and writable."""
            raise NotImplementedError

        def __buffer__(self, flags: int) -> memoryview:
            return self.view()

        def __release_buffer__(self, view: memoryview) -> None:
            view.release()

else:

    class _Slot(ctypes.Structure):
        """PyType_Slot"""

        _fields_ = [("number", ctypes.c_int), ("function", ctypes.c_void_p)]

    class _Spec(ctypes.Structure):
        """PyType_Spec"""

        _fields_ = [
            ("name", ctypes.c_char_p),
            ("basic_size", ctypes.c_int),
            ("item_size", ctypes.c_int),
            ("flags", ctypes.c_uint),
            ("slots", ctypes.POINTER(_Slot)),
        ]

    # Numbers of CPython's stable ABI.
    _GET_BUFFER, _RELEASE_BUFFER = 1, 2
    _TPFLAGS_DEFAULT, _TPFLAGS_BASETYPE = 1 << 18, 1 << 10

    def _function(name: str) -> int:
        return ctypes.cast(getattr(_native, name), ctypes.c_void_p).value

    _native = ctypes.PyDLL(c.carried("exporter.so", "python"))
    # The interpreter goes on using it.
    _spec = _Spec(
        b"tmempool.Exporter",
        object.__basicsize__,
        0,
        _TPFLAGS_DEFAULT | _TPFLAGS_BASETYPE,
        (_Slot * 3)(
            (_GET_BUFFER, _function("exporter_get_buffer")),
            (_RELEASE_BUFFER, _function("exporter_release_buffer")),
            (0, None),
        ),
    )
    _from_spec = ctypes.pythonapi.PyType_FromSpec
    _from_spec.restype, _from_spec.argtypes = ctypes.py_object, (ctypes.POINTER(_Spec),)
    Exporter = _from_spec(ctypes.byref(_spec))
