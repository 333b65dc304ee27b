"""The examples of the README do what it says."""

import doctest
from pathlib import Path


def test_examples():
    path = Path(__file__).parent.parent / "README.md"
    failed, tried = doctest.testfile(str(path), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert tried > 5 and failed == 0
