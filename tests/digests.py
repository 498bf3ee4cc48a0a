"""Bits by compiler and optimization level: builds the extension again and again and compares the digests.

    python tests/digests.py                                  # gcc and clang-16, -O0 to -O3 and -O2 -march=native
    python tests/digests.py --compilers gcc --flags=-O2 --flags="-O3 -march=native"

A line per build: the compiler, its CFLAGS, the levels that took effect (as the compiler recorded them in the objects),
the seconds of the build, and the digest of each instruction set by row type. Exits with 1 if any digest differs from
the one in test_digest.py.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMPILERS = ("gcc", "clang-16")
FLAGS = ("-O0", "-O1", "-O2", "-O3", "-O2 -march=native")
LEFT_OUT = shutil.ignore_patterns(
    ".git", "build", "dist", "*.egg-info", "*.so", "__pycache__", ".*_cache", ".hypothesis", ".venv", ".benchmarks"
)
PRINT_DIGESTS = """
import sys
sys.path.insert(0, "tests")
import test_digest
from fastlogits import _core
for name, right in test_digest.DIGESTS.items():
    for isa in _core.isas():
        found = test_digest.digest_on(isa, name)
        print(f"{isa} {name} {found[:12]} {'equal' if found == right else 'DIFFERENT'}")
"""


def run(command: list[str], place: Path, **environment: str) -> str:
    """Return what `command` printed; a failure ends the script with its last lines."""
    done = subprocess.run(command, cwd=place, env=os.environ | environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n" + "\n".join(done.stderr.splitlines()[-15:]))
    return done.stdout


def recorded_levels(extension: Path) -> str:
    """Return the last -O flag of the recorded command lines, which the linker has made unique."""
    text = run(["readelf", "-p", ".GCC.command.line", str(extension)], ROOT)
    lines = [line for line in text.splitlines() if "-std=c11" in line]
    levels = [found[-1] if (found := re.findall(r"-O[0-9sgz]?(?=\s|$)", line)) else "none" for line in lines]
    return ", ".join(sorted(set(levels))) or "not recorded"


def check(compiler: str, flags: str, place: Path) -> bool:
    """Build in `place` with one compiler and CFLAGS, print its line, and return whether all digests are right."""
    start = time.monotonic()
    run([sys.executable, "setup.py", "-q", "build_ext", "--inplace", "--force"], place,
        CC=compiler, LDSHARED=f"{compiler} -shared", CFLAGS=f"{flags} -frecord-gcc-switches")  # fmt: skip
    took = time.monotonic() - start
    (extension,) = (place / "fastlogits").glob("_core*.so")
    found = run([sys.executable, "-c", PRINT_DIGESTS], place).splitlines()
    print(f"{compiler:9} {flags:18} levels: {recorded_levels(extension)}; built in {took:.0f} s", flush=True)
    for line in found:
        print(f"    {line}", flush=True)
    return bool(found) and all(line.endswith(" equal") for line in found)


def main() -> None:
    """Build and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compilers", nargs="+", default=COMPILERS, help="their commands; default: %(default)s")
    parser.add_argument("--flags", action="append", help=f"CFLAGS of a build, any number of times; default: {FLAGS}")
    options = parser.parse_args()
    missing = [tool for tool in (*options.compilers, "readelf") if shutil.which(tool) is None]
    if missing:
        sys.exit(f"digests: not installed: {' '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="fastlogits-digests.") as folder:
        place = Path(folder, "source")
        shutil.copytree(ROOT, place, ignore=LEFT_OUT)
        builds = list(itertools.product(options.compilers, options.flags or FLAGS))
        wrong = [f"{compiler} {flags}" for compiler, flags in builds if not check(compiler, flags, place)]
    print(f"{len(builds) - len(wrong)} of {len(builds)} builds have the right digests", *wrong, sep="; not ")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
