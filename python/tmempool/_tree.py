"""Trees as Python sees them: `Node`, a copy that stays when the tree goes, and talloc's text."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, List, Optional, Tuple

from . import _library as c
from ._work import work


@dataclass
class Node:
    """A chunk: its own `size` in bytes, and what it has below it, newest first. In a notebook, a
    picture of the tree, by bytes.

    For a reference, `is_reference` is set, `name` and `size` are those of the chunk that it refers
    to, and there are no children.
    """

    name: str
    size: int
    reference_count: int = 0
    is_reference: bool = False
    children: List[Node] = field(default_factory=list)

    def walk(self) -> List[Tuple[int, Node]]:
        """All nodes with their depths, each before its children; of any depth."""
        found = []
        todo = [(0, self)]
        while todo:
            depth, node = todo.pop()
            found.append((depth, node))
            todo.extend((depth + 1, child) for child in reversed(node.children))
        return found

    @property
    def total_size(self) -> int:
        """The bytes of this node and all below it; references count nothing."""
        return sum(node.size for _, node in self.walk() if not node.is_reference)

    @property
    def total_blocks(self) -> int:
        """The number of nodes, this one included."""
        return len(self.walk())

    def to_dict(self) -> Dict[str, Any]:
        """The tree in dicts and lists."""
        path: List[Dict[str, Any]] = []
        for depth, node in self.walk():
            entry: Dict[str, Any] = {
                "name": node.name,
                "size": node.size,
                "reference_count": node.reference_count,
                "is_reference": node.is_reference,
                "children": [],
            }
            del path[depth:]
            if path:
                path[-1]["children"].append(entry)
            path.append(entry)
        return path[0]

    def _flat(self) -> List[Tuple[int, str, int, int, bool]]:
        """The depths of all nodes and what is in them, each before its children: that is the tree, without
        anything in it that is as deep."""
        return [
            (depth, node.name, node.size, node.reference_count, node.is_reference)
            for depth, node in self.walk()
        ]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node):
            return NotImplemented
        return self is other or self._flat() == other._flat()

    def __repr__(self) -> str:
        """As any dataclass; of any depth."""
        text: List[str] = []
        before = -1
        for depth, node in self.walk():
            if depth <= before:
                text.append("])" * (before - depth + 1) + ", ")
            text.append(
                f"Node(name={node.name!r}, size={node.size}, reference_count={node.reference_count}, "
                f"is_reference={node.is_reference}, children=["
            )
            before = depth
        return "".join(text) + "])" * (before + 1)

    def __reduce__(self) -> Tuple[Any, ...]:
        """Trees of any depth are pickled, and copied with all below them."""
        return _of_flat, (self._flat(),)

    def __copy__(self) -> Node:
        return replace(self)

    def _repr_html_(self) -> str:
        from ._picture import picture_of

        return picture_of([self], self.name)


def _of_flat(flat: List[Tuple[int, str, int, int, bool]]) -> Node:
    """The tree that `_flat()` has told of."""
    path: List[Node] = []
    for depth, name, size, reference_count, is_reference in flat:
        node = Node(name, size, reference_count, is_reference)
        del path[depth:]
        if path:
            path[-1].children.append(node)
        path.append(node)
    return path[0]


def _decode(name: Optional[bytes]) -> str:
    return (name or b"").decode(errors="backslashreplace")


def tree_of(address: int) -> Node:
    """Copies the tree at a live address; within `work`."""
    path: List[Node] = []
    root: List[Node] = []
    failures: List[BaseException] = []

    def visit(ptr: int, depth: int, _max: int, is_reference: int, _data: object) -> None:
        # An interrupt, or no memory: the walk goes on, but adds nothing any more.
        try:
            if failures:
                return
            node = Node(
                _decode(c.get_name(ptr)),
                c.get_size(ptr),
                0 if is_reference else c.reference_count(ptr),
                bool(is_reference),
            )
            del path[depth:]
            (path[-1].children if path else root).append(node)
            path.append(node)
        except BaseException as failure:
            failures.append(failure)

    outer, work.walking = work.walking, True
    try:
        c.visit(address, 0, -1, c.Visitor(visit), None)
    finally:
        work.walking = outer
    if failures:
        raise failures[0]
    return root[0]


def report_text(address: Optional[int]) -> str:
    """talloc's full report on the tree at a live address, or on the null context; within `work`."""
    return text_of(lambda stream: c.report_to(address, 0, -1, stream))


def text_of(write: Callable[[int], object]) -> str:
    """What `write` writes to the FILE that it is given."""
    text, size = ctypes.c_void_p(), ctypes.c_size_t()
    stream = c.open_memstream(ctypes.byref(text), ctypes.byref(size))
    if not stream:
        raise MemoryError("no memory for a report")
    try:
        write(stream)
    finally:
        c.fclose(stream)
        content = ctypes.string_at(text.value or 0, size.value) if text.value else b""
        c.libc_free(text)
    return _decode(content)
