"""Whether two results are the same, and how far each is from the exact one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Bits of the significand behind the leading one, and the exponent of the least normal number.
_FORMATS = {"float64": (52, -1022), "float32": (23, -126), "float16": (10, -14), "bfloat16": (7, -126)}


def ulp(got: Any, exact: Any, dtype: str = "float32") -> float:
    """Largest |got - exact| in units in the last place of a type at `exact`, float64; equal infinities are 0 away.

    A unit is never less than that of the least normal number; of float32 and bfloat16, results below that number may
    be flushed to zero.
    """
    value, right = np.asarray(got, np.float64), np.asarray(exact, np.float64)
    if value.shape != right.shape:
        return float("inf")
    finite = np.isfinite(right)
    if not np.array_equal(value[~finite], right[~finite]):
        return float("inf")
    value, right = value[finite], right[finite]
    bits, lowest = _FORMATS[dtype]
    least = 2.0**lowest
    exponents = np.frexp(np.maximum(np.abs(right), least))[1] - 1
    away = np.abs(value - right) / np.ldexp(1.0, exponents - bits)
    if dtype != "float16":
        away[(np.abs(right) < least) & (np.abs(value) <= least)] = 0
    return float(away.max(initial=0)) if not np.isnan(away).any() else float("inf")


class Found(NamedTuple):
    """What a call found: ids, values, or values next to ids."""

    ids: NDArray[np.int64] | None
    values: NDArray[Any] | None


class Verdict(NamedTuple):
    """Whether a result counts as the same, the worst ulp of its values (None without them), and what to say."""

    same: bool
    ulp: float | None
    note: str = ""


@dataclass(frozen=True)
class Values:
    """Values one by one: |got - exact| <= rtol |exact| + atol; ids, where there are any, equal and in order.

    A type whose unit in the last place is larger has that for its tolerance.
    """

    rtol: float = 1e-4
    atol: float = 0.0

    def __call__(self, got: Found, exact: Found, dtype: str) -> Verdict:
        """The verdict on `got`."""
        if (got.ids is None) != (exact.ids is None) or (got.values is None) != (exact.values is None):
            return Verdict(False, None, "gives something else")
        note = ""
        if exact.ids is not None and got.ids is not None:
            ids = np.ravel(got.ids)
            if ids.shape != exact.ids.shape:
                return Verdict(False, None, f"{ids.size:,} ids where {exact.ids.size:,} are right")
            wrong = np.flatnonzero(ids != exact.ids)
            if wrong.size and not self._swapped(ids, exact):
                at = wrong[0]
                told = f"{wrong.size:,} ids differ, the first at {at}: {ids[at]} for {exact.ids[at]}"
                return Verdict(False, None, told)
            if wrong.size:
                note = f"{wrong.size:,} ids among equal values differ"
        if exact.values is None or got.values is None:
            return Verdict(True, None)
        found = self._values(np.ravel(got.values), np.ravel(exact.values), dtype)
        return found if found.note else found._replace(note=note)

    @staticmethod
    def _swapped(ids: NDArray[np.int64], exact: Found) -> bool:
        """Whether ids differ only among equal values, where a library may order and cut as it likes."""
        if exact.ids is None or exact.values is None or exact.values.shape != exact.ids.shape:
            return False
        above = exact.values != exact.values[-1]
        for value in np.unique(exact.values[above]):
            there = exact.values == value
            if not np.array_equal(np.sort(ids[there]), np.sort(exact.ids[there])):
                return False
        return np.unique(ids).size == ids.size and not np.isin(ids[~above], exact.ids[above]).any()

    def _values(self, got: NDArray[Any], exact: NDArray[Any], dtype: str) -> Verdict:
        if got.shape != exact.shape:
            return Verdict(False, None, f"{got.size:,} values where {exact.size:,} are right")
        error = ulp(got, exact, dtype)
        wide = got.astype(np.float64)
        finite = np.isfinite(exact)
        bits, lowest = _FORMATS[dtype]
        rtol = max(self.rtol, 2.0**-bits)
        atol = max(self.atol, 2.0 ** (lowest - bits if dtype == "float16" else lowest))
        with np.errstate(invalid="ignore"):
            close = np.abs(wide - exact) <= rtol * np.abs(exact) + atol
        wrong = np.flatnonzero(np.where(finite, ~close, wide != exact))
        if wrong.size:
            at = wrong[0]
            return Verdict(
                False, error, f"{wrong.size:,} values differ, the first at {at}: {wide[at]:.7g} for {exact[at]:.7g}"
            )
        return Verdict(True, error)


@dataclass(frozen=True)
class Distribution:
    """Probabilities next to kept ids: total variation <= `most`, so that a sum in float32 may end a token apart."""

    most: float = 1e-5

    def __call__(self, got: Found, exact: Found, dtype: str) -> Verdict:
        """The verdict on `got`; ulp of the tokens that both keep."""
        if got.ids is None or got.values is None or exact.ids is None or exact.values is None:
            return Verdict(False, None, "gives something else")
        ids, mine, right = np.intersect1d(got.ids, exact.ids, return_indices=True)
        values = got.values.astype(np.float64)
        lacking, more = exact.ids.size - ids.size, got.ids.size - ids.size
        both = float(np.abs(values[mine] - exact.values[right]).sum())
        alone = float(values.sum() - values[mine].sum() + exact.values.sum() - exact.values[right].sum())
        distance = (both + alone) / 2
        apart = " and ".join(
            f"{count:,} {what}" for count, what in ((more, "more"), (lacking, "fewer")) if count
        )  # fmt: skip
        note = f"keeps {got.ids.size:,} tokens, {apart}" if apart else ""
        if not distance <= self.most:
            told = note or f"keeps the same {ids.size:,} tokens"
            return Verdict(False, None, f"{told}; total variation {distance:.2g}")
        return Verdict(True, None if apart else ulp(values[mine], exact.values[right], dtype), note)


Check = Values | Distribution
