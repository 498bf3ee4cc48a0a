"""Build of the one extension, ``fastlogits._core``: the Cython layer plus every C file below ``csrc``.

All compilers share one flag list. Instruction sets are opened inside the sources (``csrc/isa``), never by a flag, so
the same list serves every target, cross builds and universal builds included.

Environment
-----------
CFLAGS
    Passed to the compiler first. An ``-O`` level in it replaces the levels set here; flags that let a compiler change
    floating-point results are refused.
FASTLOGITS_DEBUG=1
    ``-O0 -g`` for every file.
FASTLOGITS_SANITIZE=1
    Address and undefined-behavior sanitizers (for ``CC=clang-16``; HACKING.md shows how to run the result).
FASTLOGITS_WERROR=1
    Warnings in the hand-written C are errors.
FASTLOGITS_JOBS=n
    Number of compiler processes; by default the number of usable cores.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# The files written by hand live here; paths handed to setuptools are relative to ROOT, as it demands.
C_SOURCES = ("csrc/*/*.c",)
C_INCLUDED = ("csrc/**/*.h", "csrc/**/*.def")
LONGEST = ("scalar.c", "avx2.c", "avx512.c", "neon.c", "_core.c")
# Flags under which a compiler may reorder sums, drop NaN or infinities, or flush denormals.
INEXACT = (
    "-Ofast", "-ffast-math", "-funsafe-math-optimizations", "-fassociative-math", "-freciprocal-math",
    "-ffinite-math-only", "-fno-signed-zeros", "-fcx-limited-range", "-fsingle-precision-constant", "-mfpmath=387",
    "-mdaz-ftz", "-fno-honor-nans", "-fno-honor-infinities", "-fapprox-func", "-fdenormal-fp-math=positive-zero",
    "-fdenormal-fp-math=preserve-sign", "-ffp-model=fast", "-ffp-model=aggressive", "-fp-model=fast",
)  # fmt: skip
COMPILER = "install gcc or clang (apt install gcc, dnf install gcc, or on macOS xcode-select --install)"
# Source text that must compile, what is missing if it does not, and what to install; the first failure counts.
PROBES = (
    ("int main(void) { return 0; }\n", "the C compiler does not work", f"check CC and CFLAGS, or {COMPILER}"),
    (
        "#include <stdint.h>\n#include <stdio.h>\n#include <string.h>\n",
        "the C library's headers are missing",
        "install them (apt install libc6-dev, dnf install glibc-devel or apk add musl-dev)",
    ),
    (
        "#include <Python.h>\n",
        "Python.h is missing",
        f"install Python's headers (apt install python{sys.version_info[0]}.{sys.version_info[1]}-dev, or "
        "dnf install python3-devel)",
    ),
)


def switch(name: str) -> bool:
    """Whether environment variable ``name`` is set to anything but the empty string and 0."""
    return os.environ.get(name, "") not in ("", "0")


def found(patterns: Iterable[str]) -> list[str]:
    """Files below ROOT that match, relative, with forward slashes, sorted: the same list on every machine."""
    return sorted({p.relative_to(ROOT).as_posix() for pattern in patterns for p in ROOT.glob(pattern)})


def jobs(environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of compiler processes: FASTLOGITS_JOBS, by default the number of usable cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = environment.get("FASTLOGITS_JOBS") or str(cores)
    if not re.fullmatch(r"[0-9]+", given) or int(given) < 1:
        sys.exit(f"fastlogits: FASTLOGITS_JOBS must be a whole number of at least 1, got {given!r}")
    return int(given)


def own_level(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the ``-O`` flag of CFLAGS that takes effect (the last one), or None."""
    levels = [flag for flag in shlex.split(environment.get("CFLAGS", "")) if re.fullmatch(r"-O[0-9sgz]?", flag)]
    return levels[-1] if levels else None


def refuse_inexact_flags(environment: Mapping[str, str] = os.environ) -> None:
    """Exit if a flag in the environment lets the compiler change results, or the linker the mode of the process."""
    for variable in ("CC", "CFLAGS", "CPPFLAGS", "LDFLAGS", "LDSHARED"):
        for flag in shlex.split(environment.get(variable, "")):
            if flag in INEXACT:
                sys.exit(f"fastlogits: {variable} must not hold {flag}: results would no longer be exact; remove it")


