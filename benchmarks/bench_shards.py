"""Vocabulary shards of one process, one after the other: what merging adds to reading once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from jobs import SHARDS, Job


@pytest.mark.parametrize("job", SHARDS, ids=lambda job: job.name)
def test_shards(job: Job, measured: Callable[[Job], None]) -> None:
    measured(job)
