"""Distributions side by side."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from jobs import COMPARISONS, Job


@pytest.mark.parametrize("job", COMPARISONS, ids=lambda job: job.name)
def test_comparison(job: Job, measured: Callable[[Job], None]) -> None:
    measured(job)
