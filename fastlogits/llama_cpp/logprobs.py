"""Log-probs of llama-cpp-python without a sort of the vocabulary."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogits import arrays
from fastlogits._common.patch import replaced
from fastlogits.llama_cpp.client import client_of

#: How many of the likeliest tokens the running completion asks for; -1 where it asks for no log-probs.
_wanted: contextvars.ContextVar[int] = contextvars.ContextVar("wanted", default=-1)


class _Row:
    """The log-probs of one row, worked out as far as they are looked at."""

    def __init__(self, logits: NDArray[np.float32]) -> None:
        self.logits = logits
        self._total = float(arrays.logsumexp(logits))

    def __len__(self) -> int:
        return int(self.logits.shape[0])

    def __getitem__(self, at: int) -> float:
        return float(self.logits[at]) - self._total

    def __iter__(self) -> Iterator[float]:
        return iter(self.__array__().tolist())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.float32]:
        del copy
        return np.asarray(arrays.log_softmax(self.logits), dtype)

    def tolist(self) -> _Row:
        """Itself: the client makes a list of the whole vocabulary, of which it reads a few."""
        return self

    def best(self, n: int) -> list[tuple[float, int]]:
        """The n most likely as the client sorts them: (log-prob, id), both descending."""
        if n == 0:
            return []
        found = arrays.top_k(self.logits, min(n, len(self)))
        above = found.values > found.values[-1]
        equal = np.flatnonzero(self.logits == found.values[-1])[::-1]  # of the last ones those with the largest ids
        ids = np.concatenate([found.indices[above], equal])[: found.indices.size]
        best = sorted(((float(self.logits[i]), int(i)) for i in ids), reverse=True)
        return [(value - self._total, i) for value, i in best]


class _Rows:
    """The log-probs of rows [n, V]."""

    def __init__(self, logits: NDArray[np.float32]) -> None:
        self.logits = logits

    def __len__(self) -> int:
        return int(self.logits.shape[0])

    def __getitem__(self, at: Any) -> Any:
        return _Rows(self.logits[at]) if isinstance(at, slice) else _Row(self.logits[at])

    def __iter__(self) -> Iterator[_Row]:
        return map(_Row, self.logits)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.float32]:
        del copy
        return np.asarray(arrays.log_softmax(self.logits), dtype)


class _Pairs:
    """``zip(log-probs, ids)`` of a row, to be sorted."""

    def __init__(self, row: _Row) -> None:
        self.row = row

    def __iter__(self) -> Iterator[tuple[float, int]]:
        return zip(self.row, range(len(self.row)), strict=True)


def _zip(*parts: Any, **options: Any) -> Any:
    """``zip``, but of a row's log-probs and their ids."""
    return _Pairs(parts[0]) if len(parts) == 2 and isinstance(parts[0], _Row) else zip(*parts, **options)  # noqa: B905


def _sorted(values: Any, **options: Any) -> Any:
    """``sorted``, but of a row's log-probs the best alone, as many as the completion looks at."""
    return values.row.best(_wanted.get()) if isinstance(values, _Pairs) else sorted(values, **options)


def _logits_to_logprobs(logits: Any, axis: int = -1) -> Any:
    """Replaces ``Llama.logits_to_logprobs``."""
    array = np.asarray(logits)
    lazy = axis in (-1, array.ndim - 1) and array.ndim in (1, 2) and array.dtype == np.float32 and _wanted.get() >= 0
    if lazy:
        return (_Row if array.ndim == 1 else _Rows)(array)
    return arrays.log_softmax(np.asarray(array, np.float32), axis=axis)


@contextlib.contextmanager
def fast_logprobs(llama: Any) -> Iterator[None]:
    """The log-prob path of completions without a log-softmax and a Python sort of the whole vocabulary per token.

    Parameters
    ----------
    llama : llama_cpp.Llama
        Made with ``logits_all=True``, as the client demands for log-probs.

    Raises
    ------
    ImportError
        llama-cpp-python is not installed, or fails to import.
    TypeError
        `llama` is no Llama, or of a version that this adapter does not know.

    Notes
    -----
    Results are the client's, to the rounding of a log-prob. ``Llama.logits_to_logprobs`` called by others gives an
    array, as before. As long as the context lasts, the names ``sorted`` and ``zip`` of the module ``llama_cpp.llama``
    are ours: they are Python's own for everything but these log-probs. Contexts may begin and end in any order and in
    any thread, for several models and more than once for one model.
    """
    client = client_of(llama)

    def made(original: Any) -> Any:
        def completion(*args: Any, logprobs: int | None = None, **options: Any) -> Iterator[Any]:
            running = original(*args, logprobs=logprobs, **options)
            while True:
                token = _wanted.set(-1 if logprobs is None else logprobs)
                try:
                    part = next(running)
                except StopIteration:
                    return
                finally:
                    _wanted.reset(token)
                yield part

        return completion

    with (
        replaced(client.llama, "sorted", lambda original: _sorted, sorted),
        replaced(client.llama, "zip", lambda original: _zip, zip),
        replaced(client.Llama, "logits_to_logprobs", lambda original: _logits_to_logprobs),
        replaced(llama, "_create_completion", made),
    ):
        yield
