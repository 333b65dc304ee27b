"""The wheel: what is in it, for whom it is, and what is said where it cannot be built."""

import ctypes
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import tmempool

PACKAGE = Path(__file__).resolve().parents[1]
TARGET = PACKAGE.parent / (os.environ.get("CARGO_TARGET_DIR") or "target")
BUILDING = ("setup.py", "pyproject.toml", "README.md", "LICENSE-MIT", "LICENSE-APACHE", "tmempool")


def copy(folder):
    """The package alone, in a folder of its own, so that no build leaves anything in the source tree."""
    folder.mkdir(parents=True)
    for name in BUILDING:
        source = PACKAGE / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    return folder


def build(folder, what="bdist_wheel", target=""):
    pytest.importorskip("setuptools.command.bdist_wheel", reason="setuptools is not installed")
    return subprocess.run(
        [sys.executable, "setup.py", "-q", what, "--dist-dir", "out"], cwd=folder,
        env={**os.environ, "CARGO_TARGET_DIR": str(target)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=100,
    )


def test_a_wheel_for_any_python_on_this_platform(tmp_path):
    (tmp_path / "target").symlink_to(TARGET)
    done = build(copy(tmp_path / "python"))
    assert done.returncode == 0, done.stdout
    (wheel,) = (tmp_path / "python" / "out").iterdir()
    assert wheel.name.startswith("tmempool-") and "-py3-none-linux_" in wheel.name
    with zipfile.ZipFile(wheel) as files:
        names = set(files.namelist())
        for name in ("libtmempool.so", "exporter.so", "_bin/tmempool", "py.typed", "talloc.py"):
            assert f"tmempool/{name}" in names
        assert sum("/licenses/LICENSE-" in name for name in names) == 2
        assert files.getinfo("tmempool/_bin/tmempool").external_attr >> 16 & 0o111
        (about,) = (name for name in names if name.endswith("/METADATA"))
        assert f"\nVersion: {tmempool.__version__}\n" in files.read(about).decode()
        (about,) = (name for name in names if name.endswith("/WHEEL"))
        lines = files.read(about).decode().splitlines()
    assert "Root-Is-Purelib: false" in lines
    assert [line for line in lines if line.startswith("Tag: ")] == [f"Tag: {wheel.stem.split('-', 2)[2]}"]


@pytest.mark.parametrize("relative", [True, False])
def test_the_target_directory_is_the_makefiles(tmp_path, relative):
    (tmp_path / "elsewhere").symlink_to(TARGET)
    target = "elsewhere" if relative else tmp_path / "elsewhere"
    done = build(copy(tmp_path / "python"), target=target)
    assert done.returncode == 0, done.stdout
    assert len(list((tmp_path / "python" / "out").iterdir())) == 1
    (tmp_path / "Makefile").touch()
    done = build(tmp_path / "python", target=tmp_path / "nowhere")
    assert done.returncode != 0 and str(tmp_path / "nowhere" / "dist") in done.stdout


def test_the_source_tree_finds_what_make_has_put_elsewhere(tmp_path):
    """As an editable install does."""
    copy(tmp_path / "python")
    (tmp_path / "elsewhere").symlink_to(TARGET)
    program = "import tmempool; print(tmempool._library.library._name, tmempool._attach._command())"
    done = subprocess.run(
        [sys.executable, "-B", "-c", program], cwd=tmp_path / "python", text=True, timeout=50,
        env={**os.environ, "CARGO_TARGET_DIR": "elsewhere"}, stdout=subprocess.PIPE,
    )
    dist = tmp_path / "elsewhere" / "dist"
    assert done.stdout.split() == [str(dist / "lib" / "libtmempool.so"), str(dist / "bin" / "tmempool")]


def test_the_package_and_the_library_are_of_one_version():
    version = tmempool._library.library.tm_version
    version.restype = ctypes.c_char_p
    assert version().decode() == tmempool.__version__


@pytest.mark.parametrize("makefile", [True, False])
def test_what_is_said_before_make(tmp_path, makefile):
    folder = copy(tmp_path / "python")
    if makefile:
        (tmp_path / "Makefile").touch()
    done = build(folder)
    assert done.returncode != 0
    assert ("run `make` in" if makefile else "is not the source tree") in done.stdout
    assert str(tmp_path) in done.stdout


def test_there_is_no_source_distribution(tmp_path):
    done = build(copy(tmp_path / "python"), "sdist")
    assert done.returncode != 0 and "has no source distribution" in done.stdout
