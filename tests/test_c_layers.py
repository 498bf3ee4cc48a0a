"""Layers of csrc: a folder uses those before it alone, no two files use each other, and the table of paths is told.

A C file uses another when it names a function that the other defines, or includes its header. Lists (.def) hold no code
and may be included anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import rows

CSRC = rows.ROOT / "csrc"
#: Each may use those before it, and fastlogits.h, which uses `base` alone. Those in one group use each other.
LAYERS = (
    ("base",), ("kernels", "vec", "isa"), ("rows",), ("tokens",), ("steps",), ("plan",), ("functions",), ("verify",),
)  # fmt: skip
LEVEL = {folder: level for level, group in enumerate(LAYERS) for folder in group}
FACE = "fastlogits.h"

Arrow = tuple[str, str]
DEFINED = re.compile(r"^(?!static|typedef)[A-Za-z_][\w *]*?\b(fl_\w+)\([^;{]*\)\s*\{", re.MULTILINE)


def code_of(path: Path) -> str:
    return re.sub(r"/\*.*?\*/", "", path.read_text("utf-8"), flags=re.DOTALL)


def arrows(root: Path) -> Iterator[Arrow]:
    """Every use of one file by another, as paths below ``root``."""
    text = {path.relative_to(root).as_posix(): code_of(path) for path in sorted(root.rglob("*.[ch]"))}
    where = {name: file for file in text if file.endswith(".c") for name in DEFINED.findall(text[file])}
    for file, code in text.items():
        for included in re.findall(r'#include "([^"]+)"', code):
            beside = (Path(file).parent / included).as_posix()
            if not included.endswith(".def"):
                yield file, beside if beside in text else included
        if file.endswith(".c"):
            yield from (
                (file, where[name]) for name in set(re.findall(r"\bfl_\w+", code)) if where.get(name, file) != file
            )


def upward(found: list[Arrow]) -> list[Arrow]:
    """The uses of a folder by one before it."""
    wrong = []
    for file, used in found:
        own, other = file.split("/")[0], used.split("/")[0]
        if own == FACE:
            wrong += [(file, used)] * (other != "base")
        elif other == FACE:
            wrong += [(file, used)] * (own in ("base", "kernels", "vec", "isa", "rows"))
        elif LEVEL[other] > LEVEL[own]:
            wrong.append((file, used))
    return wrong


def circles(found: list[Arrow]) -> list[str]:
    """Files that use themselves by way of others."""
    graph: dict[str, set[str]] = {}
    for file, used in found:
        # A file and its header are one.
        a, b = (name.rsplit(".", 1)[0] for name in (file, used))
        if a != b:
            graph.setdefault(a, set()).add(b)
    reach = {file: set(used) for file, used in graph.items()}
    for middle in graph:
        for file in graph:
            if middle in reach[file]:
                reach[file] |= reach[middle]
    return sorted(file for file in graph if file in reach[file])


def test_no_arrow_upward() -> None:
    assert upward(list(arrows(CSRC))) == []


def test_no_circle() -> None:
    assert circles(list(arrows(CSRC))) == []


def test_each_file_has_a_folder() -> None:
    assert {path.name for path in CSRC.iterdir()} == {FACE, *LEVEL}


@pytest.mark.parametrize(
    ("file", "line", "fails"),
    [
        ("rows/row.c", '#include "plan/job.h"', upward),
        ("tokens/context.c", "int64_t used(void) { return fl_early_floor(0, 0, 0); }", upward),
        ("plan/scan.c", "int used(fl_job *j) { return fl_run_floor(j); }", circles),
    ],
)
def test_a_wrong_arrow_is_seen(tmp_path: Path, file: str, line: str, fails: object) -> None:
    """Negative control."""
    for path in CSRC.rglob("*.[ch]"):
        copy = tmp_path / path.relative_to(CSRC)
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(path.read_text("utf-8"), "utf-8")
    with (tmp_path / file).open("a", encoding="utf-8") as out:
        out.write(line + "\n")
    assert callable(fails)
    assert fails(list(arrows(tmp_path)))


def test_paths_are_told() -> None:
    """HACKING.md's table names the paths of plan.c in their order."""
    table = re.findall(r"\[FL_PATH_(\w+)\] = \{\w+, fl_run_(\w+)\}", code_of(CSRC / "plan" / "plan.c"))
    told = re.findall(
        r"^\| (\w+) \| .*?\| path_(\w+)\.c \|$", (rows.ROOT / "HACKING.md").read_text("utf-8"), re.MULTILINE
    )
    assert told == [(name.lower(), run) for name, run in table]
    assert len(told) == 7


def test_no_path_chooses_a_path() -> None:
    """A path never calls the planner or another path; it returns FL_AGAIN."""
    for path in (CSRC / "plan").glob("path_*.c"):
        own = path.stem.removeprefix("path_")
        called = set(re.findall(r"\bfl_run_(\w+)\(", code_of(path))) - {own, "list", "rest"}
        assert not called, (path.name, called)
