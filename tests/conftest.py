"""Fixtures: every instruction set of this machine, and the real logits where they are to be had."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import rows
from hypothesis import settings
from numpy.typing import NDArray

from fastlogits import _core

# A run finds the same examples each time; `--hypothesis-profile=search` looks for new ones.
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile("reproducible")


@pytest.fixture(params=_core.isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test once per instruction set that this machine and this build offer."""
    before = _core.isa()
    _core.set_isa(request.param)
    yield request.param
    _core.set_isa(before)


@pytest.fixture(scope="session")
def real_rows() -> NDArray[np.float16]:
    """A few rows of a real model, float16 [n, V]; skips where neither the data nor the bundled sample is found."""
    found = rows.real_rows()
    if found is None:
        pytest.skip("no real logits: set FASTLOGITS_DATA to the folder of smollm2_*.npz")
    return found
