"""The package under Valgrind, where each chunk is a block of malloc's: no byte is used that is not there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_under_valgrind():
    done = subprocess.run(
        ["valgrind", "--quiet", "--error-exitcode=9", "--leak-check=no", "--num-callers=30",
         sys.executable, "-B", str(Path(__file__).with_name("valgrind_program.py")), "7", "4"],
        env={**os.environ, "PYTHONMALLOC": "malloc", "TMEMPOOL_OPTIONS": "backend=malloc"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=280,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
