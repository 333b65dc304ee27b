"""The exceptions of the package. Wrong numbers and kinds of arguments give the built-in ones."""


class TmempoolError(Exception):
    """Any error that is particular to this package."""


class StaleContextError(TmempoolError):
    """The memory behind an object is gone; the message says what it was and where it was freed."""


class WrongTypeError(TmempoolError, TypeError):
    """An object of another kind was expected, such as a context where a buffer was given."""


class VetoError(TmempoolError):
    """A destructor refused the free, or is still running; the object lives on."""


class ReferencedError(TmempoolError):
    """An object with several owners cannot be freed; `unlink()` lets one of them go."""


class AttachError(TmempoolError):
    """Another process could not be read; the message says why."""


# Tracebacks name them as programs do.
for _error in (TmempoolError, StaleContextError, WrongTypeError, VetoError, ReferencedError, AttachError):
    _error.__module__ = "tmempool"
