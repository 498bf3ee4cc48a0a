"""Coverage of Python and C by the test suite: a line per file, and the lines that no test reaches.

    python tests/covered.py                 # the whole suite
    python tests/covered.py tests/test_x.py # some tests

What git tracks is copied to a temporary folder as it lies there, the extension is built with gcc's --coverage, and the
tests run there. C headers count with each instruction set that this machine has; the code of the others cannot.

Needs what the tests need, gcc with gcov, and pytest-cov. The whole suite takes about six minutes on two cores.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FLAGS = {"CC": "gcc", "CFLAGS": "--coverage -O1 -fprofile-update=atomic", "LDFLAGS": "--coverage"}


def call(folder: Path, *command: str, **environment: str) -> int:
    """Runs a command there."""
    return subprocess.run(command, cwd=folder, env=os.environ | environment, stdout=sys.stderr).returncode


def copy_to(folder: Path) -> None:
    """The files that git tracks."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)


def ranges(lines: Iterable[int]) -> str:
    """Line numbers as 3-5, 9."""
    runs: list[list[int]] = []
    for line in sorted(lines):
        if runs and line == runs[-1][1] + 1:
            runs[-1][1] = line
        else:
            runs.append([line, line])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def of_python(report: dict[str, Any]) -> Iterator[tuple[str, int, list[int]]]:
    """File, number of its lines and those that did not run."""
    for name, found in report["files"].items():
        yield name, len(found["executed_lines"]) + len(found["missing_lines"]), found["missing_lines"]


def of_c(folder: Path) -> Iterator[tuple[str, int, list[int]]]:
    """The same of the C files; a line of a header counts as run if it did so in any object."""
    counts: dict[str, dict[int, int]] = {}
    for data in (folder / "build").rglob("*.gcda"):
        subprocess.run(["gcov", "-j", str(data)], cwd=data.parent, capture_output=True, check=True)
    for path in (folder / "build").rglob("*.gcov.json.gz"):
        for file in json.loads(gzip.decompress(path.read_bytes()))["files"]:
            if "csrc/" not in file["file"]:
                continue
            lines = counts.setdefault("csrc/" + file["file"].rpartition("csrc/")[2], {})
            for line in file["lines"]:
                lines[line["line_number"]] = max(lines.get(line["line_number"], 0), line["count"])
    for name, lines in counts.items():
        yield name, len(lines), [number for number, count in lines.items() if not count]


def show(title: str, files: Iterable[tuple[str, int, list[int]]]) -> None:
    """A line per file that has lines that did not run, and the total."""
    found = sorted(files)
    total, missed = sum(lines for _, lines, _ in found), sum(len(missing) for *_, missing in found)
    print(f"{title}: {100 * (1 - missed / max(total, 1)):.1f} % of {total} lines")
    for name, lines, missing in found:
        if missing:
            print(f"  {100 * (1 - len(missing) / lines):5.1f} %  {name}: {ranges(missing)}")


def main(arguments: list[str]) -> int:
    """Build, test, report."""
    with tempfile.TemporaryDirectory(prefix="fastlogits-coverage-") as place:
        folder = Path(place)
        copy_to(folder)
        if call(folder, sys.executable, "setup.py", "-q", "build_ext", "--inplace", **FLAGS):
            return 2
        options = ["-q", "-n", "auto", "--cov=fastlogits", "--cov-branch", "--cov-report=json:coverage.json"]
        failed = call(folder, sys.executable, "-m", "pytest", *options, *(arguments or ["tests"]))
        show("Python", of_python(json.loads((folder / "coverage.json").read_text())))
        show("C", of_c(folder))
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
