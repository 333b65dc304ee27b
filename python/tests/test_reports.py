"""What is told of trees, and Samba's module."""

import json

import tmempool
import tmempool.talloc


def test_tree_report_and_dict(capsys):
    with tmempool.Context("root") as root, tmempool.Context("other") as other:
        inner = root.child("inner")
        inner.bytes(10)
        text = root.string("abc")
        text.reference(other)
        tree = root.tree()
        assert [(depth, node.name, node.size) for depth, node in tree.walk()] == [
            (0, "root", 0), (1, "abc", 4), (1, "inner", 0), (2, "bytes", 10),
        ]
        assert tree.total_size == root.total_size == 14
        assert tree.total_blocks == root.total_blocks == tmempool.talloc.total_blocks(root) == 4
        assert tree.children[0].reference_count == 1
        assert [node.is_reference for node in other.tree().children] == [True]
        assert json.loads(json.dumps(root.to_dict()))["children"][1]["children"][0]["size"] == 10
        lines = root.report().splitlines()
        assert lines[0].startswith("full talloc report on 'root'") and "abc" in lines[1]
        tmempool.talloc.report_full(root)
        assert capsys.readouterr().out == root.report()
        text.unlink(other)
    assert tree.children[1].name == "inner"


def test_deep_trees():
    with tmempool.Context("root") as root:
        last = root
        for _ in range(20000):
            last = last.child("deeper")
        tree = root.tree()
        assert tree.total_blocks == root.total_blocks == 20001
        tree.to_dict()


def test_null_tracking(run_python):
    out, _ = run_python(
        "import tmempool, tmempool.talloc as t\n"
        "assert t.total_blocks() == 0\n"
        "t.enable_null_tracking()\n"
        "a = tmempool.Context('tracked')\n"
        "t.report_full()\n"
        "a.free(); b = tmempool.Context('b'); b.unlink(None); assert not b.alive\n"
        "t.disable_null_tracking()\n"
    )
    assert "null_context" in out and "tracked" in out