def unix_flags() -> tuple[list[str], list[str]]:
    """Return the compile and link flags of gcc and clang.

    ``-ffp-contract=off`` keeps a * b + c two roundings unless the source says fma; bit identity across instruction
    sets rests on it. ``-fno-math-errno`` only frees sqrt from its errno branch.
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
        compile_flags += [own_level() or "-O3"]
    return compile_flags, link_flags


def flags_of_source(source: str) -> list[str]:
    """Return the flags that one file has after those of all files.

    The Cython layer holds no loop over a row, so ``-O1`` serves it and saves two thirds of its compile time.
    """
    if is_handwritten(source):
        return ["-Werror"] if switch("FASTLOGITS_WERROR") else []
    plain = not (switch("FASTLOGITS_SANITIZE") or switch("FASTLOGITS_DEBUG") or own_level())
    return ["-O1"] if plain else []


def is_handwritten(source: str) -> bool:
    """Return whether ``source`` is one of the project's own C files rather than Cython's output."""
    return source.replace(os.sep, "/").startswith("csrc/")


def by_compile_time(source: str) -> int:
    """Sort key of a source: its place among those that take longest, so that no core waits for one of them alone."""
    name = Path(source).name
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


def check_compiler(command: list[str], include_dirs: Iterable[str]) -> None:
    """Exit with one line that names the package to install if the compiler or a header is missing."""
    includes = [f"-I{folder}" for folder in include_dirs]
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder, "probe.c")
        for text, missing, packages in PROBES:
            probe.write_text(text)
            try:
                done = subprocess.run(
                    [*command, *includes, "-c", str(probe), "-o", str(probe.with_suffix(".o"))],
                    capture_output=True,
                    text=True,
                )
            except OSError as error:
                sys.exit(f"fastlogits needs a C compiler; {command[0]} does not run ({error.strerror}): {COMPILER}")
            if done.returncode:
                said = (done.stderr.strip() or "no message").splitlines()[0]
                sys.exit(f"fastlogits cannot be built: {missing}; {packages} ({command[0]}: {said})")


class BuildExt(build_ext):
    """Compiles several files at a time, the longest first, each with its own flags."""

    def run(self) -> None:
        """Translates the Cython layer to C below ``build/``, then builds. An sdist gets by without Cython."""
        from Cython.Build import cythonize

        for ext in self.extensions:  # changed in place: setuptools has written into them
            (translated,) = cythonize([ext], build_dir="build/cython", language_level=3)
            ext.sources = translated.sources
        super().run()

    def build_extension(self, ext: Extension) -> None:
        """Sets the compiler's flags, then builds ``ext``."""
        if self.compiler.compiler_type == "msvc":
            ext.extra_compile_args = self._clang_cl()
        else:
            refuse_inexact_flags()
            check_compiler(self.compiler.compiler_so, [*self.compiler.include_dirs, *ext.include_dirs])
            ext.extra_compile_args, ext.extra_link_args = unix_flags()
            self._compile_in_parallel()
        super().build_extension(ext)

    def _clang_cl(self) -> list[str]:
        """On Windows: selects clang-cl, since cl opens no instruction sets inside a source; returns its flags."""
        self.compiler.initialize()
        self.compiler.cc = shutil.which("clang-cl") or sys.exit(
            "fastlogits needs clang-cl: install the component 'C++ Clang Compiler' of Visual Studio"
        )
        return ["/O2", "/std:c11", "/clang:-ffp-contract=off", "/clang:-fno-math-errno"]

    def _compile_in_parallel(self) -> None:
        """Replaces the compiler's loop over the sources by one over threads (each waits for its own process)."""
        compiler = self.compiler
        processes = jobs()

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
                compiler._compile(obj, source, suffix, base, [*postargs, *flags_of_source(source)], preprocessor)

            with ThreadPoolExecutor(processes) as pool:
                list(pool.map(compile_one, sorted(build, key=lambda obj: by_compile_time(build[obj][0]))))
            return objects

        compiler.compile = compile_all


class BuildPy(build_py):
    """Leaves Cython's input and output out of wheels."""

    def find_package_modules(self, package, package_dir):
        """The modules of ``package`` that are installed."""
        return [m for m in super().find_package_modules(package, package_dir) if not m[2].endswith((".pyx", ".c"))]


def extension() -> Extension:
    """The one extension module."""
    return Extension(
        "fastlogits._core",
        sources=["fastlogits/_binding/_core.pyx", *found(C_SOURCES)],
        depends=["setup.py", *found(C_INCLUDED)],
        include_dirs=["csrc", np.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"), ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION")],
    )


if __name__ == "__main__":  # the tests import the flags and the list of sources
    setup(ext_modules=[extension()], cmdclass={"build_ext": BuildExt, "build_py": BuildPy})
