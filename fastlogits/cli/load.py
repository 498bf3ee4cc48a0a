"""Users' files and lists: logits from .npy and .npz, the choice of rows, context ids."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastlogits.cli import UserError
from fastlogits.cli.state import is_special

if TYPE_CHECKING:
    from numpy.typing import NDArray

NPY, NPZ = b"\x93NUMPY", (b"PK\x03\x04", b"PK\x05\x06")
# What numpy.load and the zip reader raise on a damaged file.
DAMAGED = (ValueError, OSError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)


def first_bytes(path: str) -> bytes:
    """The start of a file, which names its format."""
    return contents(path, 6)


def contents(path: str, count: int = -1) -> bytes:
    """The first `count` bytes of a file, or all; a pipe, which could block or be read once only, is refused."""
    if is_special(path):
        raise UserError(f"{path}: must be a file, got a pipe or device; save what it holds in a file")
    try:
        with open(path, "rb") as file:
            return file.read(count)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except MemoryError:
        raise UserError(f"{path}: does not fit into memory") from None


def is_npz(path: str) -> bool:
    """Whether a file is a .npz."""
    return first_bytes(path).startswith(NPZ)


def read_array(path: str, key: str | None, wanted: str, hint: str = "choose with --key") -> NDArray[Any]:
    """The array of a .npy, mapped, or the one named `key` of a .npz: else `wanted`, else the only one there is."""
    magic = first_bytes(path)
    if not magic.startswith((NPY, *NPZ)):
        raise UserError(f"{path}: not a .npy or .npz file")
    if magic.startswith(NPY) and key is not None:
        raise UserError(f"{path}: a .npy file holds one array without a name; --key {key} is for .npz files")
    try:
        if magic.startswith(NPY):
            mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
            return mapped
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            name = chosen_name(path, archive.files, key, wanted, hint)
            member = archive[name]
            if not isinstance(member, np.ndarray):  # NumPy returns the bytes of what is no .npy
                raise UserError(f"{path}: {name} is not an array, but another file in the archive ({hint})")
            return member
    except MemoryError:
        raise UserError(f"{path}: the array does not fit into memory") from None
    except DAMAGED as error:
        if "max_header_size" in str(error):
            raise UserError(f"{path}: its header is too long for an array of numbers") from None
        if "allow_pickle" in str(error) or "Python objects" in str(error):
            raise UserError(f"{path}: holds Python objects (a pickle), which are never loaded") from None
        raise UserError(f"{path}: damaged or incomplete: {error}") from None


def check_length(path: str, array: NDArray[Any]) -> None:
    """Refuses a mapped file that has become shorter than its array.

    The system kills a process that reads a mapped page after the end of its file, so this is looked at before each
    part is read. A file that is cut while a part is being read still ends the process (SIGBUS).
    """
    if isinstance(array, np.memmap):
        size, needed = vars(array)["_mmap"].size(), array.offset + array.nbytes
        if size < needed:
            raise UserError(f"{path}: was cut to {size:,} bytes while it was read, but {needed:,} are needed")


def chosen_name(path: str, names: list[str], key: str | None, wanted: str, hint: str) -> str:
    """Which array of a .npz to read."""
    if key is None:
        key = wanted if wanted in names or len(names) != 1 else names[0]
    if key not in names:
        raise UserError(f"{path}: no array {key!r}; it holds {', '.join(names) or 'no array'} ({hint})")
    return key


def read_logits(path: str, key: str | None, hint: str = "choose with --key") -> NDArray[Any]:
    """The logits of a file, [V] or [..., V].

    Raises
    ------
    UserError
        What cannot be read as numbers in rows, with the reason.
    """
    array = read_array(path, key, "logits", hint)
    if array.dtype == np.dtype("V2"):
        raise UserError(f"{path}: two-byte records without a type (bfloat16 saved by NumPy?); save it as float32")
    if array.dtype.kind not in "fiu":
        raise UserError(f"{path}: logits must be floating or integer numbers, got dtype {array.dtype}")
    if array.ndim == 0 or array.shape[-1] == 0:
        raise UserError(f"{path}: logits must have shape [V] or [..., V] with V >= 1, got {list(array.shape)}")
    return array


def read_ids(path: str, key: str | None, hint: str) -> NDArray[Any]:
    """The targets of a .npy or .npz, or token ids in a text file, separated by commas or spaces or as a JSON list."""
    if first_bytes(path).startswith((NPY, *NPZ)):
        return read_array(path, key, "targets", hint)
    found = contexts_of(path)
    try:
        return np.array(found.lists if found.per_row else found.lists[0], np.int64)
    except (ValueError, OverflowError):
        raise UserError(f"{path}: must hold token ids of 64 bits, as many for each row") from None


def chosen_rows(text: str | None, rows: int, path: str) -> range:
    """The row numbers of ``--row``: all, one (negative: from the end), or a range like Python's."""
    if text is None:
        return range(rows)
    there = f"{path} has {rows} row{'s' * (rows != 1)}"
    if not re.fullmatch(r"-?\d+|(-?\d+)?:(-?\d+)?(:(-?\d+)?)?", text.strip()):
        raise UserError(f"--row must be a row number or a range like 2:5, got {text!r}")
    try:
        parts = [int(part) if part.strip() else None for part in text.split(":")]
    except ValueError:  # thousands of digits
        raise UserError(f"--row must hold numbers of at most 4,300 digits, got {len(text):,} characters") from None
    if ":" not in text:
        number = int(text)
        if not -rows <= number < rows:
            raise UserError(f"--row {number} is out of range: {there}, counted from 0")
        return range(rows)[number : number + 1 or None]
    try:
        chosen = range(rows)[slice(*parts)]
    except ValueError:
        raise UserError(f"--row {text}: the step must not be 0") from None
    if not chosen:
        raise UserError(f"--row {text} selects nothing: {there}, counted from 0")
    return chosen


