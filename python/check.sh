#!/usr/bin/env bash
# Tests the Python package as it is installed: makes a virtual environment under target/, installs
# the tools and then the package into it, checks the types, and runs the tests.
#
#   python/check.sh
#
# Called by `make check`, after `make`. Where there is no Python 3.9 with venv, or no network to get
# the tools from, it says what is skipped, and why, and succeeds.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
venv=$root/target/python-venv

skip() {
    echo "python: skipped: the tests of the Python package: $*"
    exit 0
}

command -v python3 >/dev/null || skip "there is no python3"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' || skip "$(python3 --version) is older than 3.9"

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    rm -rf "$venv"
    python3 -m venv "$venv" >/dev/null 2>&1 || {
        rm -rf "$venv"
        skip "python3 -m venv fails (Debian: apt install python3-venv)"
    }
fi

pip() { timeout 240 "$venv/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
fetch() { pip install --retries 1 --timeout 10 --only-binary :all: "$@"; }

# The environment is kept, so that later runs need no network.
has() { "$venv/bin/python" -c "import $1" 2>/dev/null; }
if ! has "pytest, mypy, hypothesis, setuptools.command.bdist_wheel"; then
    fetch pytest hypothesis mypy 'setuptools>=70.1' || skip "pip cannot install pytest, hypothesis, mypy and setuptools"
fi
has numpy || fetch numpy || echo "python: pip cannot install numpy: its test is skipped"

# What an earlier build left would be packed again.
clean() { rm -rf "$here/build" "$here/tmempool.egg-info"; }
trap clean EXIT
clean
pip install --no-build-isolation --no-deps --force-reinstall "$here"

# From here on, nothing is taken from the source tree but the tests.
cd "$venv"
bin/python -m mypy --strict --python-version 3.10 --cache-dir "$venv/mypy-cache" "$here/tmempool"
bin/python -m mypy --cache-dir "$venv/mypy-cache" "$here"/examples/*.py
bin/python -c 'from tmempool._library import library; print("python: tests of", library._name)'
timeout 600 bin/python -B -m pytest -q -rs -p no:cacheprovider -c "$here/pyproject.toml" "$here/tests"
