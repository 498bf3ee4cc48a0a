"""Figures of whole texts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from jobs import TEXTS, Job


@pytest.mark.parametrize("job", TEXTS, ids=lambda job: job.name)
def test_texts(job: Job, measured: Callable[[Job], None]) -> None:
    measured(job)
