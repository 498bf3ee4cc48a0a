"""Calibration, its fits, and the comparison of completions and labels."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from jobs import CALIBRATION, Job


@pytest.mark.parametrize("job", CALIBRATION, ids=lambda job: job.name)
def test_calibration(job: Job, measured: Callable[[Job], None]) -> None:
    measured(job)
