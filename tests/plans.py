"""Random rows and random plans: steps in any order, twice over, edits behind cuts, ties, one survivor.

Everything is a function of the seed. Values that could tie by one rounding are kept apart from values that tie in
earnest: tied rows meet biases of eighths and temperatures of powers of two, other parameters are continuous.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

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

    def __repr__(self) -> str:
        return (
            f"Case({self.seed}: {self.name} {self.row.dtype}[{self.row.size}], {list(self.plan)}, "
            f"{len(self.context)} context ids, prompt_length={self.prompt_length})"
        )

    def inputs(self) -> dict[str, Any]:
        return {"context": self.context, "prompt_length": self.prompt_length, **self.beside}

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


def random_step(rng: np.random.Generator, kind: str, n: int, tied: bool, length: int) -> Any:
    """One step with random parameters for a context of `length`; `tied` rows get parameters that keep ties exact."""
    keep = int(rng.choice([1, 1, 1, 2, 5, 50]))
    joint = bool(rng.random() < 0.15)
    window = None if rng.random() < 0.5 else int(rng.integers(0, 40))
    if kind == "temperature":
        if rng.random() < 0.03:
            return steps.Temperature(0)
        return steps.Temperature(float(rng.choice([0.25, 0.5, 1, 2, 4]) if tied else np.exp(rng.uniform(-1.5, 1.5))))
    if kind == "top_k":
        few, some, many = rng.integers(1, 3), rng.integers(1, 60), rng.integers(1, n + 1)
        k = int(rng.choice([few, some, many, np.exp(rng.uniform(0, np.log(n)))], p=[0.07, 0.31, 0.31, 0.31]))
        return steps.TopK(k, min_keep=keep, ties=str(rng.choice(["id", "id", "keep"])), joint=joint)
    if kind == "top_p":
        any_p, high = rng.random(), 0.9 + 0.1 * rng.random()
        p = float(rng.choice([0.0, any_p, high, 0.999, 1.0], p=[0.03, 0.4, 0.4, 0.12, 0.05]))
        return steps.TopP(p, min_keep=keep, joint=joint, strict=bool(rng.random() < 0.3))
    if kind == "min_p":
        p = float(rng.choice([1.0, np.exp(rng.uniform(-12, 0)), 0.05, 0.001], p=[0.03, 0.57, 0.2, 0.2]))
        return steps.MinP(p, min_keep=keep)
    if kind == "repetition_penalty":
        theta = float(rng.choice([0.5, 1, 2, 4]) if tied else np.exp(rng.uniform(-0.4, 0.7)))
        decay, slope = (0, 1.0) if tied else (int(rng.choice([0, 0, 25])), float(rng.choice([1, 1, 0.3])))
        return steps.RepetitionPenalty(theta, window, bool(rng.random() < 0.7), decay, slope)
    if kind in ("frequency_penalty", "presence_penalty"):
        alpha = float(np.round(rng.normal() * 8) / 8 if tied else rng.normal())
        made: Any = steps.FrequencyPenalty if kind == "frequency_penalty" else steps.PresencePenalty
        return made(alpha, window, bool(rng.random() < 0.3))
    if kind == "logit_bias":
        ids = rng.choice(n, min(n, int(rng.integers(1, 25))), replace=False)
        values = rng.normal(size=len(ids)) * 5
        values = np.round(values * 8) / 8 if tied else values
        values[rng.random(len(ids)) < 0.2] = -np.inf
        return steps.LogitBias((ids, values))
    if kind == "sequence_bias":
        lengths = rng.integers(1, 4, int(rng.integers(1, 12)))
        # Few tokens: many sequences end as the context does.
        found = {tuple(rng.integers(0, min(n, 3), k).tolist()): float(np.round(rng.normal() * 40) / 8) for k in lengths}
        return steps.SequenceBias({ids: -np.inf if rng.random() < 0.2 else value for ids, value in found.items()})
    if kind in REPEATS:
        return repeats_step(rng, kind, n, tied)
    if kind == "mask":
        allowed = rng.random(n) < rng.choice([0.02, 0.5, 0.99])
        if rng.random() < 0.5:
            return steps.Mask(allowed[: max(1, n - int(rng.integers(0, 3)))])
        packed = np.zeros(-(-n // 32) * 4, np.uint8)
        packed[: -(-n // 8)] = np.packbits(allowed, bitorder="little")
        return steps.Mask(packed.view("<i4").astype(np.int32))
    if kind in SHAPED:
        return shaped_step(rng, kind, keep)
    if kind in TOKENS:
        return token_step(rng, kind, n, tied, length)
    return steps.Greedy()


def token_step(rng: np.random.Generator, kind: str, n: int, tied: bool, length: int) -> Any:
    """One step that names tokens, with random parameters; most conditions on the length hold half the time."""
    few = rng.integers(0, min(n, 40), int(rng.integers(1, 6))).tolist()
    many = rng.choice(n, max(1, int(n * rng.choice([0.02, 0.5, 0.95]))), replace=False).tolist()
    theta = float(rng.choice([0.5, 2, 4]) if tied else np.exp(rng.uniform(-0.4, 0.7)))
    near = max(0, length + int(rng.integers(-1, 2)))
    decay = (int(rng.integers(0, 20)), 1.0 if tied else float(np.exp(rng.uniform(-0.1, 0.2))))
    words = [rng.integers(0, min(n, 3), int(rng.integers(1, 4))).tolist() for _ in range(int(rng.integers(1, 4)))]
    made: dict[str, Any] = {
        "encoder_repetition_penalty": lambda: steps.EncoderRepetitionPenalty(theta, many),
        "bad_words": lambda: steps.BadWords(words, output_only=bool(rng.random() < 0.5)),
        "suppress_tokens": lambda: steps.SuppressTokens(few),
        "begin_suppress_tokens": lambda: steps.BeginSuppressTokens(few, None if rng.random() < 0.5 else near),
        "allowed_tokens": lambda: steps.AllowedTokens(many),
        "forced_bos_token": lambda: steps.ForcedBosToken(few),
        "forced_eos_token": lambda: steps.ForcedEosToken(few, near + 1),
        "min_length": lambda: steps.MinLength(near, few),
        "min_new_tokens": lambda: steps.MinNewTokens(int(rng.integers(0, 60)), few),
        "exponential_decay_length_penalty": lambda: steps.ExponentialDecayLengthPenalty(decay, few),
        "renormalize_logits": lambda: steps.RenormalizeLogits(bool(not tied)),
    }
    return made[kind]()


TOKENS = (
    "encoder_repetition_penalty", "bad_words", "suppress_tokens", "begin_suppress_tokens", "allowed_tokens",
    "forced_bos_token", "forced_eos_token", "min_length", "min_new_tokens", "exponential_decay_length_penalty",
    "renormalize_logits",
)  # fmt: skip


def shaped_step(rng: np.random.Generator, kind: str, keep: int) -> Any:
    """One step that looks at the shape of the distribution, with random parameters."""
    r = rng.random(3)
    small = float(np.exp(rng.uniform(-10, 0)))
    special = tuple(range(int(rng.integers(0, 2))))
    made: dict[str, Any] = {
        "dynamic_temperature": lambda: steps.DynamicTemperature(0.2 + r[0], 0.7 + r[1], 0.5 + r[2]),
        "smoothing": lambda: steps.Smoothing(r[0] / 2, 1 + 2 * r[1]),
        "epsilon_cutoff": lambda: steps.EpsilonCutoff(small, keep),
        "eta_cutoff": lambda: steps.EtaCutoff(small, keep),
        "top_a": lambda: steps.TopA(r[0], keep),
        "p_less": lambda: steps.PLess(1.2 + 2 * r[0], keep),
        "top_n_sigma": lambda: steps.TopNSigma(3 * r[0], keep),
        "typical_p": lambda: steps.TypicalP(r[0], keep, str(rng.choice(["id", "keep"])), strict=bool(r[1] < 0.3)),
        "tfs": lambda: steps.Tfs(r[0], keep),
        "top_h": lambda: steps.TopH(r[0], keep),
        "min_k": lambda: steps.MinK(30 * r[0], keep),
        "xtc": lambda: steps.Xtc(
            float(np.sqrt(r[0])), r[1] * 0.3, special, keep, str(rng.choice(["id", "keep"])), bool(r[2] < 0.3)
        ),
        "mirostat": lambda: steps.Mirostat(int(rng.integers(1, 3)), 6 * r[0], r[1], keep),
        "adaptive_p": lambda: steps.AdaptiveP(r[0], 0.99 * r[1]),
        "skew": lambda: steps.Skew(2 * r[0] - 1),
    }
    return made[kind]()


def repeats_step(rng: np.random.Generator, kind: str, n: int, tied: bool) -> Any:
    """One step against repeats with random parameters."""
    size, few = int(rng.integers(0, 5)), min(n, 3)
    if kind == "no_repeat_ngram":
        return steps.NoRepeatNgram(size)
    if kind == "encoder_no_repeat_ngram":
        return steps.EncoderNoRepeatNgram(size, rng.integers(0, few, 20).tolist())
    breakers = [rng.integers(0, few, rng.integers(1, 4)).tolist() for _ in range(rng.integers(0, 3))]
    multiplier, base = (0.5, 2.0) if tied else (float(rng.uniform(0, 2)), float(rng.uniform(1, 3)))
    return steps.Dry(multiplier, base, size, int(rng.integers(-1, 60)), breakers)


REPEATS = ("dry", "no_repeat_ngram", "encoder_no_repeat_ngram")

SHAPED = (
    "dynamic_temperature", "smoothing", "epsilon_cutoff", "eta_cutoff", "top_a", "p_less", "top_n_sigma", "typical_p",
    "tfs", "top_h", "min_k", "xtc", "mirostat", "adaptive_p", "skew",
)  # fmt: skip

BLENDS = ("guidance", "contrastive", "d_experts")


def blend_step(rng: np.random.Generator, kind: str, tied: bool) -> Any:
    """A first step that combines rows, with random parameters."""
    scale = float(rng.choice([0.5, 1, 1.5, 2, 7.5]) if tied or rng.random() < 0.5 else rng.uniform(-1, 4))
    if kind == "guidance":
        return steps.Guidance(scale, str(rng.choice(["logprobs", "raw"])))
    if kind == "contrastive":
        alpha = float(rng.choice([0.0, np.exp(rng.uniform(-8, 0))]))
        return steps.Contrastive(alpha, None if rng.random() < 0.5 else abs(scale))
    return steps.DExperts(scale)


def rows_beside(rng: np.random.Generator, step: Any, row: NDArray[np.float64], tied: bool) -> dict[str, Any]:
    """Rows near the logits, as those of other models or other prompts are; banned where they are."""
    noise = [rng.normal(size=row.size) * rng.choice([0.05, 1.0, 3.0]) for _ in step.beside]
    return {
        name: row + (np.round(each * 8) / 8 if tied else each) for name, each in zip(step.beside, noise, strict=True)
    }


KINDS = (
    *("temperature", "temperature", "top_k", "top_k", "top_p", "top_p", "min_p", "min_p"),
    *("repetition_penalty", "frequency_penalty", "presence_penalty", "logit_bias", "mask", "sequence_bias"),
    *REPEATS,
)


def random_case(seed: int, large: int = 0, real: NDArray[Any] | None = None) -> Case:
    """The case of this seed; V is `large` if given, else up to 5,000."""
    rng = np.random.default_rng([seed, 0xCA5E])
    n = large or int(rng.choice([rng.integers(1, 40), rng.integers(50, 600), rng.integers(600, 5000)]))
    name, row = random_row(rng, n, real)
    tied = name in ("ties", "coarse", "equal")
    kinds = list(rng.choice(KINDS, int(rng.integers(1, 9))))
    for family, share in ((SHAPED, 0.5), (TOKENS, 0.4)):
        for kind in rng.choice(family, int(rng.integers(1, 4))) if rng.random() < share else ():
            kinds.insert(int(rng.integers(0, len(kinds) + 1)), kind)
    if rng.random() < 0.03:
        kinds.append("greedy")
    length = (int(rng.integers(0, 2)), int(rng.integers(1, 30)), int(rng.integers(1, 300)))[int(rng.integers(3))]
    plan = tuple(random_step(rng, str(kind), n, tied, length) for kind in kinds)
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
        step = blend_step(rng, str(rng.choice(["guidance", "d_experts"] if tied else BLENDS)), tied)
        plan = (replace(step, space="raw") if tied and step.name == "guidance" else step, *plan)
        beside = rows_beside(rng, plan[0], row, tied)

    elif rng.random() < 0.08:
        # Infinities become values of the size of 1e38, which further steps take out of the range.
        plan = (steps.RemoveInvalidValues(), *plan)
        row = np.where(np.isneginf(row), -20.0, row)
        row[rng.integers(0, n, 3)] = np.nan

    def held(values: NDArray[np.float64]) -> NDArray[Any]:
        return values.astype(np.float32 if dtype == np.float64 else dtype).astype(dtype)

    start = int(rng.integers(0, len(context) + 1))
    return Case(name, held(row), plan, context, start, seed, {each: held(rows) for each, rows in beside.items()})


def came(case: Case) -> NDArray[np.float64]:
    """The row as the first pass sees it."""
    row = reference.Row(case.row)
    return reference.process(row, case.plan[:1]) if case.plan[0].name == "remove_invalid_values" else row.logits


def run(case: Case) -> NDArray[np.float64] | None:
    """Processed logits of the reference, None where no token is left."""
    row = case.reference_row()
    try:
        return reference.process(row, case.plan)
    except ValueError:
        return None


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
        if step.name not in SHAPED or step.name == "skew":
            continue
        name = MOVED.get(step.name) or next(iter(vars(step)))
        kept = []
        for factor in (1 - UNSURE, 1, 1 + UNSURE):
            moved = min(getattr(step, name) * factor, np.inf if step.name in UNBOUNDED else 1.0)
            row = case.reference_row()
            row.logits = reference.process(row, case.plan[:i])
            row.logits = reference.process(row, (replace(step, **{name: moved}),))
            kept.append(np.argsort(-row.logits) if step.name == "adaptive_p" else row.logits > -np.inf)
        if not (np.array_equal(kept[0], kept[1]) and np.array_equal(kept[1], kept[2])):
            return True
        if step.name == "min_k" and two_cliffs(case, i):
            return True
    return False


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


def draw_uniform(case: Case, seed: int, position: int) -> float:
    """The u of a draw, skewed as the plan says."""
    skew = sum(step.skew for step in case.plan if step.name == "skew")
    return float(reference.uniform(seed, 0, position) ** np.exp(-skew))


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
