"""The inputs of a call: one declaration, which every function and method shows in its signature."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import fastlogits as fl
from fastlogits._common import call_inputs
from fastlogits.plots import step_distributions

ROW = np.array([0.5, 2.0, 1.0, 3.0], np.float32)
SAMPLER = fl.Sampler(temperature=0.7)
ALL: dict[str, Any] = {
    f"{home}.{name}": getattr(holder, name)
    for home, holder in (("fastlogits", fl), ("Sampler", fl.Sampler))
    for name in ("sample", "probs", "filter_logits", "candidates", "gumbel_max")
}
SOME: dict[str, tuple[Any, Any]] = {
    "Sampler.explain": (fl.Sampler.explain, call_inputs.RowInputs),
    "step_distributions": (step_distributions, call_inputs.RowInputs),
    "Batch.sample": (fl.Batch.sample, call_inputs.BatchInputs),
}


def test_every_input_is_declared_and_has_a_default() -> None:
    assert set(call_inputs.CallInputs.__annotations__) == set(call_inputs.DEFAULTS)
    assert set(call_inputs.DEFAULTS) == set(call_inputs.Inputs.__annotations__)


@pytest.mark.parametrize("name", ALL)
def test_signatures_of_calls(name: str) -> None:
    parameters = inspect.signature(ALL[name]).parameters
    assert {n: parameters[n].default for n in call_inputs.DEFAULTS} == call_inputs.DEFAULTS


@pytest.mark.parametrize("name", SOME)
def test_signatures_of_calls_with_fewer_inputs(name: str) -> None:
    function, declared = SOME[name]
    parameters = inspect.signature(function).parameters
    wanted = call_inputs.defaults_of(declared)
    assert {n: p.default for n, p in parameters.items() if n in call_inputs.DEFAULTS} == wanted


@pytest.mark.parametrize("name", ["sample", "probs", "filter_logits", "candidates", "gumbel_max"])
def test_an_unknown_input_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=rf"^{name}\(\) .*'bogus'"):
        getattr(SAMPLER, name)(ROW, bogus=1)
    with pytest.raises(TypeError, match=rf"^{name}\(\) .*'bogus'"):
        getattr(fl, name)(ROW, bogus=1)


def test_a_keyword_of_the_sampler_is_no_input_of_its_call() -> None:
    with pytest.raises(TypeError, match="temperature"):
        SAMPLER.sample(ROW, temperature=0.5)  # type: ignore[call-arg]
