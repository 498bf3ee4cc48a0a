"""A batch of 64 rows with a state each: equal rows, parameters of their own, steps of their own. The unit, one read of
all rows, makes each figure one per row."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from jobs import Inputs, Job
from measure import Case

import fastlogits as fl

ROWS = 64
#: What the rows of a batch do; a mixed one has eight rows of each.
KINDS: dict[str, dict[str, Any]] = {
    "top-k 50, top-p": {"temperature": 0.8, "top_k": 50, "top_p": 0.95},
    "penalties, top-k 40": {"repetition_penalty": 1.1, "presence_penalty": 0.2, "top_k": 40},
    "min-p": {"temperature": 1.1, "min_p": 0.05},
    "greedy": {"temperature": 0.0},
    "DRY, top-k 40": {"dry_multiplier": 0.8, "top_k": 40, "temperature": 0.9},
    "mirostat behind top-k 100": {"top_k": 100, "mirostat": 2},
    "top-n-sigma": {"top_n_sigma": 1.0, "temperature": 1.5},
    "bias, top-k 20": {"logit_bias": {1: 2.0, 7: -5.0, 99: -np.inf}, "top_k": 20},
}
BASE: dict[str, Any] = {"repetition_penalty": 1.1, "temperature": 0.8, "top_k": 50, "top_p": 0.95, "min_p": 0.02}
#: One row's own parameters.
OWN: dict[str, Any] = {
    "repetition_penalty": np.linspace(1.0, 1.4, ROWS), "temperature": np.linspace(0.4, 1.5, ROWS),
    "top_k": np.arange(20, 20 + ROWS), "top_p": np.linspace(0.8, 1.0, ROWS), "min_p": np.linspace(0.0, 0.1, ROWS),
}  # fmt: skip
MIXED = "eight kinds of steps"


def in_short_run(case: Case) -> bool:
    return case.batch == ROWS


def own(row: int) -> dict[str, Any]:
    """The parameters of one row."""
    return {name: values[row].item() for name, values in OWN.items()}


def samplers(name: str) -> list[fl.Sampler]:
    """The Sampler of each row."""
    if name == MIXED:
        return [fl.Sampler(**KINDS[list(KINDS)[row % len(KINDS)]]) for row in range(ROWS)]
    if name == "parameters of each row":
        return [fl.Sampler(**own(row)) for row in range(ROWS)]
    return [fl.Sampler(**KINDS.get(name, BASE))] * ROWS


def context(row: int, v: int) -> Any:
    """Between 100 and 1,045 tokens."""
    return np.random.default_rng(row).integers(0, min(v, 2000), 100 + 15 * row)


def batch_of(name: str, v: int) -> fl.Batch:
    batch = fl.Batch()
    for row, sampler in enumerate(samplers(name)):
        batch.add(sampler, context(row, v), vocab=v)
    return batch


def drawing(i: Inputs, name: str) -> Callable[[], Any]:
    return partial(batch_of(name, i.x.shape[-1]).sample, i.x, rng=7)


def error(i: Inputs, name: str) -> tuple[float, int]:
    """Rows whose token is not the one that they get alone."""
    batch = batch_of(name, i.x.shape[-1])
    alone = [
        sampler.sample(row, state=batch[handle], rng=7)
        for sampler, row, handle in zip(samplers(name), i.x, batch.handles, strict=True)
    ]
    return 0.0, int(np.count_nonzero(batch.sample(i.x, rng=7) != alone))


@pytest.mark.parametrize("name", ["equal parameters", "parameters of each row", MIXED, *KINDS])
def test_batch(name: str, measured: Callable[[Job], None]) -> None:
    measured(Job(f"Batch of {ROWS}: {name}", partial(drawing, name=name), {}, partial(error, name=name)))


@pytest.mark.parametrize("name", ["equal parameters", "parameters of each row"])
def test_one_sampler(name: str, measured: Callable[[Job], None]) -> None:
    """The same rows through one Sampler without states."""
    sampler = fl.Sampler(**(BASE if name == "equal parameters" else OWN))

    def call(i: Inputs) -> Callable[[], Any]:
        contexts = [context(row, i.x.shape[-1]) for row in range(ROWS)]
        return partial(sampler.sample, i.x, context=contexts, rng=7)

    measured(Job(f"Sampler of {ROWS}: {name}", call, {}, lambda i: (0.0, 0)))
