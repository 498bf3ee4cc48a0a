"""One temperature for all rows, by Newton's method on the inverse temperature, eight of them evaluated per read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

import fastlogits._core as _core
from fastlogits._common import intake as _temperatures
from fastlogits._common import params
from fastlogits._common.errors import row_name
from fastlogits._common.plain import to_dict
from fastlogits.calibration import _bins, _intake


class Seen(Protocol):
    """Sums over all rows that take part, from one read at eight inverse temperatures b_k; see `intake.Reading`."""

    @property
    def betas(self) -> Any: ...
    @property
    def count(self) -> int: ...
    @property
    def flat(self) -> bool: ...
    def loss(self, k: int) -> float: ...
    def slope(self) -> float: ...
    def error(self, k: int) -> float: ...


# From (step, power) to what is seen at the inverse temperatures (power + k) step, k = 0 ... 7.
Reader = Callable[[float, int], Seen]
BOUNDS = (0.01, 100.0)
NODES = np.arange(_core.TEMPERATURES, dtype=np.float64)
FIRST_STEP = 0.25  # the first read: 1/T = 0.25, 0.5 ... 2, with 1 at number 3
AT_ONE = 3
TOLERANCE = 1e-6  # of 1/T, relative: below what float32 sums can tell
MOST_READS = 60

# Row j holds the coefficient of t^j of the polynomial through values at the nodes, with t = node - MIDDLE.
POLYNOMIAL = np.linalg.inv(np.vander(NODES - _core.MIDDLE, increasing=True))


@dataclass(frozen=True)
class TemperatureFit:
    """The temperature that `fit_temperature` found, and the figures before (T = 1) and after.

    Attributes
    ----------
    temperature : float
        T: divide logits by it, or pass it as ``temperature=``.
    nll_before, nll_after : float
        Mean negative log-likelihood of the targets, in nats.
    ece_before, ece_after : float
        Expected calibration error of the top token, or of the event: l1, 15 bins of equal width, rule "netcal".
    rows : int
        Rows that took part.
    reads : int
        How often the matrix was read.
    at_bound : bool
        Whether T is an end of ``bounds``, the likelihood still growing beyond it. False where the likelihood does not
        depend on T.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fit = fl.fit_temperature([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 0.0]], [0, 1, 1, 0])
    >>> round(fit.temperature, 4), fit.at_bound
    (3.641, False)
    """

    temperature: float
    nll_before: float
    nll_after: float
    ece_before: float
    ece_after: float
    rows: int
    reads: int
    at_bound: bool

    def to_dict(self) -> dict[str, Any]:
        """The fields by name as Python numbers, lists and dicts, which `json.dumps` takes."""
        return to_dict(self)


class _Search:
    """Reads of one matrix, and the range [low, high] of the inverse temperature that is left."""

    def __init__(self, reader: Reader, low: float, high: float) -> None:
        self.reader, self.low, self.high = reader, low, high
        self.reads = 0

    def read(self, step: float, power: int) -> tuple[Seen, Any]:
        """One read at eight inverse temperatures and the mean loss at each, [8]."""
        self.reads += 1
        seen = self.reader(step, power)
        return seen, np.array([seen.loss(k) for k in range(_core.TEMPERATURES)])

    def coarse(self, seen: Seen, losses: Any) -> float:
        """An inverse temperature near the minimum, from grids of 1 : 8 moved until one holds it; of equals the last.

        Grids move one way only, so the bounds end the search: where the next one would be the one before, the losses
        between them differ by rounding alone.
        """
        before = 1.0
        while True:
            best, step = len(NODES) - 1 - int(losses[::-1].argmin()), float(seen.betas[0])
            if best == len(NODES) - 1:
                if seen.betas[-1] >= self.high:
                    return self.high
                factor = 4.0
            elif best == 0:
                if step <= self.low:
                    return self.low
                factor = 0.25
            else:
                below, at, above = losses[best - 1 : best + 2]
                bend = below - 2 * at + above
                return step * float(1 + best + (0.5 * (below - above) / bend if bend > 0 else 0.0))
            if factor * before == 1.0:
                return step * (1 + best)
            before = factor
            seen, losses = self.read(step * factor, 1)

    def at(self, beta: float) -> Seen:
        """One read around ``beta``, or the end of the range nearest to it."""
        beta = min(max(beta, self.low), self.high)
        return self.read(beta / (4 + _core.MIDDLE), 4)[0]

    def settle(self, beta: float) -> tuple[float, Seen, bool]:
        """Newton's steps from ``beta``: slope from the mean logit there, bend from the losses around it."""
        low, high, middle = self.low, self.high, _core.MIDDLE
        while True:
            beta = min(max(beta, self.low), self.high)
            step = beta / (4 + middle)
            seen, losses = self.read(step, 4)
            slope, bend = seen.slope(), 2.0 * float(POLYNOMIAL[2] @ losses) / step**2
            low, high = (beta, high) if slope < 0 else (low, beta)
            if (slope <= 0 and beta == self.high) or (slope > 0 and beta == self.low):
                return beta, seen, True
            newton = beta - slope / bend if bend > 0 else math.nan
            following = newton if low <= newton <= high else math.sqrt(low * high)
            if abs(newton - beta) <= TOLERANCE * beta or slope == 0 or self.reads >= MOST_READS:
                return beta, seen, False
            beta = following


