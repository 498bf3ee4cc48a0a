"""Change the source in twenty wrong ways, one at a time, and see whether a test notices.

    python tests/mutations.py                          # this checkout
    python tests/mutations.py --only 'sort|kernel'     # those whose name or file matches
    python tests/mutations.py --root ../other          # another checkout: its sources and its tests
    python tests/mutations.py --list                   # names and files alone

The checkout is copied to a temporary folder: what git tracks, as it lies there, and what is built. There each mutation
replaces one piece of text, C and Cython are built again, and the test files that should notice run up to the first
failure; the same files run without any mutation first and must pass. One line per mutation tells which test caught it.

Exit status: 0 if all are caught, 1 if one survives, 2 if nothing can be told, since the control fails, a piece of text
does not occur exactly once, or the build breaks.

A mutation that survives is a hole in the tests, or changes nothing that anybody can see; then choose another one.
Needs what the tests need, a Unix compiler and git. All of them take about ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from mutation_list import MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 600  # seconds of CPU time that one process may take; a mutation may make a loop endless
# Runs setup.py, but compiles nothing except the sources named, and those with less optimization; links as ever.
BUILD = """
import runpy, sys
import setuptools
from distutils.unixccompiler import UnixCCompiler

changed, usual = set(sys.argv[1:]), UnixCCompiler._compile

def compile_changed(self, obj, source, suffix, first, last, preprocessor):
    if source in changed:
        usual(self, obj, source, suffix, first, ["-O1" if flag == "-O3" else flag for flag in last], preprocessor)

