"""Scaling of the logits of few classes: one temperature or one weight per class, and a bias per class, by Newton."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogits._common import bfloat16 as half
from fastlogits._common import intake as _temperatures
from fastlogits._common import params
from fastlogits._common.errors import row_name
from fastlogits._common.plain import to_dict
from fastlogits.calibration import _bins, _intake

Floats = NDArray[np.float64]
METHODS = ("bias-corrected", "vector")
MOST_CLASSES = 1024
MOST_STEPS = 100
CHUNK = 1 << 20  # logits held in float64 at a time


@dataclass(frozen=True, eq=False)
class Scaling:
    """What `fit_scaling` found: calibrated logits are ``weights * logits + biases``.

    Attributes
    ----------
    weights : float64 array [C]
        All equal, 1/T, for the method "bias-corrected".
    biases : float64 array [C]
        Added after the weights; they sum to 0.
    nll_before, nll_after : float
        Mean negative log-likelihood of the targets, in nats.
    ece_before, ece_after : float
        Expected calibration error of the top class: l1, 15 bins of equal width, rule "netcal".
    rows, steps : int
        Rows that took part; Newton's steps.

    Examples
    --------
    >>> import fastlogits as fl
    >>> scaling = fl.fit_scaling([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [2.0, 0.0]], [0, 1, 1, 1])
    >>> bool(scaling.biases[1] > 0 > scaling.biases[0])
    True
    """

    weights: Floats
    biases: Floats
    nll_before: float
    nll_after: float
    ece_before: float
    ece_after: float
    rows: int
    steps: int

    def to_dict(self) -> dict[str, Any]:
        """The fields by name as Python numbers, lists and dicts, which `json.dumps` takes."""
        return to_dict(self)

    def transform(self, logits: Any) -> Floats:
        """Calibrated logits, float64, of logits [..., C]."""
        x = _temperatures.logits_of(logits)
        if x.shape[-1] != len(self.weights):
            raise ValueError(f"logits must have {len(self.weights)} classes, got shape {x.shape}")
        scaled: Floats = half.wide(x) * self.weights + self.biases
        return scaled


def fit_scaling(
    logits: Any,
    targets: Any,
    *,
    method: str = "bias-corrected",
    ridge: float = 1e-4,
    from_logits: bool | None = None,
    ignore_index: int | None = None,
) -> Scaling:
    """Bias-corrected temperature scaling or vector scaling of the logits of C classes.

    Parameters
    ----------
    logits : array_like [..., C]
        Finite; C <= 1024 (Newton's method holds a matrix of (2 C)^2).
    targets : array_like of int [...]
        The true class of each row, in [0, C).
    method : {"bias-corrected", "vector"}, default "bias-corrected"
        softmax(x / T + b) with one T and a bias per class (Alexandari et al., 2020); or softmax(w * x + b) with a
        weight per class too (Guo et al., 2017).
    ridge : float > 0, default 1e-4
        Adds ridge / 2 times the squared distance from w = 1, b = 0 to the mean loss. It makes the minimum unique:
        without it a class that never occurs would have the bias -inf.
    from_logits : bool, optional
        False: ``logits`` are probabilities, whose logarithms are scaled; pass those to ``transform``. True: they are
        logits. By default they are logits, but an error if every row could be probabilities: not negative, with a sum
        within 1e-3 of 1.
    ignore_index : int, optional
        Rows with this target do not take part.

    Returns
    -------
    Scaling
        ``weights`` and ``biases``, the figures before and after, and ``transform``.

    Raises
    ------
    ValueError
        Too many classes, a logit that is not finite, a target or word out of range, shapes that do not match,
        probabilities without ``from_logits=False``.
    TypeError
        A type that is not supported.

    Notes
    -----
    The loss is convex; Newton's steps with the full second derivative, halved until the loss falls, to a change
    below 1e-10.

    Examples
    --------
    >>> import fastlogits as fl
    >>> import numpy as np
    >>> rng = np.random.default_rng(7)
    >>> logits = rng.normal(0, 1, (3000, 3))
    >>> targets = [rng.choice(3, p=fl.softmax(row + [1.0, 0.0, -1.0])) for row in logits]
    >>> scaling = fl.fit_scaling(2 * logits, targets)
    >>> scaling.weights.round(1), scaling.biases.round(1)
    (array([0.5, 0.5, 0.5]), array([ 1.,  0., -1.]))
    """
    method = _bins.word("method", method, METHODS)
    weight = params.number("ridge", ridge, 0.0, off=1e-4, open_low=True)
    if isinstance(weight, tuple):
        raise TypeError("ridge must be one number")
    classes = _temperatures.logits_of(logits).shape[-1]
    if classes > MOST_CLASSES:
        raise ValueError(f"logits must have at most {MOST_CLASSES} classes, got {classes}")
    if not _intake.are_classes("logits", logits, targets):
        raise ValueError(f"logits must have one axis more than targets, got shape {np.shape(logits)} for both")
    problem = _Problem(*_intake.fitted(logits, targets, from_logits, ignore_index), method == "bias-corrected", weight)
    before = problem.start()
    found, steps = problem.minimise(before)
    return Scaling(
        *problem.split(found),
        problem.loss(before),
        problem.loss(found),
        problem.error(before),
        problem.error(found),
        len(problem.ids),
        steps,
    )


class _Problem:
    """The loss of one calibration set as a function of the parameters: (1/T, biases) or (weights, biases)."""

    def __init__(self, x: Any, ids: Any, shared: bool, ridge: float) -> None:
        self.classes, keep = x.shape[-1], ids >= 0
        self.x, self.ids = x.reshape(-1, self.classes)[keep], ids[keep]
        self.shared, self.ridge = shared, ridge
        for begin, chunk, _ in self.chunks():
            bad = np.flatnonzero(~np.isfinite(chunk).all(-1))
            if bad.size:
                row = int(np.flatnonzero(keep)[begin + bad[0]])
                raise ValueError(f"{row_name('logits', row, x.shape[:-1])} must be finite")

    def chunks(self) -> Iterator[tuple[int, Floats, NDArray[np.int64]]]:
        """First row, logits in float64 and classes of some rows at a time."""
        rows = max(1, CHUNK // self.classes)
        for begin in range(0, len(self.ids), rows):
            yield begin, half.wide(self.x[begin : begin + rows]), self.ids[begin : begin + rows]

    def start(self) -> Floats:
        """The parameters that change nothing."""
        return np.concatenate([np.ones(1 if self.shared else self.classes), np.zeros(self.classes)])

    def split(self, parameters: Floats) -> tuple[Floats, Floats]:
        """Weights and biases, both [C]."""
        weights = parameters[: -self.classes]
        return np.broadcast_to(weights, self.classes).copy(), parameters[-self.classes :]

    @np.errstate(over="ignore")  # a difference of logits near the largest double: probability 0
    def log_probs(self, x: Floats, parameters: Floats) -> Floats:
        """Log-softmax of the scaled logits."""
        weights, biases = self.split(parameters)
        z = x * weights + biases
        z -= z.max(-1, keepdims=True)
        scores: Floats = z - np.log(np.exp(z).sum(-1, keepdims=True))
        return scores

    def loss(self, parameters: Floats) -> float:
        """Mean negative log-likelihood."""
        parts = [self.log_probs(x, parameters)[np.arange(len(ids)), ids] for _, x, ids in self.chunks()]
        return -_intake.mean(np.concatenate(parts))

    def penalized(self, parameters: Floats) -> float:
        """The loss with the ridge."""
        off = parameters - self.start()
        return self.loss(parameters) + self.ridge / 2 * float(off @ off)

    @np.errstate(over="ignore", invalid="ignore")  # of such logits: a step that is not finite is not taken
    def derivatives(self, parameters: Floats) -> tuple[Floats, Floats]:
        """Gradient and second derivative of the penalized mean loss."""
        size, n = len(parameters), len(self.ids)
        gradient, second = np.zeros(size), np.zeros((size, size))
        for _, x, ids in self.chunks():
            p = np.exp(self.log_probs(x, parameters))
            off = p.copy()
            off[np.arange(len(ids)), ids] -= 1
            gradient += self._fold((off * x).sum(0), off.sum(0))
            moved = np.concatenate([(p * x).sum(-1, keepdims=True) if self.shared else p * x, p], axis=1)
            second -= moved.T @ moved
            self._add_diagonal(second, p, x)
        identity = np.eye(size) * self.ridge
        return gradient / n + self.ridge * (parameters - self.start()), second / n + identity

    def _fold(self, by_weight: Floats, by_bias: Floats) -> Floats:
        """Derivatives by the parameters from those by weights and biases."""
        return np.concatenate([by_weight.sum(keepdims=True) if self.shared else by_weight, by_bias])

    def _add_diagonal(self, second: Floats, p: Floats, x: Floats) -> None:
        """The part sum over classes of p J J', J the derivative of a class's scaled logit by the parameters."""
        squares, firsts, c = (p * x * x).sum(0), (p * x).sum(0), np.arange(self.classes)
        first = 1 if self.shared else self.classes
        second[first + c, first + c] += p.sum(0)
        if self.shared:
            second[0, 0] += squares.sum()
            second[0, 1:] += firsts
            second[1:, 0] += firsts
        else:
            second[c, c] += squares
            second[c, first + c] += firsts
            second[first + c, c] += firsts

    def minimise(self, parameters: Floats) -> tuple[Floats, int]:
        """Newton's method with steps halved until the loss falls; biases that sum to 0."""
        now = self.penalized(parameters)
        for taken in range(1, MOST_STEPS + 1):
            gradient, second = self.derivatives(parameters)
            step = np.linalg.solve(second, gradient)
            size, trial = 1.0, parameters - step
            while size > 1e-10 and not (then := self.penalized(trial)) <= now:
                size /= 2
                trial = parameters - size * step
            if size <= 1e-10:
                return parameters, taken
            gain, parameters, now = now - then, trial, then
            if gain <= 1e-14 or float(np.abs(size * step).max()) <= 1e-10:
                return parameters, taken
        return parameters, MOST_STEPS

    def error(self, parameters: Floats) -> float:
        """Expected calibration error of the top class."""
        pairs = [(scores, ids) for _, x, ids in self.chunks() for scores in [self.log_probs(x, parameters)]]
        confidences = np.concatenate([np.exp(scores.max(-1)) for scores, _ in pairs])
        correct = np.concatenate([scores.argmax(-1) == ids for scores, ids in pairs])
        return _bins.expected_error(confidences, correct)
