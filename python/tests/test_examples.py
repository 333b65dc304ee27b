"""The example scripts run, and say what they should."""

import subprocess
import sys
from pathlib import Path

import pytest

from test_attach import serving

ROOT = Path(__file__).resolve().parents[1]


def run(script, *arguments, status=0):
    done = subprocess.run(
        [sys.executable, "-B", str(ROOT / script), *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
    )
    assert done.returncode == status, done.stderr
    return done


def test_log_processor(tmp_path):
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    first.write_text("1.0 200 10 /a\n2.0 404 20 /missing page\nbroken\n3.5 500 5 /missing page\n")
    second.write_text("".join(f"{i} {200 + 200 * (i % 2)} 7 /mill/{i % 10}\n" for i in range(1000)))
    out = run("examples/log_processor.py", first, second).stdout
    assert "first.log: 3 requests, 35 bytes, 2 failed, most of them /missing page\n" in out
    assert "second.log: 1000 requests, 7000 bytes, 500 failed, most of them /mill/1\n" in out
    assert f"  {3 * 32 + 3 + 14} bytes of records are free again; 14 are kept" in out
    assert out.splitlines()[-1].split()[:4] == ["/missing", "page", "contains", "14"]


def test_numpy_pool():
    pytest.importorskip("numpy", reason="numpy is not installed")
    out = run("examples/numpy_pool.py", 40).stdout.splitlines()
    rows, columns = 64, 96
    old = [[100.0] * columns] + [[0.0] * columns for _ in range(rows - 1)]
    for _ in range(40):
        new = [list(row) for row in old]
        for y in range(1, rows - 1):
            for x in range(1, columns - 1):
                new[y][x] = (old[y - 1][x] + old[y + 1][x] + old[y][x - 1] + old[y][x + 1]) / 4
        old = new
    mean = sum(map(sum, old)) / rows / columns
    assert out[0] == f"after 40 steps: {mean:.4f} degrees, {old[rows // 2][columns // 2]:.4f} in the middle"
    assert sum("contains  49152 bytes" in line for line in out) == 3
    assert out[-2].startswith("not yet: the memory of Array ") and out[-1] == "left: 0 bytes"


def test_watch_process(tmp_path):
    page = tmp_path / "trees.html"
    with serving() as server:
        done = subprocess.run(
            [sys.executable, "-B", str(ROOT / "examples/watch_process.py"), "--interval", "0.05",
             "--rounds", "2", "--html", str(page), str(server.process.pid)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
        )
    if done.returncode and "may not" in done.stderr:
        pytest.skip(f"this machine does not let processes be read: {done.stderr}")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("python") and lines[0].endswith(": 315 bytes in 10 chunks")
    assert lines[1:] == ["+0 bytes, +0 chunks"] * 2
    assert "sessions &lt;&amp;&gt;" in page.read_text(encoding="utf-8")


def test_watching_what_cannot_be_watched():
    assert "the process has ended" in run("examples/watch_process.py", 1 << 30).stderr


def test_the_benchmark_shows_every_pair():
    out = run("benchmarks/call_cost.py", 2).stdout
    assert [line.split()[0] for line in out.splitlines()[2:]] == [
        "bytes(64)", "child(name)", 'array("d",', "string(text)",
    ]
    assert all(float(line.split()[-1]) > 0 for line in out.splitlines()[2:])
