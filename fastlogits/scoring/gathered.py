"""Summaries of vocabulary shards brought together: checks, and the figures of the whole rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastlogits._core as _core
from fastlogits._common.errors import Status, row_name

Array = NDArray[Any]
_NEEDED = ("offset", "size", "vocab", "target", "best", "temperature", "level", "top", "rest", "code", "status")
_SAME = ("vocab", "code", "temperature", "target", "given", "peaks")
_INTEGER, _REAL, _CODE = np.dtype(np.int64), np.dtype(np.float64), np.dtype(np.int32)
#: Types of the fields, those of lists by element, and the statuses that a shard may tell of.
_TYPES = (
    dict.fromkeys(("offset", "size", "vocab", "target", "best", "above", "top_ids", "given"), _INTEGER)
    | dict.fromkeys(("temperature", "level", "top", "rest", "second", "entropy", "varentropy"), _REAL)
    | dict.fromkeys(("top_logits", "given_logits", "peaks", "beside"), _REAL)
    | dict.fromkeys(("code", "status"), _CODE)
)
_PAIRS = {"top_ids": "top_logits", "given": "given_logits"}
_STATUSES = (Status.OK, Status.NAN, Status.POS_INF, Status.NO_FINITE, Status.CHANGED)
_NOTHING = {"f": np.nan, "i": -1, "b": False}


class Gathered:
    """The summaries of all shards of a batch, in the order of their tokens."""

    def __init__(self, summaries: Iterable[Any]) -> None:
        given = _listed(summaries)
        for number, each in enumerate(given):
            _check_types(number, each)
            _check_values(number, each)
        self.outer = given[0].shape
        for number, each in enumerate(given):
            _check_alike(number, each, given[0])
        parts = [np.ascontiguousarray(each).reshape(-1) for each in given]
        self.rows = parts[0].size
        if self.rows:
            parts.sort(key=lambda part: int(part["offset"][0]))
            _check_cover(parts)
        self.parts = parts
        self.spans = [(int(p["offset"][0]), int(p["offset"][0] + p["size"][0])) for p in parts if self.rows]
        self.code = int(parts[0]["code"][0]) if self.rows else _core.F32
        self.target: NDArray[np.int64] = np.ascontiguousarray(parts[0]["target"])

    def __contains__(self, name: str) -> bool:
        return name in (self.parts[0].dtype.names or ())

    def all(self, name: str) -> Array:
        """A field of all shards, [rows, shards, ...]."""
        return np.stack([part[name] for part in self.parts], axis=1)

    def status(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The `Status` of each whole row, and the first shard that has it: NaN before +inf before nothing finite."""
        each = self.all("status")
        bad = np.zeros(self.rows, np.int32)
        bad[(each == Status.NO_FINITE).all(1)] = Status.NO_FINITE
        for status in (Status.CHANGED, Status.POS_INF, Status.NAN):
            bad[(each == status).any(1)] = status
        return bad, (each == bad[:, None]).argmax(1)

    def figures(self, out: NDArray[np.bool_]) -> dict[str, Array]:
        """All figures by the names of `TokenLogprobs`, nothing in the rows ``out``."""
        tops = np.where(out[:, None], -np.inf, self.all("top"))
        best = tops.argmax(1)[:, None]
        top, t = np.take_along_axis(tops, best, 1)[:, 0], np.ascontiguousarray(self.parts[0]["temperature"])
        found: dict[str, Array] = {"argmax": np.take_along_axis(self.all("best"), best, 1)[:, 0]}
        found["greedy"] = found["argmax"] == self.target
        tails = self._tails(found, t, top, tops, best)

        def logprobs(logits: Array) -> Array:
            """(x - max) / T - log1p(rest), [rows] or [rows, K]."""
            shape = (-1, *[1] * (logits.ndim - 1))
            with np.errstate(invalid="ignore", over="ignore"):
                scores: Array = (logits - top.reshape(shape)) / t.reshape(shape) - tails.reshape(shape)
            return scores

        with np.errstate(invalid="ignore", over="ignore"):
            found["logsumexp"] = top / t + tails
            if "second" in self:
                others = tops.copy()
                np.put_along_axis(others, best, np.take_along_axis(self.all("second"), best, 1), 1)
                found["margin"] = (top - others.max(1)) / t
        found["logprobs"] = logprobs(self.all("level").max(1))
        if "above" in self:
            found["ranks"] = 1 + self.all("above").sum(1)
        if "given" in self:
            found["candidate_logprobs"] = logprobs(self.all("given_logits").max(1))
        if "top_ids" in self:
            ids, logits = (
                np.concatenate([part[name] for part in self.parts], axis=1) for name in ("top_ids", "top_logits")
            )
            order = np.argsort(-logits, axis=1, kind="stable")[:, : self.parts[0]["top_ids"].shape[1]]
            found["top_ids"] = np.take_along_axis(ids, order, 1)
            found["top_logprobs"] = logprobs(np.take_along_axis(logits, order, 1))
        for values in found.values():
            values[out] = _NOTHING[values.dtype.kind]
        return found

    def _tails(self, found: dict[str, Array], t: Array, top: Array, tops: Array, best: Array) -> Array:
        """-log p(top) of each row; entropies go into ``found``."""
        tails = np.full(self.rows, np.nan)
        wanted: dict[str, Array] = {}
        for name, word in (("entropy", "entropies"), ("varentropy", "varentropies")):
            if name in self:
                found[name] = np.full(self.rows, np.nan)
                wanted |= {word: self.all(name), f"whole_{word}": found[name]}
        if "sums" in self:
            before = np.cumsum([0, *(part["sums"].shape[-1] for part in self.parts)])[:-1]
            local = found["argmax"] - np.array([begin for begin, _ in self.spans], np.int64)[best[:, 0]]
            own = before[best[:, 0]] + local // 256 * 16 + local % 16
            beside = np.take_along_axis(self.all("beside"), best[:, :, None], 1)
            wanted["sums"] = np.concatenate([part["sums"] for part in self.parts], axis=-1)
            wanted |= {"guesses": np.ascontiguousarray(self.parts[0]["peaks"][:, 0]), "own": own}
            wanted["beside"] = np.ascontiguousarray(beside)
        if self.rows:
            _core.merge_rows(self.code, t, top, tails, tops, self.all("rest"), **wanted)
        return tails


