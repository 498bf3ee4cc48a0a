"""Guidance, contrastive decoding, DExperts: arrays, and the first step of a pipeline; two rows are two reads."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from jobs import BLENDS, Job


@pytest.mark.parametrize("job", BLENDS, ids=lambda job: job.name)
def test_blends(job: Job, measured: Callable[[Job], None]) -> None:
    measured(job)
