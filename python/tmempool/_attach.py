"""Other processes, read from outside by the `tmempool` command, which comes with the package."""

from __future__ import annotations

import json
import operator
import os
import shutil
import subprocess
from functools import partial
from typing import Any, Dict, List, SupportsIndex

from . import _library as c
from ._errors import AttachError
from ._snapshot import Snapshot
from ._tree import Node

# The command's status when it has failed itself.
_FAILED = 125
_SECONDS = 120


def _command() -> str:
    places = c.places("_bin/tmempool", "bin")
    for path in places:
        if os.access(path, os.X_OK):
            return str(path)
    found = shutil.which("tmempool")
    if found is None:
        raise AttachError(f"the tmempool command is neither in {places[0].parent} nor on the PATH")
    return found


def _run(pid: int, *options: str) -> bytes:
    try:
        done = subprocess.run(
            [_command(), "tree", *options, str(pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise AttachError(f"process {pid} could not be read within {_SECONDS} seconds") from None
    except OSError as error:
        raise AttachError(f"the tmempool command does not run: {error}") from None
    if done.returncode:
        message = done.stderr.decode(errors="replace").strip().replace("tmempool: ", "", 1)
        if "no such process" in message:
            raise ProcessLookupError(message)
        if "may not" in message:
            raise PermissionError(message)
        raise AttachError(message or f"the tmempool command ended with {done.returncode}")
    return done.stdout


class Process:
    """Another process that uses tmempool; made by `attach()`. It is not told, and not changed. Each
    method reads it anew."""

    def __init__(self, pid: SupportsIndex) -> None:
        self.pid = operator.index(pid)
        if not 0 < self.pid < 1 << 31:
            raise ProcessLookupError(f"process {self.pid}: there is no such process")
        self._document()

    def _document(self, stop: bool = False) -> Dict[str, Any]:
        document = json.loads(_run(self.pid, "--json", *(["--stop"] if stop else [])))
        if document.get("schema") != 1:
            raise AttachError(f"the tmempool command speaks schema {document.get('schema')}, not 1")
        #: The program's name, as the kernel has it.
        self.program: str = document["program"]
        #: How many things did not fit together when it was last read, because the process went on.
        self.changed: int = document["changed"]
        return document  # type: ignore[no-any-return]

    def snapshot(self, stop: bool = False) -> Snapshot:
        """All its trees, the largest first. With `stop`, it stands still while it is read."""
        document = self._document(stop)
        return Snapshot(_nodes(document), partial(self.snapshot, stop))

    def trees(self) -> List[Node]:
        """The roots of all its trees, the largest first."""
        return self.snapshot().roots

    def to_dict(self) -> Dict[str, Any]:
        """All its trees in dicts and lists."""
        roots = [root.to_dict() for root in self.trees()]
        return {"pid": self.pid, "program": self.program, "trees": roots}

    def report(self) -> str:
        """talloc's text on all its trees."""
        return _run(self.pid).decode(errors="replace")

    def _repr_html_(self) -> str:
        return self.snapshot()._repr_html_()

    def __repr__(self) -> str:
        return f"<Process {self.pid} {self.program!r}>"


def _nodes(document: Dict[str, Any]) -> List[Node]:
    entries = document["nodes"]
    sizes = {entry["address"]: entry["size"] for entry in entries}
    nodes = []
    for entry in entries:
        is_reference = entry["kind"] == "reference"
        size = sizes.get(entry.get("target"), 0) if is_reference else entry["size"]
        nodes.append(Node(entry["name"], size, entry["references"], is_reference))
    for node, entry in zip(nodes, entries):
        node.children = [nodes[index] for index in entry["children"]]
    return [nodes[index] for index in document["roots"]]


def attach(pid: SupportsIndex) -> Process:
    """The process `pid`, to be read from outside: its trees as they are in it now.

    Raises ProcessLookupError if there is none, PermissionError if it may not be read (Linux lets its
    own user and who has CAP_SYS_PTRACE do so; where `kernel.yama.ptrace_scope` is 1, only the latter in
    general), and AttachError if it does not use tmempool.
    """
    return Process(pid)