def _listed(summaries: Any) -> list[Array]:
    """The summaries, each a structured array that `shard_summary` may have made."""
    if not isinstance(summaries, Iterable) or isinstance(summaries, str | bytes | dict):
        raise TypeError(f"summaries must be an iterable of structured arrays, got {type(summaries).__name__}")
    if isinstance(summaries, np.ndarray) and summaries.ndim == 0:
        raise ValueError("summaries must hold one per shard, got a scalar")
    given = [np.asarray(each) if isinstance(each, np.void) else each for each in summaries]
    if not given:
        raise ValueError("summaries must hold one per shard, got none")
    for number, each in enumerate(given):
        if not isinstance(each, np.ndarray) or not set(_NEEDED) <= set(each.dtype.names or ()):
            raise TypeError(f"summaries[{number}] must be an array that shard_summary made, got {type(each).__name__}")
    return given


def _check_types(number: int, each: Array) -> None:
    """Refuses fields of another type or shape than `fastlogits.shard_summary` gives them."""
    for name in each.dtype.names or ():
        kind, shape = each.dtype[name].base, each.dtype[name].shape
        if name == "sums":
            right = (kind == _REAL and len(shape) == 2 and shape[0] == 2) or (kind == np.float32 and len(shape) == 1)
        else:
            axes = 1 if name in (*_PAIRS, *_PAIRS.values(), "peaks", "beside") else 0
            lengths = {"peaks": (3,), "beside": (16,)}.get(name, shape)
            right = kind == _TYPES.get(name) and len(shape) == axes and shape == lengths
        if not right:
            raise TypeError(f"summaries[{number}][{name!r}] must be as shard_summary made it, got {each.dtype[name]}")
    names = set(each.dtype.names or ())
    whole, shapes = {"sums", "peaks", "beside"}, {name: each.dtype[name].shape for name in names}
    paired = all(shapes.get(a) == shapes.get(b) for a, b in _PAIRS.items())
    if not paired or names & whole not in (set(), whole) or ("varentropy" in names and "entropy" not in names):
        got = ", ".join(sorted(names))
        raise TypeError(f"summaries[{number}] must hold the fields that shard_summary made, got {got}")


