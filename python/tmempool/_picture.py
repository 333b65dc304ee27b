"""Pictures of trees for notebooks: icicles, in which a cell is as wide as its tree is large.

A picture is a piece of HTML that needs nothing else: no files, no network, and, but for zooming, no
scripts, which notebooks that are not trusted leave out. Siblings of one name are one cell. What would be
too narrow to see, and what is below `_MAX_DEPTH`, is not drawn, but it is counted.
"""

from __future__ import annotations

import html
import secrets
import zlib
from typing import Dict, List, Tuple

from ._tree import Node

_MAX_DEPTH = 40
_MAX_CELLS = 1500
# Cells narrower than this share of the picture are not drawn at first.
_MIN_SHARE = 0.001
_ROW = 20


class _Cell:
    """Chunks of one name below one cell."""

    __slots__ = ("name", "count", "own", "below", "total", "chunks")

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        # The bytes of these chunks, and of them and all below.
        self.own = 0
        self.total = 0
        # The chunks in the tree.
        self.chunks = 0
        self.below: Dict[str, _Cell] = {}


def _merge(roots: List[Node], title: str) -> _Cell:
    top = _Cell(title)
    order = [(top, top)]
    for root in roots:
        path = [top]
        for depth, node in root.walk():
            if node.is_reference:
                continue
            del path[depth + 1:]
            cell = path[-1].below.get(node.name)
            if cell is None:
                cell = path[-1].below[node.name] = _Cell(node.name)
                order.append((cell, path[-1]))
            cell.count += 1
            cell.own += node.size
            path.append(cell)
    # Each cell stands behind the one above it.
    for cell, above in reversed(order):
        cell.total += cell.own
        cell.chunks += cell.count
        if cell is not above:
            above.total += cell.total
            above.chunks += cell.chunks
    return top


def bytes_text(size: int) -> str:
    """`size` as people read it."""
    for limit, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= limit:
            return f"{size / limit:.1f} {unit}"
    return f"{size} byte{'' if size == 1 else 's'}"


def _label(cell: _Cell) -> Tuple[str, str]:
    """What is written on a cell, and what is told when it is pointed at."""
    times = f" ×{cell.count:,}" if cell.count > 1 else ""
    told = f"{cell.name}{times}: {bytes_text(cell.total)} in {cell.chunks:,} chunks"
    if cell.below and cell.own:
        told += f", {bytes_text(cell.own)} of its own"
    return f"{cell.name}{times}  {bytes_text(cell.total)}", told


def _colour(name: str) -> str:
    number = zlib.crc32(name.encode(errors="backslashreplace"))
    return f"hsl({number % 360},{45 + number // 360 % 25}%,{72 + number // 9000 % 10}%)"


def picture_of(roots: List[Node], title: str) -> str:
    """The trees as HTML. A click on a cell makes it as wide as the picture; one on the top shows all."""
    top = _merge(roots, title)
    if len(roots) == 1:
        top = next(iter(top.below.values()))
    weigh_bytes = top.total > 0
    cells: List[str] = []
    undrawn = 0
    deepest = 0
    # The widest first, so that what is left out is what is small.
    todo: List[Tuple[_Cell, float, float, int]] = [(top, 0.0, 1.0, 0)]
    while todo:
        coming: List[Tuple[_Cell, float, float, int]] = []
        for cell, left, width, depth in todo:
            if len(cells) >= _MAX_CELLS:
                undrawn += cell.chunks
                continue
            deepest = max(deepest, depth)
            text, told = _label(cell)
            cells.append(
                f'<div data-x="{left:.6f}" data-w="{width:.6f}" data-d="{depth}" '
                f'title="{html.escape(told)}" style="left:{left:.4%};width:{width:.4%};'
                f'top:{depth * _ROW}px;background:{_colour(cell.name)}">{html.escape(text)}</div>'
            )
            weight = (cell.total if weigh_bytes else cell.chunks) or 1
            at = left
            for inner in sorted(cell.below.values(), key=lambda c: (-c.total, -c.chunks, c.name)):
                share = (inner.total if weigh_bytes else inner.chunks) / weight
                if width * share < _MIN_SHARE or depth + 1 >= _MAX_DEPTH:
                    undrawn += inner.chunks
                else:
                    coming.append((inner, at, width * share, depth + 1))
                at += width * share
        todo = sorted(coming, key=lambda item: -item[2])
    # A notebook may show pictures of several runs on one page.
    name = f"tmempool-picture-{secrets.token_hex(6)}"
    note = "" if weigh_bytes else " Cells are as wide as they have chunks: there are no bytes."
    if undrawn:
        note += f" {undrawn:,} chunks are too small, or lie too deep, to be drawn."
    return _PAGE.format(
        name=name,
        title=html.escape(_label(top)[1], quote=True),
        height=(deepest + 1) * _ROW,
        row=_ROW,
        cells="".join(cells),
        note=html.escape(note),
    )


_PAGE = """<div id="{name}" role="img" aria-label="{title}"><style>
#{name} .cells{{position:relative;overflow:hidden;height:{height}px;font:12px/18px sans-serif}}
#{name} .cells div{{position:absolute;height:18px;overflow:hidden;white-space:pre;cursor:pointer;
color:#222;padding-left:3px;border-right:1px solid #fff;border-radius:2px;box-sizing:border-box}}
#{name} .cells div:hover{{filter:brightness(.9)}}
#{name} .cells div.above{{opacity:.6}}
#{name} .note{{font:11px sans-serif;color:#777;margin-top:4px}}
</style><div class="cells">{cells}</div>
<div class="note">Click a cell to see it as wide as the picture, and the topmost to see all.{note}</div>
<script>(function(){{
var all=[].slice.call(document.querySelectorAll("#{name} .cells div"));
function show(to){{
var x=+to.dataset.x,w=+to.dataset.w,d=+to.dataset.d,rows=0;
all.forEach(function(cell){{
var cx=+cell.dataset.x,cw=+cell.dataset.w,cd=+cell.dataset.d,e=1e-6;
var above=cd<d&&cx<=x+e&&cx+cw>=x+w-e,inside=cd>=d&&cx>=x-e&&cx+cw<=x+w+e;
cell.style.display=above||inside?"":"none";
cell.className=above?"above":"";
if(above||inside)rows=Math.max(rows,cd+1);
cell.style.left=above?"0":(cx-x)/w*100+"%";
cell.style.width=above?"100%":cw/w*100+"%";
}});
to.parentNode.style.height=rows*{row}+"px";}}
all.forEach(function(cell){{cell.addEventListener("click",function(){{show(cell);}});}});
}})();</script></div>"""
