"""Snapshots, what grew, and pictures for notebooks."""

import html.parser
import re

import tmempool


class Cells(html.parser.HTMLParser):
    """The cells of a picture, and whether the tags fit together."""

    def __init__(self, text):
        super().__init__()
        self.cells, self.open, self.outside = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        values = dict(attributes)
        if "data-x" in values:
            place = [float(values["data-" + key]) for key in "xwd"]
            self.cells.append([values["title"], *place, ""])
        self.outside.extend(v for k, v in attributes if k in ("src", "href"))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] == "div" and self.cells and not self.cells[-1][-1]:
            self.cells[-1][-1] = data


def test_a_picture_shows_the_tree_by_bytes():
    with tmempool.Context("server <&>") as ctx:
        for _ in range(30):
            ctx.bytes(100, "packet")
        ctx.child("cache").bytes(1000, '"big"')
        picture = Cells(ctx._repr_html_())
        assert Cells(ctx.tree()._repr_html_()).cells == picture.cells
    assert [(cell[4].split("  ")[0], cell[3]) for cell in picture.cells] == [
        ("server <&>", 0), ("packet ×30", 1), ("cache", 1), ('"big"', 2),
    ]
    (_, left, width, _, _), packets, cache, big = picture.cells
    assert (left, width) == (0, 1)
    assert packets[1:3] == [0, 0.75] and cache[1:3] == [0.75, 0.25] == big[1:3]
    assert packets[0] == "packet ×30: 2.9 KiB in 30 chunks"
    assert picture.outside == [], "a picture needs no other files"
    assert "was freed" in ctx._repr_html_()


def test_pictures_of_what_is_large_deep_or_empty():
    with tmempool.Context("root") as root:
        inner = root
        for _ in range(3000):
            inner = inner.child("deep")
        for i in range(5000):
            root.bytes(50, f"leaf {i}")
        root.child("empty")
        text = root._repr_html_()
        # 50 bytes of 250,000 are less than a pixel: that they are there is said.
        assert len(text) < 500_000 and len(Cells(text).cells) == 1
        assert re.search(r"8,00\d chunks are too small", text)
    with tmempool.Context("nothing") as root:
        for i in range(3):
            root.child(f"child {i}")
        cells = Cells(root._repr_html_()).cells
        assert [round(cell[2], 3) for cell in cells] == [1, 0.25, 0.25, 0.25]
    assert Cells(tmempool.snapshot()._repr_html_()).cells


def test_what_grew():
    with tmempool.Context("server") as server:
        sessions = server.child("sessions")
        gone = server.child("gone")
        gone.bytes(50)
        before = tmempool.snapshot()
        assert len(before.diff(before)) == 0
        for i in range(3):
            sessions.child("session").bytes(100, "request")
        gone.free()
        after = tmempool.snapshot()
        diff = before.diff()
        assert list(diff) == list(before.diff(after))
        found = [(growth.path[1:], growth.size, growth.count) for growth in diff]
        assert found == [
            (("sessions", "session", "request"), 300, 3),
            (("sessions", "session"), 0, 3),
            (("gone",), 0, -1),
            (("gone", "bytes"), -50, -1),
        ]
        assert (diff.size, diff.count) == (250, 4)
        assert diff[0].path[0] == "server" and "server / sessions / session / request" in str(diff)
        assert [growth.size for growth in after.diff(before)] == [50, 0, 0, -300]
    assert after.total_size - before.total_size == 250, "a snapshot stays"


def test_a_snapshot_has_all_roots_and_any_depth():
    with tmempool.Context("a") as a, tmempool.Context("b") as b:
        inner = b
        for _ in range(20000):
            inner = inner.child("deeper")
        text = a.string("shared")
        text.reference(b)
        shot = tmempool.snapshot()
        assert {"a", "b"} <= {root.name for root in shot.roots}
        inner.bytes(7, "leaf")
        (grown,) = shot.diff()
        assert grown.size == 7 and len(grown.path) == 20002
        assert repr(shot.diff()) == "<Diff: +7 bytes in +1 chunks>"
        text.unlink(b)