@dataclass(frozen=True)
class Contexts:
    """Token ids: one list for every row, or one list per row."""

    lists: list[list[int]]
    per_row: bool

    def of_row(self, row: int) -> list[int]:
        """The context of a row."""
        return self.lists[row if self.per_row else 0]

    def check(self, rows: int, path: str) -> None:
        """One list per row must be as many as the file has rows."""
        if self.per_row and len(self.lists) != rows:
            raise UserError(f"--context holds {len(self.lists)} lists, but {path} has {rows} rows")


def read_contexts(text: str | None) -> Contexts:
    """``--context``: ids separated by commas or spaces, a JSON list, or a .npy, .npz or text file of such."""
    if text is None:
        return Contexts([[]], per_row=False)
    if re.fullmatch(r"[\s\d,\[\]-]*", text):
        return contexts_in(text, "--context")
    if first_bytes(text).startswith((NPY, *NPZ)):
        return as_contexts(read_array(text, None, "context").tolist(), text)
    return contexts_of(text)


def contexts_of(path: str) -> Contexts:
    """The contexts in a text file."""
    try:
        return contexts_in(contents(path).decode(), path)
    except UnicodeDecodeError:
        raise UserError(f"{path}: neither .npy, .npz nor text") from None


def contexts_in(text: str, name: str) -> Contexts:
    """Contexts written as a JSON list, or as ids separated by commas or spaces."""
    if not text.strip().startswith("["):
        text = f"[{','.join(text.replace(',', ' ').split())}]"
    try:
        return as_contexts(json.loads(text), name)
    except (ValueError, RecursionError):  # an integer of thousands of digits is a ValueError of Python
        raise UserError(f"{name}: not a list of token ids") from None


def as_contexts(value: Any, name: str) -> Contexts:
    """Nested lists as `Contexts`."""
    if not isinstance(value, list):
        value = [value]
    per_row = bool(value) and isinstance(value[0], list)
    lists = value if per_row else [value]
    if not all(isinstance(each, list) and all(type(token) is int for token in each) for each in lists):
        raise UserError(f"{name}: token ids must be integers, in one list or in one list per row")
    return Contexts(lists, per_row)
