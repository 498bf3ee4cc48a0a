"""Random rows and random plans: steps in any order, twice over, edits behind cuts, ties, one survivor.

Everything is a function of the seed. Values that could tie by one rounding are kept apart from values that tie in
earnest: tied rows meet biases of eighths and temperatures of powers of two, other parameters are continuous.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import made
import numpy as np
from numpy.typing import NDArray

from fastlogits import reference, steps


@dataclass(frozen=True)
class Case:
    """One row, one plan and the inputs of the call."""

    name: str
    row: NDArray[Any]
    plan: tuple[Any, ...]
    context: list[int]
    prompt_length: int
    seed: int
    beside: dict[str, NDArray[Any]] = field(default_factory=dict)
    out_of_vocab: str = "error"

    def __repr__(self) -> str:
        return (
            f"Case({self.seed}: {self.name} {self.row.dtype}[{self.row.size}], {list(self.plan)}, "
            f"{len(self.context)} context ids, prompt_length={self.prompt_length})"
        )

    def inputs(self) -> dict[str, Any]:
        before = {"context": self.context, "prompt_length": self.prompt_length, "out_of_vocab": self.out_of_vocab}
        return {**before, **self.beside}

    def reference_row(self) -> reference.Row:
        row = reference.Row(self.row, self.context, self.prompt_length)
        row.beside = {name: rows.astype(np.float64) for name, rows in self.beside.items()}
        return row


def random_row(rng: np.random.Generator, n: int, real: NDArray[Any] | None = None) -> tuple[str, NDArray[np.float64]]:
    """One row [n] of a random class; `real` rows are cut and reordered to n."""
    kind = rng.choice(["normal", "flat", "peaky", "ties", "coarse", "equal", "banned", "single", "sorted", "real"])
    row = rng.normal(size=n) * rng.choice([1.0, 3.0, 5.0])
    if kind == "real" and real is not None:
        row = rng.permutation(real[rng.integers(len(real))].astype(np.float64))[:n]
    elif kind == "flat":
        row = rng.normal(size=n) * rng.choice([1e-3, 0.1, 0.5])
    elif kind == "peaky":
        row[rng.integers(n, size=3)] += rng.uniform(5, 25, 3)
    elif kind == "ties":
        row = np.round(row * 8) / 8
    elif kind == "coarse":
        row = np.round(row / 2)
    elif kind == "equal":
        row = np.full(n, np.round(row[0] * 8) / 8)
    elif kind == "banned":
        row[rng.random(n) < rng.choice([0.3, 0.9, 0.99])] = -np.inf
        row[rng.integers(n)] = 0.5
    elif kind == "single":
        row[np.arange(n) != rng.integers(n)] = -np.inf
    elif kind == "sorted":
        row = np.sort(row)[:: rng.choice([1, -1])]
    return str(kind), row


#: Steps of the plans: the usual cuts twice as often as each of the others.
USUAL = (
    *("temperature", "top_k", "top_p", "min_p"),
    *(
        name
        for name in made.family("penalties", "edits", "cuts", "repeats")
        if name in made.ANYWHERE and name != "greedy"
    ),
)


def random_case(seed: int, large: int = 0, real: NDArray[Any] | None = None) -> Case:
    """The case of this seed; V is `large` if given, else up to 5,000."""
    rng = np.random.default_rng([seed, 0xCA5E])
    n = large or int(rng.choice([rng.integers(1, 40), rng.integers(50, 600), rng.integers(600, 5000)]))
    name, row = random_row(rng, n, real)
    tied = name in ("ties", "coarse", "equal")
    kinds = [str(kind) for kind in rng.choice(USUAL, int(rng.integers(1, 9)))]
    for family, share in ((made.SHAPED, 0.5), (made.TOKENS, 0.4)):
        for kind in rng.choice(family, int(rng.integers(1, 4))) if rng.random() < share else ():
            kinds.insert(int(rng.integers(0, len(kinds) + 1)), str(kind))
    if rng.random() < 0.03:
        kinds.append("greedy")
    length = (int(rng.integers(0, 2)), int(rng.integers(1, 30)), int(rng.integers(1, 300)))[int(rng.integers(3))]
    numbers = made.Numbers.of(rng, n, length, tied)
    plan = tuple(made.step(kind, numbers) for kind in kinds)
    if rng.random() < 0.1:
        plan = (*plan, steps.RenormalizeLogits())
    if rng.random() < 0.5:
        plan = (*plan, steps.Draw() if seed % 3 else steps.Gumbel())
    # Few different tokens: much of what was seen comes again.
    context = rng.integers(0, min(n, 3) if rng.random() < 0.5 else n, length).tolist()
    dtype = np.float64 if rng.random() < 0.1 else np.float16 if rng.random() < 0.1 else np.float32
    # Float64 rows hold float32 values: neighbours stay apart through any chain of temperatures.
    beside: dict[str, Any] = {}
    if rng.random() < 0.15:
        # Log-softmaxes of tied rows would leave it to roundings whether an edited token ties with another one.
        blends = [name for name in made.BLENDS if not (tied and name == "contrastive")]
        plan = (made.step(str(rng.choice(blends)), numbers), *plan)
        beside = made.beside(plan, row, numbers)
    elif rng.random() < 0.08:
        # Infinities become values of the size of 1e38, which further steps take out of the range.
        plan = (steps.RemoveInvalidValues(), *plan)
        row = np.where(np.isneginf(row), -20.0, row)
        row[rng.integers(0, n, 3)] = np.nan

    def held(values: NDArray[np.float64]) -> NDArray[Any]:
        return values.astype(np.float32 if dtype == np.float64 else dtype).astype(dtype)

    start = int(rng.integers(0, len(context) + 1))
    return Case(name, held(row), plan, context, start, seed, {each: held(rows) for each, rows in beside.items()})


#: Fields that have one value for all rows.
SHARED = ("special_tokens",)


def alike(seed: int, count: int) -> list[Case]:
    """Cases of one length and type whose plans have the same steps with other parameters."""
    first = random_case(seed)
    rng = np.random.default_rng([seed, 0xA11])
    found = [first]
    while len(found) < count:
        name, row = random_row(rng, first.row.size)
        context = rng.integers(0, row.size, int(rng.integers(0, 40))).tolist()
        numbers = made.Numbers.of(rng, row.size, len(context))
        shared = [{name: value for name, value in vars(step).items() if name in SHARED} for step in first.plan]
        plan = tuple(
            replace(made.step(step.name, numbers), **values) for step, values in zip(first.plan, shared, strict=True)
        )
        beside = {each: values.astype(first.row.dtype) for each, values in made.beside(plan, row, numbers).items()}
        start = int(rng.integers(0, len(context) + 1))
        found.append(Case(name, row.astype(first.row.dtype), plan, context, start, seed, beside))
    return found


def as_bools(mask: NDArray[Any], n: int) -> NDArray[np.bool_]:
    """A mask [<= n] or in packed words as bools [n]."""
    bits = mask if mask.dtype == np.bool_ else np.unpackbits(mask.view(np.uint8), bitorder="little")
    found = np.zeros(n, np.bool_)
    found[: min(n, bits.size)] = bits[:n]
    return found


def merged(together: Sequence[Sequence[Any]], n: int) -> list[Any]:
    """One plan for several rows [n]: each field as a list of what it is in the plans of the rows."""
    found = []
    for each in zip(*together, strict=True):
        values = {name: [getattr(step, name) for step in each] for name in vars(each[0]) if name not in SHARED}
        if "sequence_breakers" in values:  # of a row without any there is nothing to tell rows by
            values["sequence_breakers"] = [given or None for given in values["sequence_breakers"]]
        if "penalty" in values:
            values["penalty"] = tuple(zip(*values["penalty"], strict=True))
        if "mask" in values:
            values["mask"] = np.stack([as_bools(mask, n) for mask in values["mask"]])
        found.append(replace(each[0], **values))
    return found


def came(case: Case) -> NDArray[np.float64]:
    """The row as the first pass sees it."""
    row = reference.Row(case.row)
    repaired = [step for step in case.plan[:1] if step.name == "remove_invalid_values"]
    return reference.process(row, repaired)


def run(case: Case) -> NDArray[np.float64] | None:
    """Processed logits of the reference, None where no token is left."""
    row = case.reference_row()
    try:
        with np.errstate(over="ignore"):  # repaired values of float64 rows, divided
            return reference.process(row, case.plan)
    except ValueError:
        return None


#: Steps whose logits are as exact as an entropy, a total or a power is: not to the last bit.
ROUGH = (
    *made.BLENDS, "dynamic_temperature", "smoothing", "adaptive_p", "renormalize_logits",
    "exponential_decay_length_penalty",
)  # fmt: skip
#: How far a sum of float32 exponentials may move the threshold of a step.
UNSURE = 1e-6
UNBOUNDED = ("dynamic_temperature", "smoothing", "p_less", "top_n_sigma", "min_k", "mirostat")
#: The field that stands for the threshold, where it is not the first.
MOVED = {"xtc": "threshold", "mirostat": "tau"}


def unsure(case: Case) -> bool:
    """Whether a shaped step of the plan keeps other tokens when its parameter moves by `UNSURE`.

    Or, adaptive_p making unlike tokens all but equal, whether their order changes then.
    """
    for i, step in enumerate(case.plan):
        if step.name not in made.SHAPED or step.name == "skew":
            continue
        name = MOVED.get(step.name) or next(iter(vars(step)))
        if isinstance(getattr(step, name), bool):
            continue
        kept = []
        for factor in (1 - UNSURE, 1, 1 + UNSURE):
            moved = min(getattr(step, name) * factor, np.inf if step.name in UNBOUNDED else 1.0)
            row = case.reference_row()
            row.logits = reference.process(row, case.plan[:i])
            row.logits = reference.process(row, (replace(step, **{name: moved}),))
            kept.append(np.argsort(-row.logits) if step.name == "adaptive_p" else row.logits > -np.inf)
        if not (np.array_equal(kept[0], kept[1]) and np.array_equal(kept[1], kept[2])):
            return True
        rival = {"min_k": two_cliffs, "typical_p": as_typical}.get(step.name)
        if rival is not None and rival(case, i):
            return True
    return False


def swing(case: Case) -> float:
    """How far log-probs move when what the rough steps of the plan leave moves by `UNSURE`.

    A log-softmax is as exact as its total, and a later step that multiplies its values, an exponential decay say,
    multiplies its error too.
    """
    right, most = run(case), 0.0
    for i, step in enumerate(case.plan):
        if step.name not in ROUGH or right is None:
            continue
        row = case.reference_row()
        row.logits = reference.process(row, case.plan[: i + 1]) * (1 + UNSURE) + UNSURE
        row.logits = reference.process(row, case.plan[i + 1 :])
        both = (row.logits > -np.inf) & (right > -np.inf)
        moved = np.abs(reference.log_softmax(row.logits)[both] - reference.log_softmax(right)[both])
        most = max(most, float(moved.max(initial=0)))
    return most


def made_equal(case: Case, i: int) -> bool:
    """Whether step i is a rough one behind which tokens tie that did not before: 1e-38 more or less than ln n."""
    if case.plan[i].name not in ROUGH:
        return False
    rows = [case.reference_row() for _ in range(2)]
    before, after = (reference.process(row, case.plan[: i + k]) for k, row in enumerate(rows))
    return bool(np.unique(before[after > -np.inf]).size > np.unique(after[after > -np.inf]).size)


def tied_by_rounding(case: Case) -> bool:
    """Whether tokens of unlike inputs end, behind a rough step, within 1e-12 of each other: a rounding orders them."""
    right = run(case)
    if right is None or not any(step.name in ROUGH for step in case.plan):
        return False
    order = reference.Row(right).order()
    close = -np.diff(right[order]) <= 1e-12 * np.maximum(1.0, np.abs(right[order[1:]]))
    inputs = np.stack([case.row, *case.beside.values()])[:, order]
    return bool((close & (inputs[:, 1:] != inputs[:, :-1]).any(axis=0)).any())


def as_typical(case: Case, i: int) -> bool:
    """Whether a token that typical_p removes, of another logit than the last one kept, is as far from the entropy."""
    row = case.reference_row()
    row.logits = reference.process(row, case.plan[:i])
    kept = reference.process(case.reference_row(), case.plan[: i + 1]) > -np.inf
    order, shares = row.order(), row.shares()
    away = np.abs(np.log(shares.max()) + row.logits[order] - row.top_logit() + row.entropy())
    at = np.flatnonzero(kept[order])
    last = at[away[at].argmax()]
    close = np.abs(away - away[last]) <= 1e-12 * max(1.0, row.entropy())
    return bool((close & ~kept[order] & (row.logits[order] != row.logits[order[last]])).any())


def two_cliffs(case: Case, i: int) -> bool:
    """Whether the two steepest falls that min_k compares, (l_(k-1) - l_k) / k, are all but equal."""
    row = case.reference_row()
    logits = np.sort(reference.process(row, case.plan[:i]))[::-1]
    logits = logits[np.isfinite(logits)]
    falls = np.sort(-np.diff(logits) / np.arange(1, logits.size))[-2:]
    return falls.size == 2 and falls[1] - falls[0] <= UNSURE * falls[1]


def margin(case: Case) -> float:
    """How near the nearest top_p of the plan comes to keeping another prefix: min |running mass / total - p|."""
    nearest = np.inf
    for i, step in enumerate(case.plan):
        if step.name == "top_p" and step.p < 1:
            row = case.reference_row()
            row.logits = reference.process(row, case.plan[:i])
            mass = row.joint_masses() if step.joint else row.masses()
            running = np.cumsum(mass[row.order()])
            nearest = min(nearest, float(np.abs(running / mass.sum() - step.p).min()))
    return nearest


#: How near to p a float32 sum may decide otherwise.
MASS = 1e-7


def near_a_bound(case: Case) -> bool:
    """Whether a rounding may decide a cut of this plan: a sum within `MASS` of p, a logit at the floor of a min_p, a
    step by shape that keeps others when its parameter moves by `UNSURE`, or unlike logits made equal, or all but equal,
    by a rough step.
    """
    if margin(case) < MASS or unsure(case) or tied_by_rounding(case):
        return True
    if any(made_equal(case, i) for i in range(len(case.plan))):
        return True
    for i, step in enumerate(case.plan):
        if step.name == "min_p" and step.p > 0:
            row = case.reference_row()
            logits = reference.process(row, case.plan[:i])
            alive = logits[logits > -np.inf]
            floor = alive.max() + np.log(step.p)
            if np.abs(alive - floor).min() < 1e-12 * max(1.0, abs(alive.max())):
                return True
    return False


def draw_uniform(case: Case, seed: int, position: int, number: int = 0) -> float:
    """The u of the number-th draw, skewed as the plan says."""
    skew = sum(step.skew for step in case.plan if step.name == "skew")
    return float(reference.uniform(seed, 0, position, number=number) ** np.exp(-skew))


def interval(logits: NDArray[np.float64], token: int) -> tuple[float, float]:
    """The u for which the reference draws this token: [below, above)."""
    masses = reference.Row(logits).masses()
    running = np.cumsum(masses)
    return float((running[token] - masses[token]) / running[-1]), float(running[token] / running[-1])


def cuts_first(plan: Sequence[Any]) -> tuple[Any, ...]:
    """A wrong plan on purpose: every rank or ratio cut is applied before the first mass step, whatever lies between."""
    mass = next((i for i, step in enumerate(plan) if step.name == "top_p"), len(plan))
    behind = [step for step in plan[mass:] if step.name in ("top_k", "min_p")]
    rest = [step for step in plan[mass:] if step.name not in ("top_k", "min_p")]
    return (*plan[:mass], *behind, *rest)
