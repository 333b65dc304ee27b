#!/usr/bin/env bash
# Tests the Python package as it is installed: makes a virtual environment under target/, installs
# the tools and then the package into it, checks the types, and runs the tests.
#
#   python/check.sh [PYTHON…]
#
# Called by `make check`, after `make`. With python3, and, without Valgrind, with every other Python from
# 3.9 on that is found as python3.N; or with those that are named. Where there is no Python 3.9 with venv, or
# no network to get the tools from, it says what is skipped, and why, and succeeds.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")

skip() {
    echo "python: skipped: the tests of the Python package: $*"
}

# The version of a Python that runs, as "3.9".
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

# What an earlier build left would be packed again.
clean() { rm -rf "$here/build" "$here/tmempool.egg-info"; }
trap clean EXIT

# check_with PYTHON [OPTION OF PYTEST…]
check_with() {
    local python=$1 version venv
    shift
    version=$(version_of "$python") || { skip "there is no $python"; return; }
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' || {
        skip "$python is Python $version, older than 3.9"
        return
    }
    venv=$root/target/python-venv/$version
    if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        rm -rf "$venv"
        "$python" -m venv "$venv" >/dev/null 2>&1 || {
            rm -rf "$venv"
            skip "$python -m venv fails (Debian: apt install python3-venv)"
            return
        }
    fi

    pip() { timeout 240 "$venv/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
    fetch() { pip install --retries 1 --timeout 10 --only-binary :all: "$@"; }
    has() { "$venv/bin/python" -c "import $1" 2>/dev/null; }

    # The environment is kept, so that later runs need no network. From 1.20 on, mypy does not know Python 3.9.
    if ! has "pytest, hypothesis, setuptools.command.bdist_wheel" ||
        ! has "sys, mypy.version as v; sys.exit([int(n) for n in v.__version__.split('.')[:2]] > [1, 19])"; then
        fetch pytest hypothesis 'mypy<1.20' 'setuptools>=77' || {
            skip "pip cannot install pytest, hypothesis, mypy and setuptools for Python $version"
            return
        }
    fi
    has numpy || fetch numpy || echo "python: pip cannot install numpy: its tests are skipped"

    clean
    pip install --no-build-isolation --no-deps --force-reinstall "$here"
    # From here on, nothing is taken from the source tree but the tests.
    cd "$venv"
    bin/python -c 'from tmempool._library import library; print("python: tests of", library._name)'
    timeout 600 bin/python -B -m pytest -q -rs -p no:cacheprovider -c "$here/pyproject.toml" "$@" "$here/tests"
}

check_types() {
    local venv
    venv=$root/target/python-venv/$(version_of "$1" || true)
    [ -x "$venv/bin/mypy" ] || return 0
    cd "$venv"
    # The oldest Python, and the first whose classes can be buffers by themselves.
    bin/python -m mypy --strict --python-version 3.9 --cache-dir "$venv/mypy-cache" "$here/tmempool"
    bin/python -m mypy --strict --python-version 3.12 --cache-dir "$venv/mypy-cache" "$here/tmempool"
    bin/python -m mypy --cache-dir "$venv/mypy-cache" "$here"/examples/*.py
}

if [ $# -gt 0 ]; then
    first=$1
    shift
    others=("$@")
else
    first=python3
    others=()
    for minor in 9 10 11 12 13 14 15; do
        if version=$(version_of "python3.$minor") && [ "$version" != "$(version_of python3)" ]; then
            others+=("python3.$minor")
        fi
    done
fi

check_with "$first"
check_types "$first"
for python in ${others[@]+"${others[@]}"}; do
    check_with "$python" --ignore "$here/tests/test_valgrind.py"
done
