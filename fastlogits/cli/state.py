"""What a long run has done so far, kept in a file so that it goes on after an interruption with nothing lost.

The state is a JSON file, replaced as a whole after every chunk. A run may also append to one output file (a CSV); the
state records its length and checksum, and everything after that length was written by a chunk that did not finish
and is cut off. A file that was damaged or changed meanwhile is refused. As totals are exact, the result has the same
bits wherever the run was interrupted and for all chunk sizes.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import tempfile
import zlib
from typing import IO, TYPE_CHECKING, Any, Self, TypeVar

import fastlogits
from fastlogits._common.exact import ExactSum
from fastlogits.cli import UserError, progress

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

Read = TypeVar("Read")
FORMAT = "fastlogits state 1"


class Ledger:
    """Rows done, totals and the length of the output; on disk too where `path` names a state file.

    Parameters
    ----------
    path : str or None
        The state file; one that is there is continued.
    identity : dict
        Inputs and options in JSON's types: what the totals depend on.
    output : str or None
        The file to append to.
    header : bytes
        What a new output begins with.

    Raises
    ------
    UserError
        On entering: a state that another process holds, that of another run or no state at all, an output that is not
        what the state records, a file that cannot be opened.
    """

    def __init__(
        self, path: str | None, identity: dict[str, Any], output: str | None = None, header: bytes = b""
    ) -> None:
        self.path, self.identity = path, {"version": fastlogits.__version__, **identity}
        self.done, self.totals, self.length, self.crc = 0, None, 0, 0
        self.output, self.header = output, header
        self.file: IO[bytes] | None = None
        self.lock: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Take the state, which no other run may hold, and open the output."""
        try:
            self.lock = None if self.path is None else _locked(f"{self.path}.lock")
            known = self.path is not None and os.path.exists(self.path) and self._load(self.path)
            self.file = (
                None if self.output is None else _opened(self.output, (self.length, self.crc) if known else None)
            )
            if not known:
                self._append(self.header)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the output and let others at the state."""
        self._close()

    def restore(self, read: Callable[[Any, int], Read]) -> Read:
        """The totals so far, through the function that reads them and checks them against the rows done."""
        try:
            if (self.totals is None) != (self.done == 0):
                raise ValueError("totals without rows, or rows without totals")
            return read(self.totals, self.done)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{self.path}: not a state of a fastlogits run: its totals cannot be read") from None

    def advance(self, rows: int, totals: Any, output: bytes = b"") -> None:
        """Further rows are done: their output first, then the state that records it."""
        self._append(output)
        self.done, self.totals = self.done + rows, totals
        if self.path is not None:
            if self.file:
                with _naming(self.output):
                    self.file.flush()
                    os.fsync(self.file.fileno())
            done = {"done": self.done, "totals": totals, "length": self.length, "crc": self.crc}
            told = {"format": FORMAT, "identity": self.identity, **done}
            replace(self.path, json.dumps({**told, "seal": _seal(told)}).encode())

    def run(
        self, what: str, rows: int, size: int, work: Callable[[int, int], tuple[Any, bytes]], base: int = 0
    ) -> None:
        """Do what is left of `rows` rows, `size` at a time; `work(begin, end)` gives all totals and further output.

        `base` is what was done before the first of these rows.
        """
        if self.done - base >= rows:
            return
        try:
            with progress.bar(what, rows, self.done - base) as bar:
                while self.done - base < rows:
                    begin = self.done - base
                    end = min(begin + size, rows)
                    self.advance(end - begin, *work(begin, end))
                    bar(end - begin)
        except KeyboardInterrupt:
            if self.path is not None:
                told = f"interrupted behind row {self.done - base} of {rows}; the same command goes on from {self.path}"
                print(f"fastlogits: {told}", file=sys.stderr)
            raise

    def _close(self) -> None:
        """Close both files; a lock file is removed."""
        try:
            if self.file:
                with _naming(self.output):
                    self.file.close()
        finally:
            if self.lock:
                _unlock(self.lock)

    def _append(self, output: bytes) -> None:
        """Write after what is there."""
        if self.file and output:
            with _naming(self.output):
                self.file.write(output)
            self.length, self.crc = self.length + len(output), zlib.crc32(output, self.crc)

    def _load(self, path: str) -> bool:
        """Take over a state of the same run."""
        try:
            with open(path, "rb") as file:
                found = json.load(file)
            seal = found.pop("seal")
            if found["format"] != FORMAT or _seal(found) != seal:
                raise ValueError
            identity, self.totals = found["identity"], found["totals"]
            self.done, self.length, self.crc = (count(found[name]) for name in ("done", "length", "crc"))
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise UserError(f"{path}: not a state of a fastlogits run; name another file with --resume") from None
        wrong = _difference(identity, json.loads(json.dumps(self.identity)))
        if wrong:
            raise UserError(f"{path}: the state of another run ({wrong}); name another file to start anew")
        return True


def _seal(told: dict[str, Any]) -> int:
    """The checksum of a state."""
    return zlib.crc32(json.dumps(told).encode())


def _difference(was: Any, now: Any, name: str = "") -> str:
    """The first thing in which two identities differ, in words; empty if there is none."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in [*now, *(key for key in was if key not in now)]:
            found = _difference(was.get(key), now.get(key), f"{name} {key}".strip())
            if found:
                return found
        return ""
    return "" if was == now else f"{name} was {json.dumps(was)}, is {json.dumps(now)}"


