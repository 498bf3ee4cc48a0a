"""Steps that look at the shape of the distribution, each alone with the draw, and XTC behind top-k."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from jobs import Inputs, Job
from measure import Case

import fastlogits as fl
from fastlogits import reference, steps

PLANS: dict[str, tuple[steps.Step, ...]] = {
    "dynamic temperature": (steps.DynamicTemperature(0.5, 1.5),),
    "smoothing": (steps.Smoothing(0.3),),
    "typical_p": (steps.TypicalP(0.95),),
    "epsilon_cutoff": (steps.EpsilonCutoff(3e-4),),
    "eta_cutoff": (steps.EtaCutoff(3e-4),),
    "top_n_sigma": (steps.TopNSigma(1.0),),
    "top_a": (steps.TopA(0.2),),
    "tfs": (steps.Tfs(0.95),),
    "top_h": (steps.TopH(0.4),),
    "p_less": (steps.PLess(2.0),),
    "min_k": (steps.MinK(3.0),),
    "xtc": (steps.Xtc(0.5, 0.1),),
    "top_k, xtc": (steps.TopK(50), steps.Xtc(0.5, 0.1)),
    "mirostat 1": (steps.Mirostat(1),),
    "mirostat 2": (steps.Mirostat(2),),
    "top_k, mirostat 1": (steps.TopK(50), steps.Mirostat(1)),
    "top_k, mirostat 2": (steps.TopK(50), steps.Mirostat(2)),
    "adaptive_p": (steps.AdaptiveP(0.5),),
    "top_k, adaptive_p, skew": (steps.TopK(50), steps.AdaptiveP(0.5), steps.Skew(0.5)),
}
PLANS |= {
    each.name: (each(),)
    for each in map(vars(steps).get, steps.distribution.__all__)
    if each.name not in PLANS and all(field.default is not dataclasses.MISSING for field in dataclasses.fields(each))
}


def in_short_run(case: Case) -> bool:
    """Single long rows: so many plans on all cases would take minutes."""
    return case.vocab == 128_256 and case.batch == 1 and case.isa != "scalar" and case.kind in ("real", "peaky", "flat")


def numpy_draws(i: Inputs, plan: tuple[steps.Step, ...]) -> list[int]:
    """The steps one after the other on whole rows in float64, as people write them, and the draw."""
    rows = [reference.process(reference.Row(row), plan) for row in i.rows]
    return [reference.steps.draw(reference.Row(row), 0.5) for row in rows]


def error(i: Inputs, plan: tuple[steps.Step, ...]) -> tuple[float, int]:
    """Survivors of the first row that one of the two sides lacks."""
    found = fl.Sampler(*plan).candidates(i.rows[0], rng=0).ids
    exact = reference.Row(reference.process(reference.Row(i.rows[0]), plan)).order()
    return 0.0, len(np.setxor1d(found, exact))


@pytest.mark.parametrize("name", PLANS)
def test_shapes(name: str, measured: Callable[[Job], None]) -> None:
    plan = PLANS[name]
    sampler = fl.Sampler(*plan)
    numpy = {"NumPy": lambda i: partial(numpy_draws, i, plan)}
    measured(Job(name, lambda i: partial(sampler.sample, i.x, rng=7), numpy, partial(error, plan=plan)))