def fit_temperature(
    logits: Any,
    targets: Any,
    *,
    from_logits: bool | None = None,
    bounds: tuple[float, float] = BOUNDS,
    ignore_index: int | None = None,
    threads: int | None = None,
) -> TemperatureFit:
    """Temperature scaling: the one T that makes the targets most likely under softmax(logits / T).

    Parameters
    ----------
    logits : array_like [..., V] or [...]
        float32, float16, bfloat16 or float64; a memmap is read in place and may exceed the memory. One logit per
        target is that of a single event, with the probability 1 / (1 + exp(-logit / T)).
    targets : array_like of int or bool [...]
        The true token of each row, in [0, V); of an event, 1 or True where it happened, else 0.
    from_logits : bool, optional
        False: ``logits`` are probabilities, and T divides their logarithms (of an event, those of 1 - p and p). These
        are held in memory. True: they are logits. By default they are logits, but an error if every row could be
        probabilities: not negative, with a sum within 1e-3 of 1.
    bounds : (float, float), default (0.01, 100)
        Range of T, 1e-4 <= low < high <= 1e4. Where no minimum lies inside, its nearer end is the result, and
        ``at_bound`` is True: so it is when every target is the top token already. Where the likelihood does not depend
        on T in this range (all logits of a row are equal, or -inf), T is 1, or the end of the range nearest to 1.
    ignore_index : int, optional
        Rows with this target do not take part and are not read.
    threads : int >= 0, optional
        Threads that share the rows; 0 means all cores. FASTLOGITS_THREADS, else 1, by default.

    Returns
    -------
    TemperatureFit
        T, and the negative log-likelihood and expected calibration error before and after.

    Raises
    ------
    ValueError
        A target out of range or of logit -inf; shapes that do not match; bounds out of range; a row with NaN or +inf;
        no row that takes part; probabilities without ``from_logits=False``.
    TypeError
        A type that is not supported.

    Notes
    -----
    The loss is convex in b = 1/T (Guo et al., 2017, propose the method). Each read of the matrix evaluates it at eight
    inverse temperatures d, 2d ... 8d or 4d ... 11d from one exponential per logit, and its derivative, the mean logit
    less the target's, at one. Grids of the first kind enclose the minimum; then Newton's steps with the bend of the
    polynomial through the eight losses, held inside the range that the signs of the derivative leave. Usually 3 to 5
    reads; b is found to 1e-6. Sums over rows are exact: equal bits for any order of rows, threads and instruction set.

    Examples
    --------
    >>> import fastlogits as fl
    >>> import numpy as np
    >>> rng = np.random.default_rng(7)
    >>> logits = rng.normal(0, 2, (2000, 50))
    >>> targets = [rng.choice(50, p=fl.softmax(row)) for row in logits]
    >>> fit = fl.fit_temperature((3 * logits).astype(np.float32), targets)  # three times too sure
    >>> round(fit.temperature, 1)
    2.9
    >>> fit.ece_after < 0.03 < fit.ece_before
    True
    """
    x, ids = _intake.fitted(logits, targets, from_logits, ignore_index)
    classes = _intake.are_classes("logits", logits, targets)
    return fit(lambda step, power: read(x, ids, classes, step, power, threads), limits(bounds))


def fit(reader: Reader, bounds: tuple[float, float]) -> TemperatureFit:
    """`fit_temperature` on what ``reader`` reads."""
    search = _Search(reader, 1.0 / bounds[1], 1.0 / bounds[0])
    first, losses = search.read(FIRST_STEP, 1)
    if first.flat and search.at(0.0).flat:
        beta, at_bound = min(max(1.0, search.low), search.high), False
        last = search.at(beta)
    else:
        beta, last, at_bound = search.settle(search.coarse(first, losses))
    return TemperatureFit(
        float(1.0 / beta),
        float(losses[AT_ONE]),
        last.loss(_core.MIDDLE),
        first.error(AT_ONE),
        last.error(_core.MIDDLE),
        first.count,
        search.reads,
        at_bound,
    )


def read(x: Any, ids: Any, classes: bool, step: float, power: int, threads: int | None) -> Rows:
    """One read of checked rows at eight inverse temperatures."""
    seen = _temperatures.read("logits", x, ids, (step, power, _core.TEMPERATURES), threads)
    return (Rows if classes else Events).of(seen, x.shape[:-1])


class Rows(_temperatures.Reading):
    """A reading of rows whose targets all have a probability."""

    @classmethod
    def of(cls, seen: _temperatures.Reading, outer: tuple[int, ...]) -> Rows:
        """The reading; the first row whose target's logit is -inf is refused, counted in the shape ``outer``."""
        unlikely = np.flatnonzero(np.isposinf(seen.gaps))
        if unlikely.size:
            row = int(seen.rows[unlikely[0]])
            raise ValueError(f"{row_name('logits', row, outer)}: the target's logit must be finite, got -inf")
        return cls(**vars(seen))

    @property
    def count(self) -> int:
        """How many rows take part."""
        return len(self.rows)

    def error(self, k: int) -> float:
        """The expected calibration error at b_k."""
        return _bins.expected_error(*self.column(k))


class Events(Rows):
    """Rows of two logits, whose second one is that of an event."""

    def column(self, k: int, classes: bool = False) -> tuple[Any, Any]:
        """Confidence and truth of each event at b_k."""
        return super().column(k, classes)


def limits(bounds: Any) -> tuple[float, float]:
    """The checked range of T."""
    pair = params.number("bounds", tuple(bounds), 1e-4, 1e4, off=1.0)
    if len(pair) != 2 or not pair[0] < pair[1]:
        raise ValueError(f"bounds must be (low, high) with low < high, got {bounds!r}")
    return pair[0], pair[1]
