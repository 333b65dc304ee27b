"""What is told of trees, and Samba's module."""

import copy
import dataclasses
import json
import pickle

import pytest

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
        shot = tmempool.snapshot()
        last.bytes(3)
        longer, later = root.tree(), tmempool.snapshot()
    for one, other in ((tree, longer), (shot, later)):
        assert one == one and one != other
        for again in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
            assert again == one and again is not one and again != other
            assert repr(again) == repr(one) != repr(other)
    assert repr(tree).count("Node(name=") == repr(tree).count("])") == 20001


def test_nodes_are_compared_told_and_copied():
    @dataclasses.dataclass
    class Plain:
        name: str
        size: int
        reference_count: int
        is_reference: bool
        children: list

    Plain.__qualname__ = "Node"

    def plain(node):
        return Plain(node.name, node.size, node.reference_count, node.is_reference, list(map(plain, node.children)))

    Node = tmempool.Node
    trees = [
        Node("a", 1),
        Node("a", 1, 2, True),
        Node("a", 1, children=[Node("b", 2), Node("c", 3)]),
        Node("a", 1, children=[Node("b", 2, children=[Node("c", 3)])]),
        Node("it's", 1, children=[Node("b", 2, children=[Node("c", 3, children=[Node("d", 4)])]), Node("e", 5)]),
    ]
    for tree in trees:
        assert repr(tree) == repr(plain(tree)) and eval(repr(tree), {"Node": Node}) == tree
        assert [tree == other for other in trees] == [tree is other for other in trees]
        assert tree != "a" and tree.__eq__("a") is NotImplemented
        deep, shallow = copy.deepcopy(tree), copy.copy(tree)
        assert deep == shallow == tree and deep is not tree and shallow.children is tree.children
        assert all(one is not other for one, other in zip(deep.children, tree.children))
    with pytest.raises(TypeError):
        hash(trees[0])


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
