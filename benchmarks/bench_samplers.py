"""Samplers that were prepared once, drawing: with and without edits, mask, top-k, top-p and min-p."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from jobs import LLAMA_CHAINS, SAMPLERS, Job, sampling


@pytest.mark.parametrize("name", SAMPLERS)
def test_sample(name: str, measured: Callable[[Job], None]) -> None:
    measured(sampling(SAMPLERS[name]))


@pytest.mark.parametrize("job", LLAMA_CHAINS, ids=lambda job: job.name)
def test_llama(job: Job, measured: Callable[[Job], None]) -> None:
    measured(job)
