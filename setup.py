"""The compiled modules; everything else about the package stands in pyproject.toml."""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

SOURCES = sorted(Path("src").rglob("*.pyx"))
# `TIDEGATE_DEBUG_BUILD=1 make build`, after `make clean`: for gdb and valgrind.
OPTIMISE = ["-O0", "-g3"] if os.environ.get("TIDEGATE_DEBUG_BUILD") else ["-O2"]

setup(
    ext_modules=cythonize(
        [
            Extension(
                ".".join(source.relative_to("src").with_suffix("").parts),
                [str(source)],
                extra_compile_args=[*OPTIMISE, "-fno-plt", "-fvisibility=hidden"],
                extra_link_args=["-Wl,-z,relro,-z,now"],
            )
            for source in SOURCES
        ],
        include_path=["src"],
        language_level=3,
        compiler_directives={
            "binding": False,
            "boundscheck": False,
            "cdivision": True,
            "embedsignature": False,
            "freethreading_compatible": False,
            "initializedcheck": False,
            "wraparound": False,
        },
        build_dir="build/cython",
    ),
)