def _check_values(number: int, each: Array) -> None:
    """Refuses numbers that no `fastlogits.shard_summary` gives: they are used as indices and sizes."""

    def check(name: str, good: Array, allowed: str) -> None:
        if not good.all():
            row = int(np.flatnonzero(~good.reshape(-1))[0]) // max(good.size // each.size, 1)
            value = each[name].reshape(each.size, -1)[row].tolist()
            where = row_name(f"summaries[{number}]", row, each.shape)
            raise ValueError(f"{where}[{name!r}] must be {allowed}, got {value[0] if len(value) == 1 else value}")

    vocab, begin, size = each["vocab"], each["offset"], each["size"]
    check("vocab", (vocab >= 1) & (vocab < 2**31), "in [1, 2147483648)")
    check("offset", (begin >= 0) & (begin <= vocab), "in the vocabulary")
    check("size", (size >= 0) & (size <= vocab - begin), "at most what is left of the vocabulary")
    check("code", (each["code"] >= 0) & (each["code"] <= _core.F64), f"in [0, {_core.F64}]")
    check("status", np.isin(each["status"], _STATUSES), "a Status of a row")
    check("temperature", np.isfinite(each["temperature"]) & (each["temperature"] > 0), "finite and > 0")
    check("target", each["target"] < vocab, "in the vocabulary")
    there = (each["best"] >= begin) & (each["best"] < begin + size)
    check("best", there | ((each["best"] == -1) & ~np.isfinite(each["top"])) | (each["target"] < 0), "in the shard")
    names = each.dtype.names or ()
    for name in _PAIRS:
        if name in names:
            check(name, (each[name] >= -1) & (each[name] < vocab[..., None]), "in the vocabulary")
    if "sums" in names and each.size:
        groups = -(-int(size.reshape(-1)[0]) // 256) * 16
        if each.dtype["sums"].shape[-1] != groups:
            shape = each.dtype["sums"].shape
            raise ValueError(f"summaries[{number}]['sums'] must hold {groups} sums per row, got shape {shape}")


def _check_alike(number: int, each: Array, first: Array) -> None:
    """Refuses a summary of other rows or arguments than the first."""
    if each.shape != first.shape:
        raise ValueError(f"summaries[{number}] has rows of shape {each.shape}, summaries[0] of {first.shape}")
    for name in _SAME:
        if name in (each.dtype.names or ()) and name in (first.dtype.names or ()):
            a, b = each[name], first[name]
            if a.shape != b.shape or (a != b).any():
                row = 0 if a.shape != b.shape else int(np.flatnonzero(a != b)[0]) // (a.size // first.size)
                words = "dtype" if name == "code" else "candidates" if name == "given" else name
                where = row_name(f"summaries[{number}]", row, first.shape)
                raise ValueError(f"{where} has another {words} than summaries[0]")
    told, wanted = _fields(each), _fields(first)
    if told != wanted:
        differ = ", ".join(sorted(set(map(str, set(told) ^ set(wanted)))))
        raise ValueError(f"summaries[{number}] holds other figures than summaries[0]: {differ}")
    spans = each[["offset", "size"]].reshape(-1)
    if spans.size and (spans != spans[0]).any():
        raise ValueError(f"summaries[{number}] mixes rows of several shards")


def _fields(summary: Array) -> list[tuple[str, int | None]]:
    """Names of the fields, with their lengths where shards must agree on them."""
    named = [(name, summary.dtype[name]) for name in summary.dtype.names or ()]
    return [(name, None if name == "sums" or not kind.shape else kind.shape[0]) for name, kind in named]


def _check_cover(parts: list[Array]) -> None:
    """Refuses shards, in the order of their offsets, that report tokens twice or leave some out."""
    vocab, end = int(parts[0]["vocab"][0]), 0
    for part in parts:
        begin, size = int(part["offset"][0]), int(part["size"][0])
        if begin < end:
            raise ValueError(f"summaries overlap: two hold tokens {begin} to {min(end, begin + size) - 1}")
        if begin > end:
            break
        end = begin + size
    else:
        begin = vocab
    if end < begin:
        raise ValueError(f"summaries leave out tokens {end} to {begin - 1} of {vocab}")
