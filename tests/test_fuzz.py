"""Odd rows, long rows and odd plans through all four ends against the reference; the same bits however a row lies.

The rows of `plans` are ordinary; here they are far from zero, tiny, huge, masked by the lowest float, nearly all
banned, log-probs already, and up to 300,000 long. Everything is a function of the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import made
import ml_dtypes
import numpy as np
import plans
import pytest
import rows
from numpy.typing import NDArray

import fastlogits as fl
from fastlogits import reference, steps

FEW, MANY = 300, 12_000  # cases of short rows: by default, under -m slow
FEW_LONG, MANY_LONG = 2, 300  # cases of long rows
PARTS = 20
SHORT = [1, 2, 3, 15, 16, 17, 31, 33, 100, 255, 256, 257, 1000, 4097, 20_000]
LONG = [50_000, 65_536, 70_001, 128_256, 300_000]
DTYPES: list[Any] = [np.float32, np.float32, np.float32, np.float16, ml_dtypes.bfloat16, np.float64]
DRAW = 2e-7  # how near to the end of a drawn token's interval rounding may decide otherwise
# Relative error of a probability and of a filtered logit that stays within the type's own rounding.
PROBS = {"float32": 2e-6, "float16": 1e-3, "bfloat16": 8e-3, "float64": 1e-12}
LOGITS = {"float32": 1.2e-7, "float16": 1e-3, "bfloat16": 8e-3, "float64": 1e-15}

Row = NDArray[np.float64]


# ---- rows and plans ------------------------------------------------------------------------------------------------


def replaced(row: Row, rng: np.random.Generator, value: float) -> Row:
    return np.where(rng.random(row.size) < rng.choice([0.1, 0.9, 0.999]), value, row)


ROWS: dict[str, Callable[[Row, np.random.Generator], Row]] = {
    "normal": lambda x, rng: x,
    "flat": lambda x, rng: rng.uniform(-1, 1, x.size),
    "very flat": lambda x, rng: x * 0.01,
    "rounded": lambda x, rng: np.round(x * rng.choice([1, 2, 8])) / 8,
    "equal": lambda x, rng: np.full(x.size, rng.choice([0.0, 1.5, -3.0])),
    "offset": lambda x, rng: x + rng.choice([1e4, -1e4]),
    "far": lambda x, rng: x + rng.choice([1e5, -1e5, 3e6]),
    "masked": lambda x, rng: replaced(x, rng, float(np.finfo(np.float32).min)),
    "banned": lambda x, rng: replaced(x, rng, -np.inf),
    "peaky": lambda x, rng: np.where(np.arange(x.size) == rng.integers(x.size), x + rng.choice([5, 20, 100]), x),
    "log-probs": lambda x, rng: np.asarray(reference.log_softmax(x)),
    "zeros": lambda x, rng: np.where(rng.random(x.size) < 0.5, 0.0, x * 1e-30),
    "tiny": lambda x, rng: x * 1e-38,
    "huge": lambda x, rng: x * rng.choice([1e20, 1e30]),
    "two values": lambda x, rng: np.where(rng.random(x.size) < 0.5, 1.0, 1.0 + rng.choice([1e-3, 0.5])),
    "sorted": lambda x, rng: np.sort(x)[:: rng.choice([1, -1])],
}


#: Rows with ties that a rounding must not undo.
TIED = ("rounded", "equal", "masked", "zeros", "two values")


def random_row(rng: np.random.Generator, n: int) -> tuple[str, NDArray[Any]]:
    """A row [n] of a random class and type, with a finite value and no +inf; float64 holds float32 values."""
    dtype = DTYPES[rng.integers(len(DTYPES))]
    with np.errstate(over="ignore"):
        while True:
            kind = str(rng.choice(list(ROWS)))
            row = ROWS[kind](rng.normal(size=n) * rng.choice([0.5, 1, 3]), rng).astype(np.float32).astype(dtype)
            top = float(row.max())
            if np.isfinite(top):
                return kind, row


def random_edit(rng: np.random.Generator, n: int) -> Any:
    """An edit: few or thousands of biases, a mask of any density and length, or a penalty."""
    kind, window = rng.integers(5), None if rng.random() < 0.5 else int(rng.integers(0, 60))
    if kind == 0:
        ids = rng.choice(n, min(n, int(rng.choice([1, 5, 100, 3000]))), replace=False)
        values = np.round(rng.normal(size=ids.size) * rng.choice([1, 5]), 3)
        values[rng.random(ids.size) < 0.1] = -np.inf
        values[0] = rng.choice([values[0], 100.0, -100.0, 300.0], p=[0.7, 0.1, 0.1, 0.1])
        return steps.LogitBias((ids, values))
    if kind == 1:
        allowed = rng.random(n) < rng.choice([0.01, 0.5, 0.99])
        if rng.random() < 0.5:
            return steps.Mask(allowed[: max(1, int(n * rng.random()))])
        packed = np.zeros(-(-n // 32) * 4, np.uint8)
        packed[: -(-n // 8)] = np.packbits(allowed, bitorder="little")
        words = packed.view("<i4").astype(np.int32)
        return steps.Mask(words[: max(1, int(words.size * rng.choice([1, 1, 0.5])))])
    if kind == 2:
        return steps.RepetitionPenalty(float(rng.choice([1.1, 1.3, 0.7])), window)
    if kind == 3:
        return steps.FrequencyPenalty(float(rng.choice([0.3, -0.2, 2])), window)
    return steps.PresencePenalty(float(rng.choice([0.5, -1])), window)


def random_plan(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """Edits, a temperature, and cuts: often a single one, which has a way of its own, else up to four of any kind."""
    keep, joint = int(rng.choice([1, 1, 1, 3, 100, 300])), bool(rng.random() < 0.1)

    def edit() -> Any:
        return random_edit(rng, n)

    def temperature() -> Any:
        return steps.Temperature(float(rng.choice([0.1, 0.5, 0.7, 0.8, 1.3, 2, 10, 1e-3, 100])))

    def top_p() -> Any:
        return steps.TopP(float(rng.choice([0, 1e-6, 0.001, 0.1, 0.5, 0.9, 0.95, 0.99, 0.9999])), keep, joint)

    def top_k() -> Any:
        k = int(rng.choice([1, 2, 5, 50, 1000, max(1, n - 1), max(1, n // 2)]))
        return steps.TopK(k, keep, str(rng.choice(["id", "keep"])), joint)

    def min_p() -> Any:
        return steps.MinP(float(rng.choice([1.0, 0.5, 0.05, 1e-3, 1e-6, 1e-20])), keep)

    plan = [edit() for _ in range(int(rng.choice([0, 0, 1, 2])))]
    if rng.random() < 0.6:
        plan.append(temperature())
    if rng.random() < 0.2:
        plan.append(edit())
    shapes: list[list[Any]] = [[], [], [top_p], [top_p], [min_p], [min_p], [top_k, top_p, min_p]]
    shape = int(rng.integers(10))
    free = [(top_p, top_k, min_p, edit, temperature)[i] for i in rng.integers(0, 5, int(rng.integers(1, 5)))]
    plan += [make() for make in (shapes[shape] if shape < len(shapes) else free)]
    if rng.random() < 0.02:
        plan.append(steps.Temperature(0))
    return tuple(plan)


def with_others(rng: np.random.Generator, plan: tuple[Any, ...], numbers: made.Numbers) -> tuple[Any, ...]:
    """The plan and up to two steps of any kind, each where it may stand."""
    names = [str(name) for name in rng.choice(made.NAMES, 1 if rng.random() < 0.7 else 2)]
    found = list(plan)
    for name in names:
        if name in made.ANYWHERE:
            found.insert(int(rng.integers(0, len(found) + 1)), made.step(name, numbers))
    first = [made.step(name, numbers) for name in names if name in made.FIRST]
    last = [made.step(name, numbers) for name in names if name in made.LAST]
    return (*first[:1], *found, *last[:1])


def random_case(seed: int, lengths: list[int]) -> plans.Case:
    """The case of this seed."""
    rng = np.random.default_rng([seed, 0xF022])
    n = int(rng.choice(lengths))
    kind, row = random_row(rng, n)
    plan = random_plan(rng, n)
    context = rng.integers(0, n, int(rng.choice([0, 5, 200]))).tolist()
    numbers = made.Numbers.of(rng, n, len(context), kind in TIED)
    if rng.random() < 0.6:
        plan = with_others(rng, plan, numbers)
    beside = made.beside(plan, row.astype(np.float64), numbers)
    held = {name: values.astype(np.float32).astype(row.dtype) for name, values in beside.items()}
    return plans.Case(kind, row, plan, context, int(rng.integers(0, len(context) + 1)), seed, held)


# ---- what may be wrong ---------------------------------------------------------------------------------------------


class Checked:
    """One case run through the library by `plan` (the case's own unless a control says otherwise); `faults` name what
    differs from the reference."""

    def __init__(self, case: plans.Case, plan: tuple[Any, ...] | None = None) -> None:
        self.case, self.row = case, case.row
        # Random steps of the reference have seed and key 0, and the length of the context as position.
        self.random = any(step.random for step in case.plan)
        self.rough = any(step.name in plans.ROUGH for step in case.plan)
        self.seed, self.positions = (0, [len(case.context)]) if self.random else (case.seed, list(range(3)))
        self.inputs = {**case.inputs(), "rng": self.seed}
        self.sampler = fl.Sampler(*(case.plan if plan is None else plan))
        self.dtype = case.row.dtype.name
        self.faults: list[str] = []
        right = plans.run(case)
        if right is None:
            self.refusals()
            return
        self.right, self.order = right, reference.Row(right).order()
        self.scores = np.asarray(reference.log_softmax(right))
        self.candidates()
        self.probabilities()
        self.filtered()
        self.log_probs()
        self.draws()
        self.placements()

    def expect(self, sound: Any, what: str) -> None:
        if not sound:
            self.faults.append(what)

    def refusals(self) -> None:
        """No token is left: every end says so."""
        for end in ("candidates", "probs", "filter_logits", "sample"):
            try:
                getattr(self.sampler, end)(self.row, **self.inputs)
            except ValueError:
                continue
            self.faults.append(f"{end} gave a result where no token is left")

    def candidates(self) -> None:
        got = self.sampler.candidates(self.row, **self.inputs)
        if not np.array_equal(got.ids, self.order):
            self.faults.append(f"candidates: {got.ids.size} kept, not {self.order.size}")
            return
        sure = self.scores[self.order] > -200
        away = np.abs(got.logprobs - self.scores[self.order])
        self.expect((away[sure] <= 2e-5).all(), "log-probs of the candidates")

    def probabilities(self) -> None:
        got, exact = np.asarray(self.sampler.probs(self.row, **self.inputs), np.float64), np.exp(self.scores)
        sure = exact > (1e-4 if self.dtype == "float16" else 1e-37)
        self.expect(not got[self.right == -np.inf].any(), "probs of removed tokens")
        # The reference rounds logits far from zero; masses are exponentials of their differences.
        rounded = 4 * np.finfo(np.float64).eps * np.abs(self.right[sure]).max(initial=0)
        self.expect((np.abs(got[sure] / exact[sure] - 1) <= PROBS[self.dtype] + rounded).all(), "probs")

    def filtered(self) -> None:
        largest = float(ml_dtypes.finfo(self.row.dtype).max)
        if not self.right.max() < 0.999 * largest:
            return  # beyond the type, an error: tests/test_errors.py
        got = np.asarray(self.sampler.filter_logits(self.row, **self.inputs), np.float64)
        alive = self.right > -0.999 * largest
        self.expect(
            (got[alive] > -np.inf).all() and (got[self.right == -np.inf] == -np.inf).all(), "filter_logits kept"
        )
        if self.faults:
            return
        least = 1e-7 if self.dtype == "float16" else 1e-37
        rounded = max(LOGITS[self.dtype], 2e-6 * self.rough)
        bound = rounded * np.abs(self.right[alive]) + max(least, 2e-6 * self.rough)
        self.expect((np.abs(got[alive] - self.right[alive]) <= bound).all(), "filter_logits")

    def log_probs(self) -> None:
        drawn = self.sampler.sample(self.row, **self.inputs, logprobs=4)
        self.expect(drawn.top_ids.tolist() == [*self.order[:4].tolist(), *[-1] * 4][:4], "top_ids")
        if self.right[drawn.ids] == -np.inf:
            self.faults.append("drew a removed token")
            return
        raw = reference.log_softmax(plans.came(self.case))[drawn.ids]
        top = np.where(drawn.top_ids < 0, -np.inf, self.scores[drawn.top_ids])
        self.expect(drawn.ranks == 1 + np.count_nonzero(self.right > self.right[drawn.ids]), "ranks")
        pairs = (drawn.logprobs, self.scores[drawn.ids]), (drawn.raw_logprobs, raw), (drawn.top_logprobs, top)
        for (got, exact), name in zip(pairs, ("logprobs", "raw_logprobs", "top_logprobs"), strict=True):
            least = float(np.finfo(np.asarray(got).dtype).min)  # of what is finite, and stays so in the result's type
            near = np.where(np.isfinite(exact), np.maximum(exact, least), exact)
            self.expect(np.allclose(got, near, rtol=2e-7, atol=3e-6), name)

    def draws(self) -> None:
        gumbel = self.case.plan[-1:] == (steps.Gumbel(),)
        for position in self.positions if not gumbel or self.row.size <= 300 else ():
            token = self.sampler.sample(self.row, **self.inputs, position=position)
            if gumbel:
                values, order = reference.Row(self.right, random=(self.seed, 0, position)).perturbed()
                away = values[order[0]] - values[token]
                self.expect(away <= 2e-6 * max(1.0, abs(values[order[0]])), f"drew {token}, not {order[0]}")
                continue
            low, high = plans.interval(self.right, token)
            u = plans.draw_uniform(self.case, self.seed, position)
            self.expect(low - DRAW <= u < high + DRAW, f"drew {token}, [{low}, {high}), with u = {u}")

    def placements(self) -> None:
        """Neighbours, threads, alignment, strides and writing over the input change no bit."""
        row, n = self.row, self.row.size
        token, probs = (f(row, **self.inputs) for f in (self.drawn, self.sampler.probs))
        shared = {
            "context": [self.case.context] * 3, "prompt_length": self.case.prompt_length,
            **{name: _thrice(values) for name, values in self.case.beside.items()},
        }  # fmt: skip
        batch = _thrice(row)
        threads = 1 + self.case.seed % 2
        ids, _ = self.sampler.sample(
            batch, **shared, rng=self.seed, position=0, keys=0, threads=threads, on_error="status"
        )
        spread, target, over = np.zeros((n, 3), row.dtype), np.zeros((n, 2), row.dtype), row.copy()
        spread[:, 1] = row
        self.expect(ids[0] == ids[1] == token == self.drawn(spread[:, 1], **self.inputs), "tokens by placement")
        self.sampler.probs(spread[:, 1], **self.inputs, out=target[:, 1])
        self.sampler.probs(over, **self.inputs, out=over)
        aside = self.sampler.probs(batch[1], **self.inputs)
        for other in (aside, np.ascontiguousarray(target[:, 1]), over):
            self.expect(rows.same_bits(np.asarray(probs), np.asarray(other)), "probs by placement")

    def drawn(self, row: NDArray[Any], **inputs: Any) -> Any:
        return self.sampler.sample(row, **inputs, position=0)


def _thrice(row: NDArray[Any]) -> NDArray[Any]:
    """The row, itself again and itself reversed, each two values behind the begin of a frame's row."""
    frame = np.empty((3, row.size + 3), row.dtype)
    batch = frame[:, 2 : row.size + 2]
    batch[:2], batch[2] = row, row[::-1]
    return batch


def check(seeds: range, lengths: list[int]) -> None:
    near = 0
    for seed in seeds:
        case = random_case(seed, lengths)
        faults = Checked(case).faults
        if faults:
            assert plans.near_a_bound(case), f"{case}: {'; '.join(faults)}"
            near += 1
    print(f"{len(seeds)} cases of V = {lengths[0]} to {lengths[-1]}, {near} of them with a cut that rounding decides")
    assert near <= 2 + len(seeds) // 100


@pytest.mark.parametrize(("count", "lengths"), [(FEW, SHORT), (FEW_LONG, LONG)], ids=["short", "long"])
def test_odd_rows(count: int, lengths: list[int]) -> None:
    check(range(count), lengths)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize(("count", "lengths"), [(MANY, SHORT), (MANY_LONG, LONG)], ids=["short", "long"])
def test_many_odd_rows(part: int, count: int, lengths: list[int]) -> None:
    first = 1_000_000 + part * (count // PARTS)
    check(range(first, first + count // PARTS), lengths)


# ---- negative control: rules broken on purpose ---------------------------------------------------------------------
