"""The package under Valgrind, where each chunk is a block of malloc's: no byte is used that is not there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")


def under_valgrind(*arguments):
    return subprocess.run(
        ["valgrind", "--quiet", "--error-exitcode=9", "--leak-check=no", "--num-callers=30",
         # Reads of undefined bytes are reported of the interpreter itself.
         "--undef-value-errors=no", sys.executable, "-B", *arguments],
        env={**os.environ, "PYTHONMALLOC": "malloc", "TMEMPOOL_OPTIONS": "backend=malloc"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=280,
    )


def test_random_programs():
    done = under_valgrind(str(Path(__file__).with_name("valgrind_program.py")), "7", "4")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_that_it_would_be_noticed():
    done = under_valgrind(
        "-c",
        "import ctypes, tmempool\n"
        "with tmempool.Context('gone') as ctx:\n"
        "    address = ctx.bytes(100)._address()\n"
        "print(ctypes.string_at(address + 90, 1))\n",
    )
    assert done.returncode == 9 and "Invalid read" in done.stderr
