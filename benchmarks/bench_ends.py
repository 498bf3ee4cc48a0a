"""The four ends as functions, which make their Sampler on the spot: sample, probs, filter_logits, candidates."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from jobs import AHEAD, ENDS, Job


@pytest.mark.parametrize("job", [*ENDS, *AHEAD], ids=lambda job: job.name)
def test_end(job: Job, measured: Callable[[Job], None]) -> None:
    measured(job)
