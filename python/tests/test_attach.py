"""Another process, read from outside."""

import contextlib
import json
import os
import subprocess
import sys

import pytest

import tmempool

SERVER = """
import sys, tmempool
server = tmempool.Context("server")
sessions = server.child("sessions <&>")
packets = [sessions.bytes(100, "packet") for _ in range(3)]
text = server.string("sh\\u00fcred")
other = tmempool.Context("other"); text.reference(other)
server.growing_pool(4096).bytes(7, "small")
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


class Server:
    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.do("pass")

    def do(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"


@contextlib.contextmanager
def serving():
    server = Server()
    try:
        yield server
    finally:
        server.process.communicate(timeout=20)
    assert server.process.returncode == 0


@pytest.fixture
def attached():
    with serving() as server:
        try:
            yield server, tmempool.attach(server.process.pid)
        except PermissionError as error:
            pytest.skip(f"this machine does not let processes be read: {error}")


def test_the_trees_of_another_process(attached):
    server, process = attached
    assert process.pid == server.process.pid and process.program.startswith("python")
    first, second = process.trees()
    assert (first.name, second.name) == ("server", "other")
    assert first.total_size == 300 + len("shüred\0".encode()) + 7
    by_name = {node.name: (depth, node) for depth, node in first.walk()}
    depth, packet = by_name["packet"]
    assert (depth, packet.size, packet.is_reference) == (2, 100, False)
    assert by_name["shüred"][1].reference_count == 1
    (reference,) = second.children
    assert reference.is_reference and reference.name == "shüred" and reference.size == 8
    assert "contains    100 bytes" in process.report()
    shown = process.to_dict()
    assert json.loads(json.dumps(shown))["trees"][0]["name"] == "server"
    assert "sessions &lt;&amp;&gt;" in process._repr_html_()
    assert process.snapshot(stop=True).total_blocks == process.snapshot().total_blocks
    server.do("assert server.total_blocks == 8, server.total_blocks")
    assert first.total_blocks == 8 and process.changed == 0


def test_what_grew_in_another_process(attached):
    server, process = attached
    before = process.snapshot()
    assert len(before.diff()) == 0
    server.do("packets += [sessions.bytes(50, 'packet') for _ in range(2)]")
    (growth,) = before.diff()
    assert growth.path == ("server", "sessions <&>", "packet")
    assert (growth.size, growth.count) == (100, 2)
    server.do("server.free()")
    # The string lives on, where it is referred to.
    assert before.diff().size == 8 - before.total_size


def test_a_process_that_is_gone(attached):
    server, process = attached
    server.process.stdin.close()
    server.process.wait(20)
    with pytest.raises((ProcessLookupError, tmempool.AttachError)):
        process.snapshot()
    server.process.stdin = None


def test_what_cannot_be_attached_to():
    for number in (0, -1, 1 << 40):
        with pytest.raises(ProcessLookupError):
            tmempool.attach(number)
    with pytest.raises(TypeError):
        tmempool.attach("1")
    with subprocess.Popen(["sleep", "20"]) as other:
        try:
            with pytest.raises((tmempool.AttachError, PermissionError), match=str(other.pid)):
                tmempool.attach(other.pid)
        finally:
            other.kill()


def test_a_process_reads_itself_if_it_may():
    with tmempool.Context("here") as here:
        here.bytes(5)
        try:
            trees = tmempool.attach(os.getpid()).trees()
        except PermissionError as error:
            pytest.skip(f"a child may not read its parent: {error}")
        assert [node.size for tree in trees if tree.name == "here" for _, node in tree.walk()] == [0, 5]
