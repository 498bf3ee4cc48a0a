"""Build of the one extension, ``fastlogits._core``: the Cython border plus every C file below ``csrc``.

All compilers share one flag list. Instruction sets are opened inside the sources (``csrc/isa``), never by a flag, so
the same list serves every target, cross builds and universal builds included.

Environment
-----------
FASTLOGITS_DEBUG=1
    ``-O0 -g`` instead of ``-O3``.
FASTLOGITS_SANITIZE=1
    Address and undefined-behaviour sanitizers (made for ``CC=clang-16``; HACKING.md says how to run the result).
FASTLOGITS_WERROR=1
    Warnings in the hand-written C are errors.
FASTLOGITS_JOBS=n
    Compiler processes at a time; the number of usable cores if unset.
"""

import os
import shutil
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# The files written by hand live here; paths handed to setuptools are relative to ROOT, as it demands.
C_SOURCES = ("csrc/*.c", "csrc/isa/*.c", "csrc/steps/*.c")
C_INCLUDED = ("csrc/**/*.h", "csrc/**/*.def")


def switch(name: str) -> bool:
    """Whether environment variable ``name`` is set to anything but the empty string and 0."""
    return os.environ.get(name, "") not in ("", "0")


def found(patterns: Iterable[str]) -> list[str]:
    """Files below ROOT that match, relative, with forward slashes, sorted: the same list on every machine."""
    return sorted({p.relative_to(ROOT).as_posix() for pattern in patterns for p in ROOT.glob(pattern)})


def unix_flags() -> tuple[list[str], list[str]]:
    """Compile and link flags of gcc and clang.

    ``-ffp-contract=off`` keeps a * b + c two roundings unless the source says fma, which the bit-identity over
    instruction sets rests on; ``-fno-math-errno`` only frees sqrt from its errno branch.
    """
    debug, sanitize = switch("FASTLOGITS_DEBUG"), switch("FASTLOGITS_SANITIZE")
    compile_flags = ["-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden", "-Wall", "-Wextra"]
    link_flags: list[str] = []
    if sanitize:
        checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-shared-libasan"]
        compile_flags += ["-O1", "-g", "-UNDEBUG", "-fno-omit-frame-pointer", *checks]
        link_flags += checks
    elif debug:
        compile_flags += ["-O0", "-g", "-UNDEBUG"]
    else:
        compile_flags += ["-O3"]
    return compile_flags, link_flags


class BuildExt(build_ext):
    """Compiles the objects side by side, and tells hand-written C from what Cython wrote."""

    def run(self) -> None:
        """Translates the border to C below ``build/``, then builds. An sdist gets by without Cython."""
        from Cython.Build import cythonize

        for ext in self.extensions:  # kept, as setuptools has written into them
            (translated,) = cythonize([ext], build_dir="build/cython", language_level=3)
            ext.sources = translated.sources
        super().run()

    def build_extension(self, ext: Extension) -> None:
        """Sets the flags of the compiler at hand, then builds ``ext``."""
        if self.compiler.compiler_type == "msvc":
            ext.extra_compile_args = self._clang_cl()
        else:
            ext.extra_compile_args, ext.extra_link_args = unix_flags()
            self._compile_in_parallel()
        super().build_extension(ext)

    def _clang_cl(self) -> list[str]:
        """On Windows: clang-cl in the place of cl, which opens no instruction sets inside a source; its flags."""
        self.compiler.initialize()
        self.compiler.cc = shutil.which("clang-cl") or sys.exit("fastlogits needs clang-cl (part of Visual Studio)")
        return ["/O2", "/std:c11", "/clang:-ffp-contract=off", "/clang:-fno-math-errno"]

    def _compile_in_parallel(self) -> None:
        """Replaces the compiler's loop over the sources by one over threads (each waits for its own process)."""
        compiler = self.compiler
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        jobs = int(os.environ.get("FASTLOGITS_JOBS", cores))
        werror = switch("FASTLOGITS_WERROR")

        def compile_all(
            sources, output_dir=None, macros=None, include_dirs=None, debug=0, extra_preargs=None,
            extra_postargs=None, depends=None,
        ):  # fmt: skip
            _, objects, postargs, preprocessor, build = compiler._setup_compile(
                output_dir, macros, include_dirs, sources, depends, extra_postargs
            )
            base = compiler._get_cc_args(preprocessor, debug, extra_preargs)

            def compile_one(obj: str) -> None:
                source, suffix = build[obj]
                strict = ["-Werror"] if werror and source.replace(os.sep, "/").startswith("csrc/") else []
                compiler._compile(obj, source, suffix, base, [*postargs, *strict], preprocessor)

            with ThreadPoolExecutor(max(jobs, 1)) as pool:
                list(pool.map(compile_one, (obj for obj in objects if obj in build)))
            return objects

        compiler.compile = compile_all


class BuildPy(build_py):
    """Leaves Cython's input and output out of wheels: they serve a build, not a user."""

    def find_package_modules(self, package, package_dir):
        """The modules of ``package`` that are installed."""
        return [m for m in super().find_package_modules(package, package_dir) if not m[2].endswith((".pyx", ".c"))]


def extension() -> Extension:
    """The one extension module."""
    return Extension(
        "fastlogits._core",
        sources=["fastlogits/_core.pyx", *found(C_SOURCES)],
        depends=["setup.py", *found(C_INCLUDED)],
        include_dirs=["csrc", np.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"), ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION")],
    )


if __name__ == "__main__":  # the tests import the flags and the list of sources
    setup(ext_modules=[extension()], cmdclass={"build_ext": BuildExt, "build_py": BuildPy})
