"""Sampler.explain: which pass a plan took over a row, and what each of its steps left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastlogits import _core
from fastlogits._errors import refuse_row
from fastlogits._step_tokens import RemoveInvalidValues

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fastlogits._run import Call

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
    threshold : float
        Smallest logit that survived, as the step left it.
    """

    name: str
    given: int
    survived: int
    kept: float
    threshold: float


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
        Tokens carried beside the row because an edit touched them.
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

    def __str__(self) -> str:
        passes = f"{self.passes} pass" + ("" if self.passes == 1 else "es")
        lines = [
            f"row of {self.n:,} logits, {self.isa}",
            f"  {self.mode}: {_MODE_WORDS[self.mode]}" + (", repeated in double" if self.double else ""),
            f"  {passes} over the row, {self.edited:,} edited, {self.collected:,} collected",
        ]
        if np.isfinite(self.floor):
            lines[-1] += f", floor {self.floor:.6g}"
        width = max([4, *(len(step.name) for step in self.steps)])
        lines.append(f"  {'step':<{width}} {'given':>9} {'survived':>9} {'mass kept':>10} {'smallest logit':>15}")
        lines += [
            f"  {step.name:<{width}} {step.given:>9,} {step.survived:>9,} {step.kept:>10.6f} {step.threshold:>15.6g}"
            for step in self.steps
        ]
        return "\n".join(lines)


def explain(call: Call, row: int, seed: int) -> Explanation:
    """Runs the plan, then each prefix of it, on one row."""
    row = checked_row(call, row)
    trace = np.zeros(call.rows * _core.TRACE_SIZE, np.uint8)
    task = _run_row(call, call.plan, row, seed, ids=np.full(call.rows, -1, np.int64), trace=trace)
    mode, passes, edited, collected, floor = task.trace(row)
    plan = call.plan
    reports = []
    found = stages(call, row, seed)
    ids, logprobs, _ = next(found)
    for step, (left, next_logprobs, smallest) in zip(plan.steps, found, strict=True):
        kept = 1.0 if left.size == ids.size else float(np.exp(logprobs[np.isin(ids, left)]).sum())
        reports.append(StepReport(step.name, ids.size, left.size, kept, smallest))
        ids, logprobs = left, next_logprobs
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
    if not -call.rows <= row < call.rows:
        raise ValueError(f"row must be in [{-call.rows}, {call.rows}), got {row}")
    return row % call.rows


def stages(call: Call, row: int, seed: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64], float]]:
    """What is alive in the row as it came, then behind each step: ids, their log-probs, the smallest logit."""
    for count in range(len(call.plan.steps) + 1):
        yield _alive(call, count, row, seed)


def _run_row(call: Call, plan: _core.Plan, row: int, seed: int, **results: Any) -> _core.PlanTask:
    """Runs ``plan`` on one row of the call."""
    task = _core.PlanTask(plan, call.x, seed=seed, **call.inputs, **results)
    task.run(row, row + 1)
    for at, status, step, value in task.failures:
        names = [step.name for step in plan.steps]
        refuse_row(call.outer, at, status, step, value, call.n, names, beside=plan.beside)
    return task


def _alive(call: Call, count: int, row: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float64], float]:
    """Ids and log-probs of what the first ``count`` steps leave, and the smallest logit among them."""
    if call.plan.steps and isinstance(call.plan.steps[0], RemoveInvalidValues):
        count = max(count, 1)  # the row as it came cannot be read
    plan = _core.Plan()
    plan._fill(call.plan.steps[:count], call.plan.prepared[:count], call.plan.shape)
    task = _run_row(call, plan, row, seed, counts=np.zeros(call.rows, np.int64))
    ids, logits, logprobs = task.listings[row]
    return ids, logprobs, float(logits[-1]) if logits.size else float("nan")
