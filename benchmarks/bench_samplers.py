"""Samplers that were prepared once, drawing: with and without edits, mask, top-k, top-p and min-p."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from jobs import SAMPLERS, Job, sampling


@pytest.mark.parametrize("name", SAMPLERS)
def test_sample(name: str, measured: Callable[[Job], None]) -> None:
    measured(sampling(SAMPLERS[name]))
