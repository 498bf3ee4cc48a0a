"""Fixtures: every instruction set of this machine, and the real logits where they are to be had."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import rows
from hypothesis import settings
from numpy.typing import NDArray

import fastlogits._core as _core

# `--hypothesis-profile=thorough` tries more of the same examples in each run, `search` looks for new ones.
settings.register_profile("quick", derandomize=True, deadline=None, max_examples=25)
settings.register_profile("thorough", derandomize=True, deadline=None, max_examples=200)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile("quick")


@pytest.fixture(params=_core.isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test once per instruction set that this machine and this build offer."""
    before = _core.isa()
    _core.set_isa(request.param)
    yield request.param
    _core.set_isa(before)


@pytest.fixture(scope="session")
def real_rows() -> NDArray[np.float16]:
    """Eight rows of a real model, float16 [8, V]."""
    return rows.real_rows()
