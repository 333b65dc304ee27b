"""Builds a wheel that carries libtmempool.so, what makes buffers before Python 3.12, and the tmempool
command: for any Python 3, and for one platform.

All come from where `make` puts them: target/dist of the source tree, or, where CARGO_TARGET_DIR is set, dist below
that.
"""

import os
import shutil
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist
from setuptools.errors import SetupError

ROOT = Path(__file__).resolve().parent.parent
# As the Makefile has it: seen from there.
DIST = ROOT / (os.environ.get("CARGO_TARGET_DIR") or "target") / "dist"
# What is carried, and where it lies in the package.
CARRIED = {
    "libtmempool.so": DIST / "lib" / "libtmempool.so",
    "exporter.so": DIST / "python" / "exporter.so",
    "_bin/tmempool": DIST / "bin" / "tmempool",
}


class BuildWithLibrary(build_py):
    """Copies them next to the modules; an editable install finds them in the source tree."""

    def run(self):
        for source in CARRIED.values():
            if not source.is_file():
                raise SetupError(_missing(source))
        super().run()
        if not self.editable_mode:
            for place, source in CARRIED.items():
                target = Path(self.build_lib) / "tmempool" / place
                target.parent.mkdir(exist_ok=True)
                # `copy` follows the link to libtmempool.so.0, and keeps the right to run.
                shutil.copy(source, target)


def _missing(source):
    if (ROOT / "Makefile").is_file():
        return f"{source} does not exist: run `make` in {ROOT} first"
    return f"{ROOT} is not the source tree of tmempool, in which `make` builds the library"


class NoSourceDistribution(sdist):
    """The library is not built from this folder alone."""

    def run(self):
        raise SetupError(
            "tmempool has no source distribution of its own: build a wheel in the source tree, "
            "by `pip wheel ./python` or `python -m build --wheel python`"
        )


class PlatformDistribution(Distribution):
    """Goes where packages with machine code go."""

    def has_ext_modules(self):
        return True


class PlatformWheel(bdist_wheel):
    """The package uses ctypes: any Python 3 will do, but only this platform."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


setup(
    distclass=PlatformDistribution,
    cmdclass={
        "build_py": BuildWithLibrary,
        "bdist_wheel": PlatformWheel,
        "sdist": NoSourceDistribution,
    },
)
