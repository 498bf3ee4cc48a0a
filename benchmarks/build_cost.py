"""CPU seconds of Cython, compiler and linker for the extension, next to those of one of its files.

    python benchmarks/build_cost.py                  # every file, the sum, and the ratio to isa/avx2.c alone at -O3
    CC=clang-16 python benchmarks/build_cost.py

The file that serves as the unit is compiled before and after the others, so that a machine that slows down in between
shows. Everything is written to a temporary folder.
"""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import setup  # noqa: E402  # its sources and flags

UNIT = "csrc/isa/avx2.c"
LIMIT = 4.5  # times the unit


def seconds(command: list[str]) -> float:
    """Return the CPU seconds that `command` and its children took; a failure ends the script."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Measure and print."""
    extension = setup.extension()
    flags, link_flags = setup.unix_flags()
    compiler = shlex.split(os.environ.get("CC", sysconfig.get_config_var("CC") or "cc"))
    macros = [f"-D{name}={value}" for name, value in extension.define_macros]
    includes = [f"-I{folder}" for folder in (*extension.include_dirs, sysconfig.get_paths()["include"])]
    base = [*compiler, "-fPIC", "-DNDEBUG", *shlex.split(os.environ.get("CFLAGS", "")), *flags, *macros, *includes]

    with tempfile.TemporaryDirectory(prefix="fastlogits-build-cost.") as folder:

        def compile_source(source: str, *more: str) -> float:
            target = f"{folder}/{Path(source).stem}-{len(source)}.o"
            return seconds([*base, *more, "-c", source, "-o", target])

        units = [compile_source(UNIT, "-O3")]
        layer = f"{folder}/_core.c"
        translate = [sys.executable, "-m", "cython", "-3", "fastlogits/_binding/_core.pyx", "-o", layer]
        costs = {"Cython": seconds(translate)}
        for source in extension.sources:
            path = layer if source.endswith(".pyx") else source
            costs[source] = compile_source(path, *setup.flags_of_source(path))
        units.append(compile_source(UNIT, "-O3"))
        objects = sorted(str(path) for path in Path(folder).glob("*.o"))
        costs["linker"] = seconds([*compiler, "-shared", *link_flags, *objects, "-o", f"{folder}/_core.so"])

    total, unit = sum(costs.values()), sum(units) / len(units)
    for name, cost in sorted(costs.items(), key=lambda pair: -pair[1])[:8]:
        print(f"{cost:8.2f} s  {name}")
    print(f"{total:8.2f} s  all ({len(costs)} commands)")
    print(f"{unit:8.2f} s  {UNIT} alone at -O3 ({', '.join(f'{u:.2f}' for u in units)})")
    print(f"ratio {total / unit:.2f} (at most {LIMIT})")
    if total > LIMIT * unit:
        sys.exit(1)


if __name__ == "__main__":
    main()
