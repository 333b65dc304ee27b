"""What the tests share."""

import subprocess
import sys

import pytest


@pytest.fixture
def run_python():
    """Runs a program in an interpreter of its own: a crash of it is a failure, not the end."""

    def run(program, status=0):
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", program],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=50,
        )
        assert done.returncode == status, done.stderr
        return done.stdout, done.stderr

    return run
