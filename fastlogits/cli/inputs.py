"""Logits and targets of a long run: arrays named on the command line, checked before the first row is read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from fastlogits._common import intake as _temperatures
from fastlogits._common.errors import Fault, refuse_row
from fastlogits.cli import UserError, load
from fastlogits.cli.state import is_special

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

CHUNK_BYTES = 1 << 26  # of logits between two records of what is done
ENDINGS = ("", ".tmp"), ("", ".tmp", ".rows", ".lock")  # what a result and a state write
HINT = "choose with FILE.npz:NAME"


@dataclass(frozen=True)
class Named:
    """An array, the file it lies in, and its name there if it was given."""

    path: str
    name: str | None
    array: NDArray[Any]

    @property
    def shown(self) -> str:
        """As the user names it."""
        return self.path if self.name is None else f"{self.path}:{self.name}"

    def check_length(self) -> None:
        """Before a part of the array is read: see `load.check_length`."""
        load.check_length(self.path, self.array)

    def identity(self) -> dict[str, Any]:
        """What distinguishes this input from any other, in JSON's types."""
        found = Path(self.path).stat()
        return {
            "path": str(Path(self.path).absolute()), "name": self.name, "size": found.st_size,
            "mtime_ns": found.st_mtime_ns, "shape": list(self.array.shape), "dtype": self.array.dtype.str,
        }  # fmt: skip


@dataclass(frozen=True)
class Scored:
    """Logits [rows, V] and one target per row, -1 where it is ignored."""

    logits: Named
    targets: Named
    rows: NDArray[Any]
    ids: NDArray[np.int64]

    @property
    def ignored(self) -> int:
        """How many rows are left out."""
        return int(np.count_nonzero(self.ids < 0))

    def identity(self) -> dict[str, Any]:
        """Of both files."""
        return {"logits": self.logits.identity(), "targets": self.targets.identity()}


def split_name(text: str) -> tuple[str, str | None]:
    """``FILE.npz:NAME`` as (file, name); any other text is a file."""
    path, _, name = text.rpartition(":")
    return (path, name) if path.endswith(".npz") and not os.path.exists(text) else (text, None)


def read_logits(text: str) -> Named:
    """Logits [..., V] with a row at least, mapped where they lie in a .npy."""
    path, name = split_name(text)
    array = load.read_logits(path, name, HINT)
    if array.size == 0:
        raise UserError(f"{text}: holds no row, got shape {list(array.shape)}")
    return Named(path, name, array)


def read_scored(options: argparse.Namespace) -> Scored:
    """The logits and targets of the options: integers in [0, V) or ``--ignore-index``, one per row."""
    logits = read_logits(options.logits)
    path, name = target_place(options.targets, logits.path)
    targets = Named(path, name, load.read_ids(path, name, HINT))
    shape, outer = targets.array.shape, logits.array.shape[:-1]
    if shape != outer and targets.array.size == np.prod(outer) and targets.array.ndim == 1:
        outer = shape
    try:
        ids = _temperatures.target_array("targets", targets.array, outer, logits.array.shape[-1], options.ignore_index)
    except (ValueError, TypeError) as error:
        raise UserError(f"{targets.shown}: {error}") from None
    if not (ids >= 0).any():
        raise UserError(f"{targets.shown}: all {ids.size} targets are {options.ignore_index}, which is ignored")
    return Scored(logits, targets, rows_of(logits.array), ids)


def target_place(text: str, logits_path: str) -> tuple[str, str | None]:
    """File and array of ``--targets``: a file, ``FILE.npz:NAME``, or the name of an array next to the logits."""
    path, name = split_name(text)
    if name is None and not os.path.exists(path) and load.is_npz(logits_path):
        return logits_path, text
    return path, name


def absolute(path: str | None) -> str | None:
    """A path that means the same from any folder."""
    return None if path is None else os.path.abspath(path)


def rows_of(array: NDArray[Any]) -> NDArray[Any]:
    """[..., V] as [rows, V]."""
    return array.reshape(-1, array.shape[-1])


def chunk_rows(options: argparse.Namespace, rows: NDArray[Any]) -> int:
    """How many rows to read at a time."""
    if options.chunk is None:
        return max(1, CHUNK_BYTES // (int(rows.shape[1]) * int(rows.dtype.itemsize)))
    if options.chunk < 1:
        raise UserError(f"--chunk must be >= 1, got {options.chunk}")
    return int(options.chunk)


def check_outputs(options: argparse.Namespace, *inputs: Named) -> None:
    """Refuses, before the work, files that cannot be written and those that would replace an input or each other."""
    taken = {os.path.realpath(each.path): "an input" for each in inputs}
    for option in ("json", "csv", "resume", "report"):
        path = getattr(options, option, None)
        if path is None or (option == "json" and path == "-"):
            continue
        if not os.path.isdir(os.path.dirname(path) or ".") or os.path.isdir(path) or path in ("", "-"):
            raise UserError(f"--{option} {path}: must name a file in a folder that exists")
        if option == "report" and not path.lower().endswith((".html", ".htm")):
            raise UserError(f"--report {path}: must end in .html")
        if is_special(path):
            if option in ("resume", "report") or (option == "csv" and options.resume is not None):
                hint = " (a run with --resume cuts and continues it)" if option == "csv" else ""
                raise UserError(f"--{option} {path}: must name a file, not a device or pipe{hint}")
            continue
        places = [path + ending for ending in ENDINGS[option == "resume"]] + [f"{os.path.realpath(path)}.tmp"]
        for place in dict.fromkeys(map(os.path.realpath, places)):
            if place in taken:
                raise UserError(f"--{option} {path}: would write over {taken[place]} of this run")
            taken[place] = f"--{option}"


def check_skipped(options: argparse.Namespace, skipped: int) -> None:
    """A run that left bad rows out goes on in the same manner only."""
    if skipped and options.nan == "raise":
        raise UserError(f"{options.resume}: {skipped} bad rows were left out so far: give --nan skip")


def refuse(logits: Named, row: int, status: int) -> NoReturn:
    """Reports a bad row, named by its number in the file."""
    try:
        refuse_row((), 0, Fault(status))
    except ValueError as error:
        raise UserError(f"{logits.shown}: row {row}: {error} (--nan skip leaves such rows out)") from None
