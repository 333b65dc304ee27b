"""Builds a wheel that carries libtmempool.so: for any Python 3, and for one platform.

The library comes from target/dist/lib of the source tree, where `make` puts it.
"""

import shutil
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.errors import SetupError

LIBRARY = Path(__file__).resolve().parent.parent / "target" / "dist" / "lib" / "libtmempool.so"


class BuildWithLibrary(build_py):
    """Copies the library next to the modules; an editable install finds it in the source tree."""

    def run(self):
        if not LIBRARY.is_file():
            raise SetupError(f"{LIBRARY} does not exist: run `make` in {LIBRARY.parents[3]} first")
        super().run()
        if not self.editable_mode:
            # `copyfile` follows the link to libtmempool.so.0.
            shutil.copyfile(LIBRARY, Path(self.build_lib) / "tmempool" / LIBRARY.name)


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
    cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": PlatformWheel},
)