@contextlib.contextmanager
def _naming(path: str | None) -> Iterator[None]:
    """Within it an error of the operating system becomes one that names the file, except that of a closed pipe."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def _locked(path: str) -> IO[bytes]:
    """A file that no other run holds; the lock ends with the process, however that ends."""
    try:
        file = open(path, "ab")  # noqa: SIM115 - the ledger closes it
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    try:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise UserError(f"{path.removesuffix('.lock')}: another run is at work on this state") from None
    return file


def _unlock(file: IO[bytes]) -> None:
    """Let others at the state; a lock file is removed."""
    empty = os.path.getsize(file.name) == 0
    if sys.platform == "win32":  # an open file cannot be deleted there, nor one that another run has opened
        file.close()
        if empty:
            with contextlib.suppress(OSError):
                os.unlink(file.name)
        return
    if empty:  # before the lock is released, for then another run may hold it
        os.unlink(file.name)
    file.close()


def _opened(path: str, known: tuple[int, int] | None) -> IO[bytes]:
    """A file to append to: a new one, or one cut to a known length, of which the checksum is known too."""
    try:
        file = open(path, "wb" if known is None else "r+b")  # noqa: SIM115 - the ledger closes it
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    if known is None:
        return file
    length, crc = known
    wrong = ""
    if (there := file.seek(0, os.SEEK_END)) < length:
        wrong = f"holds {there} bytes, but the state tells of {length}"
    elif _checksum(file, length) != crc:
        wrong = "is not what the state tells of"
    if wrong:
        file.close()
        raise UserError(f"{path}: {wrong}; delete the state to start anew")
    file.truncate()
    return file


def _checksum(file: IO[bytes], length: int) -> int:
    """Of the first `length` bytes; the place in the file is then after them."""
    crc = file.seek(0)
    while length and (part := file.read(min(length, 1 << 20))):
        crc, length = zlib.crc32(part, crc), length - len(part)
    return crc


def is_special(path: str) -> bool:
    """Whether a path leads to a device, pipe or socket."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def check_place(path: str) -> None:
    """Refuse, before the work, a path that `replace` could not write after it."""
    if is_special(path):
        return
    if os.path.isdir(path):
        raise UserError(f"{path}: {os.strerror(errno.EISDIR)}")
    try:
        with tempfile.TemporaryFile(dir=os.path.dirname(os.path.realpath(path))):
            pass
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def replace(path: str, content: bytes) -> None:
    """Write a file that is, at any moment, either the old one or the whole new one; devices are written into."""
    target = os.path.realpath(path)
    try:
        if is_special(path):
            with open(path, "wb") as file:
                file.write(content)
            return
        with open(f"{target}.tmp", "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{target}.tmp", target)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def count(value: Any, most: int | None = None) -> int:
    """A number of things, at least 0, that a state holds; anything else is a ValueError."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0 or (most is not None and value > most):
        raise ValueError(f"not a count: {value!r}")
    return value


def packed(total: ExactSum) -> list[str]:
    """An exact sum in JSON's types."""
    return [hex(total.units), repr(total.others)]


def unpacked(value: Any) -> ExactSum:
    """The sum that `packed` wrote."""
    units, others = value
    if not isinstance(units, str) or not isinstance(others, str):
        raise TypeError("an exact sum is a pair of texts")
    return ExactSum(int(units, 16), float(others))
