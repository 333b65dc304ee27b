"""What there is at a moment, and what has grown since."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import Callable, Dict, Iterator, List, Optional, Tuple

from . import _library as c
from ._errors import WrongTypeError
from ._picture import picture_of
from ._tree import Node, tree_of
from ._work import work


@dataclass(frozen=True)
class Growth:
    """How much more there is of the chunks with these names, from the root down; what lies below
    them is counted by itself. Negative numbers for what there is less of."""

    path: Tuple[str, ...]
    size: int
    count: int

    def __str__(self) -> str:
        return f"{self.size:+12,} bytes {self.count:+10,} chunks  {' / '.join(self.path)}"


class Diff:
    """What changed between two snapshots, what grew most first; a sequence of `Growth`."""

    def __init__(self, growths: List[Growth]) -> None:
        self._growths = sorted(growths, key=lambda growth: (-growth.size, -growth.count, growth.path))

    @property
    def size(self) -> int:
        """The bytes that there are more."""
        return sum(growth.size for growth in self._growths)

    @property
    def count(self) -> int:
        """The chunks that there are more."""
        return sum(growth.count for growth in self._growths)

    def __len__(self) -> int:
        return len(self._growths)

    def __iter__(self) -> Iterator[Growth]:
        return iter(self._growths)

    def __getitem__(self, index: int) -> Growth:
        return self._growths[index]

    def __str__(self) -> str:
        lines = [f"{self.size:+12,} bytes {self.count:+10,} chunks  in all"]
        return "\n".join(lines + [str(growth) for growth in self._growths])

    def __repr__(self) -> str:
        return f"<Diff: {self.size:+,} bytes in {self.count:+,} chunks>"


@dataclass
class Snapshot:
    """All trees of a moment: copies, which stay when the trees go."""

    roots: List[Node]
    _again: Optional[Callable[[], Snapshot]] = field(default=None, repr=False, compare=False)

    @property
    def total_size(self) -> int:
        """The bytes of all trees."""
        return sum(root.total_size for root in self.roots)

    @property
    def total_blocks(self) -> int:
        """The number of nodes in all trees."""
        return sum(root.total_blocks for root in self.roots)

    def diff(self, later: Optional[Snapshot] = None) -> Diff:
        """What grew since: up to `later`, or up to now."""
        if later is None:
            later = snapshot() if self._again is None else self._again()
        elif not isinstance(later, Snapshot):
            raise WrongTypeError(f"a Snapshot is compared with another, not with {type(later).__name__}")
        places = _Places()
        places.add(self.roots, -1)
        places.add(later.roots, 1)
        return Diff(places.growths())

    def _repr_html_(self) -> str:
        return picture_of(self.roots, "all contexts")


class _Places:
    """Chunks of the same names from the root down, added up. A place is a number, and knows the one
    above it, so that trees may be of any depth."""

    def __init__(self) -> None:
        self._numbers: Dict[Tuple[int, str], int] = {}
        self._above: List[Tuple[int, str]] = []
        self._size: List[int] = []
        self._count: List[int] = []

    def add(self, roots: List[Node], sign: int) -> None:
        for root in roots:
            path: List[int] = []
            for depth, node in root.walk():
                del path[depth:]
                key = (path[-1] if path else -1, ".reference" if node.is_reference else node.name)
                number = self._numbers.setdefault(key, len(self._above))
                if number == len(self._above):
                    self._above.append(key)
                    self._size.append(0)
                    self._count.append(0)
                self._size[number] += 0 if node.is_reference else sign * node.size
                self._count[number] += sign
                path.append(number)

    def growths(self) -> List[Growth]:
        found = []
        for number, (size, count) in enumerate(zip(self._size, self._count)):
            if size or count:
                names = []
                while number >= 0:
                    number, name = self._above[number]
                    names.append(name)
                found.append(Growth(tuple(reversed(names)), size, count))
        return found


def snapshot() -> Snapshot:
    """Copies all trees that were made from Python, as they are now."""
    with work:
        room = c.handle_roots(None, 0)
        handles = (ctypes.c_uint64 * room)()
        count = min(room, c.handle_roots(handles, room))
        # What a finalizer has made in between is not missed: it was not there at first.
        addresses = [c.get(handle) for handle in handles[:count]]
        return Snapshot([tree_of(address) for address in addresses if address])