UnixCCompiler._compile = compile_changed
sys.argv = ["setup.py", "-q", "build_ext", "--inplace", "--force"]
runpy.run_path("setup.py", run_name="__main__")
"""
TRANSLATED = "build/cython/fastlogits/_core.c"


class Broken(Exception):
    """Nothing can be told."""


def test_files(mutations: Sequence[Mutation]) -> list[str]:
    """The files that should notice one of them."""
    return sorted({f"tests/test_{name}.py" for mutation in mutations for name in mutation.tests})


def limit_time() -> None:
    """Not by the clock: a machine that is busy, or a process that is paused, must not look like an endless loop."""
    resource.setrlimit(resource.RLIMIT_CPU, (LONGEST, LONGEST))


def call(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python in ``folder``, whose package is the one that is imported."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=limit_time,
    )


def checked(folder: Path, what: str, *command: str) -> str:
    """The output of a command that must not fail."""
    done = call(folder, *command)
    if done.returncode:
        raise Broken(f"{what} failed ({done.returncode}):\n{done.stdout[-4000:]}")
    return done.stdout


def sources_of(file: str) -> list[str]:
    """What is compiled again when ``file`` changes; nothing for Python."""
    if file.endswith((".pyx", ".pxi", ".pxd")):
        return [TRANSLATED]
    if file.startswith(("csrc/kernels/", "csrc/vec/")):
        return [f"csrc/isa/{name}.c" for name in ("avx2", "avx512", "neon", "scalar")]
    if file.startswith("csrc/") and not file.endswith(".c"):
        raise Broken(f"{file}: which sources depend on it is not known here")
    return [file] if file.endswith(".c") else []


class Copy:
    """A checkout in a temporary folder, built, and a second copy of what was built there."""

    def __init__(self, root: Path, place: Path) -> None:
        self.root, self.folder, self.kept = root, place / "copy", place / "kept"
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, stdout=subprocess.PIPE).stdout
        tracked = [root / name for name in listed.decode().split("\0") if name]
        built = [*root.glob("fastlogits/_core*.so"), *(root / "build").rglob("*")]
        for path in (*tracked, *built):
            if path.is_file():
                target = self.folder / path.relative_to(root)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)  # with its time stamp
        checked(self.folder, "the build", "setup.py", "-q", "build_ext", "--inplace")
        shutil.copytree(self.folder / "build", self.kept / "build")
        for path in self.folder.glob("fastlogits/_core*.so"):
            shutil.copy2(path, self.kept)
        print_module = "import fastlogits._core as core; print(core.__file__)"
        imported = Path(checked(self.folder, "the import", "-c", print_module).strip())
        if self.folder not in imported.parents:
            raise Broken(f"tests would import {imported}, not the copy")

    def apply(self, mutation: Mutation) -> None:
        """Change the file, and build what depends on it."""
        path = self.folder / mutation.file
        path.write_text(path.read_text("utf-8").replace(mutation.old, mutation.new), "utf-8")
        if sources := sources_of(mutation.file):
            checked(self.folder, f"{mutation.name}: the build", "-c", BUILD, *sources)

    def restore(self, mutation: Mutation) -> None:
        """Bring back the file and what was built, time stamps included."""
        shutil.copy2(self.root / mutation.file, self.folder / mutation.file)
        if not sources_of(mutation.file):
            return
        shutil.rmtree(self.folder / "build")
        shutil.copytree(self.kept / "build", self.folder / "build")
        for path in self.kept.glob("_core*.so"):
            shutil.copy2(path, self.folder / "fastlogits")

    def tests(self, files: Sequence[str]) -> str | None:
        """The first test of ``files`` that fails, or what came instead of an end; None if all pass."""
        done = call(self.folder, "-m", "pytest", "-x", "-q", "-rfE", "-p", "no:cacheprovider", *files)
        if done.returncode == 0:
            return None
        if done.returncode < 0:
            return f"signal {-done.returncode}"
        found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
        if not found:
            raise Broken(f"pytest failed ({done.returncode}):\n{done.stdout[-4000:]}")
        return found[1].removeprefix("tests/")


def refuse_stale(root: Path, mutations: Sequence[Mutation]) -> None:
    """Every mutation must change one place of a file that is there, and every hint name a file of tests."""
    wrong = []
    for mutation in mutations:
        path = root / mutation.file
        count = path.read_text("utf-8").count(mutation.old) if path.is_file() else 0
        if count != 1 or mutation.old == mutation.new:
            wrong.append(f"{mutation.name}: its text occurs {count} times in {mutation.file}")
    wrong += [f"{name}: no such file" for name in test_files(mutations) if not (root / name).is_file()]
    if wrong:
        raise Broken("\n".join(wrong))


def run(root: Path, mutations: Sequence[Mutation]) -> int:
    """Try all of them; how many survive."""
    refuse_stale(root, mutations)
    widths = [max(len(text) for text in column) for column in zip(*(m[:2] for m in mutations), strict=True)]
    survived = 0
    with tempfile.TemporaryDirectory(prefix="fastlogits-mutations-") as place:
        start = time.monotonic()
        copy = Copy(root, Path(place).resolve())
        if failed := copy.tests(test_files(mutations)):
            raise Broken(f"control: {failed} fails without a mutation")
        print(f"control: {len(test_files(mutations))} files pass, {time.monotonic() - start:.0f} s", flush=True)
        for mutation in mutations:
            start = time.monotonic()
            copy.apply(mutation)
            caught = copy.tests(test_files([mutation]))
            copy.restore(mutation)
            survived += caught is None
            told = "SURVIVED" if caught is None else f"caught by {caught}"
            name, file = (text.ljust(width) for text, width in zip(mutation[:2], widths, strict=True))
            print(f"{name}  {file}  {told}  {time.monotonic() - start:.1f} s", flush=True)
    print(f"{len(mutations) - survived} of {len(mutations)} mutations caught")
    return survived


def main(arguments: Sequence[str]) -> NoReturn:
    """Read the command line, run, leave."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=ROOT, metavar="DIR", help="the checkout; this one by default")
    parser.add_argument(
        "--only", type=re.compile, default="", metavar="REGEX", help="of which name or file hold a match"
    )
    parser.add_argument("--list", action="store_true", help="print names and files, and leave")
    options = parser.parse_args(arguments)
    chosen = [m for m in MUTATIONS if re.search(options.only, m.name) or re.search(options.only, m.file)]
    if options.list:
        print("\n".join(f"{m.file}: {m.name}" for m in chosen))
        sys.exit()
    if not chosen:
        parser.error(f"no mutation matches {options.only.pattern!r}")
    try:
        sys.exit(1 if run(options.root.resolve(), chosen) else 0)
    except Broken as error:
        print(f"mutations: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main(sys.argv[1:])
