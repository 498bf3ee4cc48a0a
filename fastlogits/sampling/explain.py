"""Sampler.explain: which pass a plan took over a row, and what each of its steps left."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import fastlogits._core as _core
from fastlogits._common.errors import Fault, Status, refuse_row
from fastlogits._common.plain import to_dict
from fastlogits.sampling.beside import refuse_lone_bans
from fastlogits.sampling.call import Seed, seed_of
from fastlogits.sampling.thresholds import Seen, threshold
from fastlogits.steps import RemoveInvalidValues

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fastlogits.sampling.call import Call

_MODES = ("dense", "floor", "mass", "mass + dense cut")
_MODE_WORDS = {
    "dense": "the whole row, no list of candidates",
    "floor": "one scan, then the candidates above the floor",
    "mass": "one pass over the exponentials, then the candidates above the floor",
    "mass + dense cut": "one pass over the exponentials, the cut found on the whole row",
}
_FALLBACK = 1 << 8


@dataclass(frozen=True)
class StepReport:
    """What one step did to the row.

    Attributes
    ----------
    name : str
        The step's name.
    given, survived : int
        Tokens alive before and after it.
    kept : float
        Share of the probability before the step that its survivors held.
    condition : str
        What the step asked of a token, or of all that it kept together, in words that end in a sign: "p >=" of its
        probability before the step, "rank <=", "mass >=", "logit >=", "-log2 p <=" (mirostat), "|-ln p - H| <="
        (typical-p, as far as it went), "bends <=" (tail free), "entropy <=" (top-h), ">" where it is strict. "T =" and
        "p near" (adaptive-p) remove nothing. Empty for a step that compares nothing, or is off.
    threshold : float
        The number that it used on this row, such as eta, min_p times the largest probability, or the largest logit less
        n deviations; NaN where there is none. ``min_keep`` and special tokens may leave more.
    smallest : float
        Smallest logit that survived, as the step left it.
    """

    name: str
    given: int
    survived: int
    kept: float
    condition: str
    threshold: float
    smallest: float

    def to_dict(self) -> dict[str, Any]:
        """The fields by name as Python numbers, lists and dicts, which `json.dumps` takes."""
        return to_dict(self)

    def asked(self) -> str:
        """Condition and threshold in one line, such as "p >= 0.05"; empty if there is none."""
        return f"{self.condition} {self.threshold:.5g}" if self.condition else ""


@dataclass(frozen=True)
class Explanation:
    """What `Sampler.explain` found; ``str()`` of it is a table.

    Attributes
    ----------
    n : int
        Length of the row.
    isa : str
        Instruction set that ran.
    mode : str
        "dense", "floor", "mass" or "mass + dense cut".
    double : bool
        Whether the float row was done again with x - max in double, for its range.
    passes : int
        Dense passes over the row.
    edited : int
        Tokens carried next to the row because an edit touched them.
    collected : int
        Candidates collected from the row.
    floor : float
        Threshold of the collecting, in units of the row; NaN in mode "dense".
    steps : tuple of StepReport
        One per step, in order.
    """

    n: int
    isa: str
    mode: str
    double: bool
    passes: int
    edited: int
    collected: int
    floor: float
    steps: tuple[StepReport, ...]

    def to_dict(self) -> dict[str, Any]:
        """The fields by name as Python numbers, lists and dicts, which `json.dumps` takes."""
        return to_dict(self)

    def __str__(self) -> str:
        passes = f"{self.passes} pass" + ("" if self.passes == 1 else "es")
        lines = [
            f"row of {self.n:,} logits, {self.isa}",
            f"  {self.mode}: {_MODE_WORDS[self.mode]}" + (", repeated in double" if self.double else ""),
            f"  {passes} over the row, {self.edited:,} edited, {self.collected:,} collected",
        ]
        if np.isfinite(self.floor):
            lines[-1] += f", floor {self.floor:.6g}"
        names = max([4, *(len(step.name) for step in self.steps)])
        asked = max([9, *(len(step.asked()) for step in self.steps)])
        counts = max(8, len(f"{self.n:,}"))
        figures = f"{'given':>{counts}} {'survived':>{counts}} mass kept"
        lines.append(f"  {'step':<{names}} {figures}  {'threshold':<{asked}} smallest logit")
        lines += [
            f"  {step.name:<{names}} {step.given:>{counts},} {step.survived:>{counts},} {step.kept:>9.6f}  "
            f"{step.asked():<{asked}} {step.smallest:>14.6g}"
            for step in self.steps
        ]
        return "\n".join(lines)


def explain(call: Call, row: int) -> Explanation:
    """Runs the plan, then each prefix of it, on one row."""
    seed = seed_of(call)
    row = checked_row(call, row)
    trace = np.zeros(call.rows * _core.TRACE_SIZE, np.uint8)
    task = _run_row(call, call.plan, row, seed, ids=np.full(call.rows, -1, np.int64), trace=trace)
    mode, passes, edited, collected, floor = task.trace(row)
    reports = [report for _, report in stages(call, row, seed) if report is not None]
    return Explanation(
        n=call.n,
        isa=_core.isa(),
        mode=_MODES[mode & ~_FALLBACK],
        double=bool(mode & _FALLBACK),
        passes=passes,
        edited=edited,
        collected=collected,
        floor=floor if mode & ~_FALLBACK else float("nan"),
        steps=tuple(reports),
    )


def checked_row(call: Call, row: int) -> int:
    """The row counted from the first."""
    if isinstance(row, bool) or not hasattr(row, "__index__"):
        raise TypeError(f"row must be an integer, got {row!r}")
    row = operator.index(row)
    if not -call.rows <= row < call.rows:
        raise ValueError(f"row must be in [{-call.rows}, {call.rows}), got {row}")
    return row % call.rows


class Alive(NamedTuple):
    """What is alive of a row, in order: ids, logits and log-probs [n]."""

    ids: NDArray[np.int64]
    logits: NDArray[np.float64]
    logprobs: NDArray[np.float64]


def stages(call: Call, row: int, seed: Seed) -> Iterator[tuple[Alive, StepReport | None]]:
    """What is alive in the row as it came, then after each step, and what that step did.

    That may be nothing where a later step forces tokens, but not at the end.
    """
    before = _alive(call, 0, row, seed)
    yield before, None
    for at in range(len(call.plan.steps)):
        after = _alive(call, at + 1, row, seed)
        yield after, _reported(call, row, at, before, after)
        before = after


def _reported(call: Call, row: int, at: int, before: Alive, after: Alive) -> StepReport:
    """What the step at that place did to what was alive before."""
    stayed = np.isin(before.ids, after.ids)
    kept = 1.0 if stayed.all() else float(np.exp(before.logprobs[stayed]).sum())
    step, state = call.plan.prepared[at], call.inputs["states"][row] if "states" in call.inputs else None
    own = row if state is None else state.row

    def number(array: NDArray[Any] | None, otherwise: float) -> float:
        return otherwise if array is None else float(array.flat[own if array.size > 1 else 0])

    seen = Seen(
        before.logits,
        before.logprobs,
        stayed,
        number(step.value, np.nan),
        number(step.second, np.nan),
        number(step.third, np.nan),
        min_keep=int(number(step.min_keep, 1)),
        memory=_remembered(state, at),
    )
    strict = bool(int(number(step.flags, 0)) & _core.STRICT)
    asked = threshold(step.name, seen, strict=strict) if before.ids.size else ("", float("nan"))
    smallest = float(after.logits[-1]) if after.logits.size else float("nan")
    return StepReport(step.name, before.ids.size, after.ids.size, kept, *asked, smallest)


def _remembered(state: Any, at: int) -> tuple[float, float]:
    """What the step at that place remembers in a state; NaN without one, or before the first token."""
    memory = None if state is None or not len(state) else state._memory()
    if memory is None:
        return np.nan, np.nan
    last = memory[0].reshape(len(state), -1, 2)[-1, at]
    return float(last[0]), float(last[1])


def _run_row(
    call: Call, plan: _core.Plan, row: int, seed: Seed, allowed: tuple[int, ...] = (), **results: Any
) -> _core.PlanTask:
    """Runs ``plan`` on one row of the call, which may fail in the ways allowed."""
    call.remind(draws=False)
    task = _core.PlanTask(plan, call.x, seed=seed, **call.inputs, **results)
    task.run(row, row + 1)
    for at, status, step, value in task.failures:
        if status in allowed:
            continue
        names = [step.name for step in plan.steps]
        if status == Status.STEP_INF and step == 0:
            refuse_lone_bans(call.x, call.companions(), at)
        refuse_row(call.outer, at, Fault(status, step, value, call.n, names), beside=plan.beside)
    return task


def _alive(call: Call, count: int, row: int, seed: Seed) -> Alive:
    """What the first ``count`` steps leave."""
    if call.plan.steps and isinstance(call.plan.steps[0], RemoveInvalidValues):
        count = max(count, 1)  # the row as it came cannot be read
    plan = _core.Plan()
    plan._fill(call.plan.steps[:count], call.plan.prepared[:count], call.plan.shape)
    allowed = (Status.NO_FINITE, Status.ALL_BANNED) if count < len(call.plan.steps) else ()
    task = _run_row(call, plan, row, seed, allowed, counts=np.zeros(call.rows, np.int64))
    none = (np.empty(0, np.int64), np.empty(0), np.empty(0))
    return Alive(*task.listings.get(row, none))
